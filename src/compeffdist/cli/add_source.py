"""`compeffdist add-source`: a file of texts looked at, and entered into params.yaml."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from compeffdist.cli.adding import FILE, LICENCE, TEXT_FIELD, add_ending, enter
from compeffdist.errors import one_line

if TYPE_CHECKING:
    from compeffdist.adding.drawing import Draw
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
    add("--alone", action="store_true", help="in place of the sources that params.yaml has, not beside them")
    add_ending(parser)


def run(args: argparse.Namespace) -> None:
    """Look, show, and unless --dry-run, write."""
    from compeffdist.adding.source import KEYS, new_source
    from compeffdist.params import load_params

    named = {key: getattr(args, key) for key in ("text_field", "id_field", "name", "domain", "licence")}
    given = {key: value for key, value in named.items() if value is not None}
    params = load_params()
    found = new_source(args.file, params, given, alone=args.alone)
    replaced = [source.name for source in params.texts.sources] if args.alone else []
    enter(found, KEYS, args, lambda: [*_lines(found), *_replaced_line(replaced)], alone=args.alone)


def _lines(found: "NewSource") -> list[str]:
    from compeffdist.texts.ingest_texts import left_out

    source, lengths = found.source, found.lengths
    others = f"; texts are in {one_line(', '.join(found.others), 200)}, too (--text-field)" if found.others else ""
    lines = [
        f"text: column {source.text_field!r} ({found.why}){others}",
        f"ids: column {source.id_field!r}" if source.id_field else "ids: row numbers (--id-field names a column)",
        f"texts: {lengths.shortest:,} to {lengths.longest:,} characters, {lengths.median:,} in the middle; "
        f"{found.english:.0%} pass as English",
        f"would keep {found.kept:,} of {found.table.rows:,} rows; left out: {left_out(found.left_out)}",
    ]
    lines += [f"  not looked for: {one_line(what, 200)}" for what in found.unlooked]
    lines += [f"  {told}" for told in found.advice]
    return lines + _draw_lines(found.draw, found.kept)


def _replaced_line(names: list[str]) -> list[str]:
    return [f"it takes the place of: {one_line(', '.join(names), 300)}"] if names else []


def _draw_lines(draw: "Draw", kept: int) -> list[str]:
    """How many of the texts a run draws, and what to do to have more."""
    about = "at most " if draw.sharing else "about " if draw.others else ""
    number = "all" if draw.texts == kept and not draw.sharing else f"{about}{draw.texts:,}"
    over = f", drawn evenly over {draw.domains} domains" if draw.domains > 1 else ""
    beside = f", this one's shared with {one_line(', '.join(draw.sharing), 100)}" if draw.sharing else ""
    lines = [f"a run draws {number} of them: texts.count is {draw.count:,}{over}{beside}"]
    if number != "all":
        away = f"--alone leaves out {one_line(', '.join(draw.others), 200)}; or " if draw.others else ""
        lines.append(f"  for more of them: {away}raise texts.count in params.yaml")
    return lines
