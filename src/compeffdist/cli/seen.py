"""`compeffdist seen`: which evaluation texts were seen in distillation, checked from published hashes."""

import argparse
import json
from pathlib import Path

HELP = "publish hashes of the texts of this run, or check a benchmark's or a file's texts against such hashes"
EXAMPLE = "compeffdist seen --hashes hashes.parquet --benchmark sentibench --split test"

SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--publish", type=Path, metavar="FILE", help="write hashes of data/texts.parquet (.parquet)")
    add("--hashes", type=Path, metavar="FILE", help="check against these")
    add("--benchmark", type=Path, metavar="FOLDER", help="check the texts of a benchmark's tasks")
    add("--split", default="val", help="of the benchmark (default val)")
    add("--file", type=Path, help="check the texts of a .jsonl, .csv or .parquet")
    add("--text-field", default="text", metavar="NAME", help="of the file (default text)")
    add("--json", action="store_true", help="print the outcome as JSON")


def run(args: argparse.Namespace) -> None:
    """Write or check; ends with 1 if a text was seen."""
    from compeffdist.artefacts import TEXTS
    from compeffdist.benchmark.seen import read_hashes, seen_texts, write_hashes
    from compeffdist.errors import UserError

    if args.publish is not None:
        if args.publish.suffix != ".parquet" or args.hashes is not None:
            raise UserError("--publish FILE.parquet goes without --hashes")
        print(f"{args.publish}: hashes of {write_hashes(args.publish, (text.text for text in TEXTS.read()))} texts")
        return
    if args.hashes is None or (args.benchmark is None) == (args.file is None):
        raise UserError("name what to write with --publish, or --hashes with --benchmark or --file")
    texts = _benchmark_texts(args) if args.benchmark is not None else _file_texts(args)
    published = read_hashes(args.hashes)
    found = seen_texts(texts, published)
    if args.json:
        print(json.dumps({"texts": len(texts), "published": len(published), "seen": found}, indent=2))
    else:
        print(f"{len(found)} of {len(texts)} texts were seen in distillation ({len(published)} texts published)")
        print("".join(f"  {key}: {how}\n" for key, how in list(found.items())[:SHOWN]), end="")
        if len(found) > SHOWN:
            print(f"  and {len(found) - SHOWN} more (--json lists all)")
    if found:
        raise SystemExit(1)


def _benchmark_texts(args: argparse.Namespace) -> dict[str, str]:
    from compeffdist.benchmark.rows import load_benchmark_rows
    from compeffdist.benchmark.tasks import load_benchmark_tasks, task_folder

    tasks = load_benchmark_tasks(task_folder())
    return {row.id: row.text for task in tasks for row in load_benchmark_rows(args.benchmark, task, args.split)}


def _file_texts(args: argparse.Namespace) -> dict[str, str]:
    from compeffdist.errors import UserError
    from compeffdist.params import FILE_SUFFIXES
    from compeffdist.texts.tables import no_column, read_rows

    kind = FILE_SUFFIXES.get(args.file.suffix.lower())
    if kind is None:
        raise UserError(f"{args.file}: the name must end in {', '.join(FILE_SUFFIXES)}")
    texts = {}
    for row in read_rows(args.file, kind, {args.text_field: "--text-field"}):
        if row.fault:
            raise UserError(f"{args.file}: row {row.number}: {row.fault}")
        if args.text_field not in row.fields:
            raise no_column(args.file, args.text_field, "--text-field", sorted(row.fields), row.number)
        texts[f"row {row.number}"] = str(row.fields[args.text_field])
    return texts
