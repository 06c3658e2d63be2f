"""`compeffdist benchmark`: get the rows of a benchmark that this repository does not hold."""

import argparse
from pathlib import Path

HELP = "get a benchmark's rows from the repositories that publish them, as a folder for evaluate --benchmark"
EXAMPLE = (
    "compeffdist benchmark fetch sentibench\n"
    "  compeffdist benchmark fetch sentibench --from Sentiment-Distillation --from FSA-Distillation   (clones)"
)

FOLDER = Path("data/benchmarks")
"""Ignored by git and no out of a stage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="fetch the source files, hold them to their SHA-256, convert them")
    fetch.add_argument("name", metavar="NAME", help="of a file in benchmarks/sources/, such as sentibench")
    fetch.add_argument("--out", type=Path, metavar="FOLDER", help=f"new, or its own (default {FOLDER}/NAME)")
    fetch.add_argument(
        "--from",
        dest="checkouts",
        type=Path,
        action="append",
        default=[],
        metavar="CHECKOUT",
        help="a clone to read from in place of the network; repeat it for each repository",
    )


def run(args: argparse.Namespace) -> None:
    """Fetch, convert, and say what is there."""
    from compeffdist.benchmark.converting import refuse_other_folder, write_benchmark_folder
    from compeffdist.benchmark.fetching import source_files
    from compeffdist.benchmark.sources import load_source, source_file
    from compeffdist.benchmark.tasks import benchmark_data, load_benchmark_tasks

    source = load_source(source_file(args.name))
    tasks = {task.name: task for task in load_benchmark_tasks(benchmark_data(args.name), list(source.tasks))}
    out = args.out or FOLDER / args.name
    refuse_other_folder(out, args.name)
    written = write_benchmark_folder(out, args.name, source, source_files(source, args.checkouts), tasks)
    for task, splits in written.items():
        print(f"{task}: {', '.join(f'{split} {rows}' for split, rows in splits.items())}")
    print(f"{out}: {len(written)} tasks; licence: {source.licence}")
