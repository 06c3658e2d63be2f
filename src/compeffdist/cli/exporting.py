"""What all exports share: arguments, and how what came of one is said."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from compeffdist.cli.printing import print_note
from compeffdist.errors import one_line

if TYPE_CHECKING:
    from compeffdist.publishing.writing import Export


def add_target(parser: argparse.ArgumentParser, metavar: str, what: str) -> None:
    """Arguments of every export."""
    parser.add_argument("--out", type=Path, required=True, metavar=metavar, help=what)
    parser.add_argument("--force", action="store_true", help="write it anew where an earlier export lies")
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON")


def add_licence_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Arguments of an export that passes on what others may hold rights in."""
    add = parser.add_argument
    add("--allow-unknown-licence", action="store_true", help=f"also {what} of unknown licence, which is called so")
    add(
        "--despite-licence",
        action="append",
        default=[],
        metavar="SOURCE",
        help="export what is of this source though its licence forbids it, as who holds the rights may; repeat it",
    )


def print_export(done: "Export", as_json: bool) -> None:
    """One line on what was written, and notes."""
    for note in done.notes:
        print_note(f"note: {note}")
    if as_json:
        print(json.dumps(done.to_json(), indent=2, sort_keys=True, ensure_ascii=False))
        return
    counted = ", ".join(f"{count:,} {what}" for what, count in done.figures.items())
    print(f"{one_line(done.place)}: {counted}; of commit {done.commit[:10]}")
