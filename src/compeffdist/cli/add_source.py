"""`compeffdist add-source`: a file of texts looked at, and entered into params.yaml."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compeffdist.cli.adding import FILE, LICENCE, TEXT_FIELD, add_ending, enter
from compeffdist.errors import one_line

if TYPE_CHECKING:
    from compeffdist.adding.source import NewSource

HELP = "look at a file of texts and enter it into texts.sources of params.yaml; --dry-run only looks"
EXAMPLE = "compeffdist add-source comments.csv --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=FILE)
    add("--text-field", metavar="NAME", help=TEXT_FIELD)
    add("--id-field", metavar="NAME", help="column of the rows' own ids (default: guessed; '': go by row number)")
    add("--name", help="of the source (default: the file's)")
    add("--domain", help="the group it counts under in balanced draws (default: the source's name)")
    add("--licence", help=LICENCE)
    add_ending(parser)


def run(args: argparse.Namespace) -> None:
    """Look, show, and unless --dry-run, write."""
    from compeffdist.adding.source import KEYS, new_source
    from compeffdist.params import load_params

    named = {key: getattr(args, key) for key in ("text_field", "id_field", "name", "domain", "licence")}
    given = {key: value for key, value in named.items() if value is not None}
    found = new_source(args.file, load_params(), given)
    enter(found, KEYS, args, lambda: _lines(found))


def _lines(found: "NewSource") -> list[str]:
    source, lengths = found.source, found.lengths
    others = f"; texts are in {one_line(', '.join(found.others), 200)}, too (--text-field)" if found.others else ""
    reasons = sorted(found.left_out.items(), key=lambda item: (-item[1], item[0]))
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in reasons) or "none"
    rows = found.table.rows
    lines = [
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
    return lines
