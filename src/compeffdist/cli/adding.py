"""What `add-source` and `add-task` take, do and say in the same way."""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from compeffdist.errors import one_line

if TYPE_CHECKING:
    from compeffdist.adding.places import Place
    from compeffdist.adding.source import NewSource
    from compeffdist.adding.table import Table
    from compeffdist.adding.task import NewTask

FILE = "CSV, JSON Lines or Parquet; copied into data/sources/ if not there"
TEXT_FIELD = "column of the texts (default: guessed, and shown)"
LICENCE = "of the texts (default: unstated)"

SHOWN_COLUMNS = 30


def add_ending(parser: argparse.ArgumentParser) -> None:
    """The arguments that both end with."""
    parser.add_argument("--dry-run", action="store_true", help="show what would be done; write nothing")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")


def enter(
    found: "NewSource | NewTask",
    keys: Sequence[str],
    args: argparse.Namespace,
    lines: Callable[[], list[str]],
    *,
    alone: bool = False,
) -> None:
    """Put what was found behind the last of the list at `keys` of params.yaml, or `alone` in it, unless `--dry-run`,
    and say so: by `lines`, or as JSON."""
    from compeffdist.adding.params_list import entry_lines, read_text, with_entry, write_text

    text = with_entry(read_text(), keys, found.entry, alone=alone)
    if not args.dry_run:
        found.place.fill()
        write_text(text)
    if args.json:
        print(json.dumps({**found.to_json(), "written": not args.dry_run}, indent=2, ensure_ascii=False))
        return
    entry = entry_lines(found.entry, "  ").rstrip()
    told = [
        *_table_lines(found.table),
        *lines(),
        *_written_lines(found.place, ".".join(keys), entry, args.dry_run, alone),
    ]
    print("\n".join(told))


def _table_lines(table: "Table") -> list[str]:
    """What the file is, its columns, and what is odd about it."""
    lines = [f"{table.path}: {table.described()}"]
    for column in list(table.columns.values())[:SHOWN_COLUMNS]:
        told = f"{column.filled:,} filled"
        if column.texts:
            told += f", {column.mean:.0f} characters on average"
        if not column.various:
            told += f", {len(column.counts)} different"
        elif column.unlike:
            told += ", all different"
        twice = "  (more than one column has this name: it is not read)" if column.name in table.twice else ""
        lines.append(f"  {one_line(column.name, 40) or '(no name)'}: {told}{twice}")
    if len(table.columns) > SHOWN_COLUMNS:
        lines.append(f"  and {len(table.columns) - SHOWN_COLUMNS} more")
    if table.named_by_a_text:
        name = one_line(repr(table.named_by_a_text[0]), 60)
        lines.append(f"  column {name} looks like a text: has the file no header? its first line is taken for one")
    if table.too_large:
        lines.append(f"  {table.too_large:,} lines are too large to be read")
    return [*lines, *(one_line(note, 300) for note in table.notes)]


def _written_lines(place: "Place", list_name: str, entry: str, dry: bool, alone: bool) -> list[str]:
    """What was done, or would be."""
    lines = []
    if place.is_new:
        lines.append(f"{'would be copied' if dry else 'copied'} to {place.location}")
    done = "the only entry of" if alone else "added to"
    lines += [f"params.yaml: {'would be ' if dry else ''}{done} {list_name}:", entry]
    return lines if dry else [*lines, "next: compeffdist plan"]
