"""`compeffdist add-task`: a labelled file looked at, and entered into params.yaml."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compeffdist.cli.adding import FILE, LICENCE, TEXT_FIELD, add_ending, enter
from compeffdist.errors import one_line

if TYPE_CHECKING:
    from compeffdist.adding.task import NewTask

HELP = "look at a labelled file and enter it into evaluation.tasks of params.yaml; --dry-run only looks"
EXAMPLE = 'compeffdist add-task labelled.csv --question "Which emotion does the writer show?" --rows 200'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=FILE)
    add("--question", help="a sentence that asks for the label (default: the domain's, where the labels are its)")
    add("--labels", help="the labels, separated by commas, in their order (default: those in the file)")
    add("--text-field", metavar="NAME", help=TEXT_FIELD)
    add("--label-field", metavar="NAME", help="column of the labels (default: guessed, and shown)")
    add("--rows", type=int, metavar="N", help="draw N, evenly over labels (default: all there are)")
    add("--name", help="of the task (default: the file's)")
    add("--subject", help="what a text is, in the domain's question, such as 'product review'")
    add("--licence", help=LICENCE)
    add_ending(parser)


def run(args: argparse.Namespace) -> None:
    """Look, show, and unless --dry-run, write."""
    from compeffdist.adding.task import KEYS, new_task
    from compeffdist.domain import domain_of
    from compeffdist.params import load_params

    names = ("question", "text_field", "label_field", "rows", "name", "subject", "licence")
    given = {key: value for key in names if (value := getattr(args, key)) is not None}
    if args.labels is not None:
        given["labels"] = [label.strip() for label in args.labels.split(",")]
    params = load_params()
    found = new_task(args.file, params, domain_of(params).monitored, given, _ask)
    enter(found, KEYS, args, lambda: _lines(found))


def _ask(labels: list[str]) -> str:
    """The question from whoever sits at the terminal; empty if nobody does."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return ""
    print(f"what is asked of a text, that is answered with {', '.join(labels)}? ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def _counts(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{one_line(label, 60)} {count:,}" for label, count in rows.items())


def _lines(found: "NewTask") -> list[str]:
    task = found.task
    usable, rows = sum(found.pool.values()), sum(found.drawn.values())
    again = found.table.rows - usable
    lines = [
        f"text: column {task.text_field!r} ({found.why_text})",
        f"label: column {task.label_field!r} ({found.why_label})",
        f"labels: {_counts(found.pool)}",
    ]
    if again:
        lines.append(f"  {again:,} rows do not count: their text comes again, or with another label")
    whose = "" if task.question else ", the domain's"
    lines.append(f"question{whose}: {one_line(found.asked, 300)}")
    if found.is_even:
        lines.append(f"rows: {rows:,}, about as many of each label")
    else:
        even = len(task.labels) * min(found.pool.values())
        lines.append(f"rows: {rows:,} ({_counts(found.drawn)}); --rows {even} draws equally many of each label")
    if found.is_source:
        lines.append(f"  {task.location} is a source of texts, too: what is evaluated on is left out of those")
    return lines
