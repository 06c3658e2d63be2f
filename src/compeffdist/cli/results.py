"""`compeffdist results`: the table of teacher, base student and student, per evaluation task."""

import argparse

from compeffdist.artefacts import EVALUATED, REGISTRATION, REPORT, STUDENT

HELP = "print the evaluation table of the last run"
EXAMPLE = "compeffdist results --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--evaluation", default=EVALUATED, help="file the stage evaluate_student wrote")
    parser.add_argument("--registration", default=REGISTRATION, help="file register_student wrote")
    parser.add_argument("--json", action="store_true", help="print the files' contents as JSON")


def run(args: argparse.Namespace) -> None:
    """Print the table, and the registered version where there is one."""
    import json
    from pathlib import Path

    from compeffdist.evaluation.table import evaluation_table, priors_line, registration_line, verdict_line
    from compeffdist.files import read_json

    evaluation = read_json(Path(args.evaluation))
    registration = read_json(Path(args.registration)) if Path(args.registration).exists() else None
    if args.json:
        print(json.dumps({"evaluation": evaluation, "registration": registration}, indent=2, sort_keys=True))
        return
    print(evaluation_table(evaluation))
    if priors := priors_line(evaluation):
        print(priors)
    if verdict := verdict_line(evaluation):
        print(verdict)
    if not Path(STUDENT).exists():
        print("figures of the run in git: there is none of this checkout yet (make repro)")
    elif registration:
        print(registration_line(registration))
    if Path(REPORT).exists():
        print(f"report: {REPORT}")
