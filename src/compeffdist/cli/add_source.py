"""`compeffdist add-source`: a file of texts looked at, and entered into params.yaml."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compeffdist.adding.source import NewSource

HELP = "look at a file of texts and enter it into texts.sources of params.yaml; --dry-run only looks"
EXAMPLE = "compeffdist add-source comments.csv --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="CSV, JSON Lines or Parquet; copied into data/sources/ if not there")
    add("--text-field", metavar="NAME", help="column of the texts (default: guessed, and shown)")
    add("--id-field", metavar="NAME", help="column of the rows' own ids (default: guessed; '': go by row number)")
    add("--name", help="of the source (default: the file's)")
    add("--domain", help="the group it counts under in balanced draws (default: the source's name)")
    add("--licence", help="of the texts (default: unstated)")
    add("--dry-run", action="store_true", help="show what would be done; write nothing")
    add("--json", action="store_true", help="print what was found as JSON")


def run(args: argparse.Namespace) -> None:
    """Look, show, and unless --dry-run, write."""
    import json

    from compeffdist.adding.params_list import read_text, with_entry, write_text
    from compeffdist.adding.source import KEYS, new_source
    from compeffdist.params import load_params

    named = {key: getattr(args, key) for key in ("text_field", "id_field", "name", "domain", "licence")}
    given = {key: value for key, value in named.items() if value is not None}
    found = new_source(args.file, load_params(), given)
    text = with_entry(read_text(), KEYS, found.source.model_dump(mode="json"))
    if not args.dry_run:
        found.place.fill()
        write_text(text)
    if args.json:
        print(json.dumps({**found.to_json(), "written": not args.dry_run}, indent=2, ensure_ascii=False))
        return
    print("\n".join(_lines(found, args.dry_run)))


def _lines(found: "NewSource", dry: bool) -> list[str]:
    from compeffdist.adding.params_list import entry_lines
    from compeffdist.cli.adding import table_lines, written_lines
    from compeffdist.errors import one_line

    source, lengths = found.source, found.lengths
    others = f"; texts are in {one_line(', '.join(found.others), 200)}, too (--text-field)" if found.others else ""
    reasons = sorted(found.left_out.items(), key=lambda item: (-item[1], item[0]))
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in reasons) or "none"
    rows = found.table.rows
    lines = [
        *table_lines(found.table),
        f"text: column {source.text_field!r} ({found.why}){others}",
        f"ids: column {source.id_field!r}" if source.id_field else "ids: row numbers (--id-field names a column)",
        f"texts: {lengths.shortest:,} to {lengths.longest:,} characters, {lengths.median:,} in the middle; "
        f"{found.english:.0%} pass as English",
        f"would keep {found.kept:,} of {rows:,} rows; left out: {left_out}",
    ]
    lines += [f"  not looked for: {one_line(what, 200)}" for what in found.unlooked]
    if found.left_out.get("not_english", 0) > 0.5 * rows:
        lines.append("  most texts are not English: texts.language: any in params.yaml keeps them")
    if found.left_out.get("too_long", 0) > 0.5 * rows:
        lines.append("  most texts are too long: texts.max_characters, or texts.too_long: truncate")
    entry = entry_lines(source.model_dump(mode="json"), "  ").rstrip()
    return [*lines, *written_lines(found.place, "texts.sources", entry, dry)]
