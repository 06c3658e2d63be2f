"""`compeffdist answers`: share what the teacher was paid for."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.params import load_params

HELP = "share bought answers: export them to a record, import what others bought, ask some of a record again"
EXAMPLE = (
    "compeffdist answers export --out records/ours          those the run in this checkout used\n"
    "  compeffdist answers import records/theirs store.sqlite  into runtime.store\n"
    "  compeffdist answers verify --record records/laptop --sample 100"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    export = actions.add_parser("export", help="write the answers of the run in this checkout to a record")
    export.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder of the record, new or its own"
    )
    export.add_argument("--all", action="store_true", help="all answers of the store and of runtime.recorded")
    taken = actions.add_parser("import", help="put answers that others bought into the response store (runtime.store)")
    taken.add_argument("sources", type=Path, nargs="+", metavar="FOLDER", help="records, or files of response stores")
    verify = actions.add_parser("verify", help="ask the teacher again for some answers of a record, and compare")
    verify.add_argument("--record", type=Path, required=True, metavar="FOLDER", help="the record")
    verify.add_argument("--sample", type=int, required=True, metavar="N", help="how many answers are drawn")
    verify.add_argument("--seed", type=int, default=0, metavar="S", help="of the draw (default: 0)")
    for action in (export, taken, verify):
        action.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(args: argparse.Namespace) -> None:
    """Do it and print what came of it; leave with 1 if a record is broken or an answer was rejected as such."""
    {"export": _export, "import": _import, "verify": _verify}[args.action](args)


def _export(args: argparse.Namespace) -> None:
    from compeffdist.exchange.exporting import export_answers, known_cards
    from compeffdist.exchange.printing import export_lines
    from compeffdist.exchange.questions import questions_of
    from compeffdist.models import cache_folder
    from compeffdist.teacher.known import known_answers

    params = load_params()
    known = known_answers(params.runtime)
    questions = None if args.all else questions_of(params, known)
    done = export_answers(args.out, known, known_cards(known, cache_folder(params.runtime.cache)), questions)
    _print(args, done.to_json(), export_lines(done))


def _import(args: argparse.Namespace) -> None:
    from compeffdist.exchange.importing import import_answers
    from compeffdist.exchange.printing import import_lines
    from compeffdist.files import home_path
    from compeffdist.teacher.store import ResponseStore

    with ResponseStore(home_path(load_params().runtime.store)) as store:
        done = [import_answers(source, store) for source in args.sources]
    _print(args, [one.to_json() for one in done], (line for one in done for line in import_lines(one)))
    if any(one.rejected for one in done):
        raise SystemExit(1)


def _verify(args: argparse.Namespace) -> None:
    from functools import partial

    from compeffdist.artefacts import TEACHER
    from compeffdist.exchange.printing import verification_lines
    from compeffdist.exchange.questions import questions_of
    from compeffdist.exchange.verifying import verify_record
    from compeffdist.models import read_identity
    from compeffdist.teacher.asking import release_engine, teacher_weights
    from compeffdist.teacher.known import KnownAnswers
    from compeffdist.teacher.recorded import AnswerRecord, open_records

    if args.sample < 1:
        raise UserError("--sample: must be at least 1")
    params = load_params()
    record = AnswerRecord(args.record)
    # not the store: what follows from an answer is to follow from the recorded one
    questions = questions_of(params, KnownAnswers(None, [record, *open_records(params.runtime)]))
    weights = partial(teacher_weights, read_identity(Path(TEACHER)), params)
    try:
        done = verify_record(record, questions, params, weights, args.sample, args.seed)
    finally:
        release_engine()
    _print(args, done.to_json(), verification_lines(done))
    if done.problems:
        raise SystemExit(1)


def _print(args: argparse.Namespace, value: Any, lines: Iterable[str]) -> None:
    print(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) if args.json else "\n".join(lines))
