"""`compeffdist study perspectives`: perspectives that a person judges, and the shares that come of it."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compeffdist.records import Perspective

HELP = "write perspectives for a person to judge, and read the sheet back"
EXAMPLE = (
    "compeffdist study perspectives --sheet report/perspectives.csv\n"
    "  compeffdist study label report/perspectives.csv\n"
    "  compeffdist study perspectives --labels report/perspectives.csv"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, task = parser.add_argument, parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--sheet", type=Path, metavar="FILE", help="write perspectives to judge (.csv or .tsv)")
    task.add_argument("--labels", type=Path, metavar="FILE", help="the sheet, judged")
    add("--rows", type=int, default=20, metavar="N", help="how many (default: 20), drawn by the run's seed")
    add("--json", action="store_true", help="print what was found as JSON")


def run(args: argparse.Namespace) -> None:
    """Write the sheet, or print what it says."""
    from compeffdist.artefacts import CLUSTERS
    from compeffdist.study.perspective_labels import found_in, read_labels, told_lines

    perspectives = CLUSTERS.read()
    if args.sheet:
        _write(args, perspectives)
        return
    found = found_in(read_labels(args.labels), perspectives, args.labels)
    print(json.dumps(found) if args.json else "\n".join(told_lines(found)))


def _write(args: argparse.Namespace, perspectives: list["Perspective"]) -> None:
    from compeffdist.errors import UserError

    if args.sheet.exists():
        raise UserError(f"{args.sheet}: already there, and may hold labels; name another file")
    if args.rows < 1:
        raise UserError(f"--rows: must be at least 1 (got {args.rows})")
    from compeffdist.params import load_params
    from compeffdist.seeds import stage_seed
    from compeffdist.study.embedder import run_embedder
    from compeffdist.study.perspective_labels import FAULTS, LABEL, choose, write_sheet

    params = load_params()
    names = sorted({name for one in perspectives for name in one.member_names})
    vectors = dict(zip(names, run_embedder(params)(names), strict=True))
    chosen = choose(perspectives, args.rows, stage_seed(params.seed, "study_perspectives"))
    write_sheet(args.sheet, chosen, perspectives, vectors)
    print(f"{len(chosen)} of {len(perspectives)} perspectives in {args.sheet}: put into the column {LABEL}")
    print("\n".join(f"  {name}: {fault.told}" for name, fault in FAULTS.items()))
    print(f"with the keyboard on a page: compeffdist study label {args.sheet}")
    print(f"or in a spreadsheet, as far as you get, then: compeffdist study perspectives --labels {args.sheet}")
