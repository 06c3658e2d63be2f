"""`compeffdist study agreement`: how far the student says what its teacher says of pairs it was not trained on."""

import argparse
import json
from pathlib import Path

HELP = "how far the student agrees with its teacher on answered pairs that it was not trained on"
EXAMPLE = (
    "compeffdist study agreement --rows 600\n"
    "  compeffdist study agreement --model models:/compeffdist-student@candidate --seen"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, out = parser.add_argument, Path("report/agreement.json")
    add("--model", default="models/student", metavar="REF", help="a folder or models:/NAME@ALIAS (default %(default)s)")
    add("--rows", type=int, default=600, metavar="N", help="drawn evenly over deciles of difficulty (default 600)")
    add("--seen", action="store_true", help="also as many of the pairs it was trained on, in columns of their own")
    add("--least", type=int, default=10, metavar="N", help="rows of a perspective to stand alone (default 10)")
    add("--seed", type=int, metavar="S", help="of draws and intervals (default: that of params.yaml)")
    add("--out", type=Path, default=out, metavar="FILE", help="the figures as JSON (default %(default)s)")
    add("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> None:
    """Read the run, ask base and student, write the figures, print a table."""
    from compeffdist.errors import UserError

    for option in ("rows", "least"):
        if getattr(args, option) < 1:
            raise UserError(f"--{option}: must be at least 1 (got {getattr(args, option)})")
    if args.out.suffix != ".json":
        raise UserError(f"--out: {args.out}: the name must end in .json")
    from compeffdist.evaluation.agreement_table import agreement_lines
    from compeffdist.evaluation.answered import read_answered
    from compeffdist.evaluation.measuring import Request, check_student, draw, measure, run_base
    from compeffdist.files import write_json
    from compeffdist.params import load_params
    from compeffdist.registry.weights import open_model

    params = load_params()
    request = Request(args.rows, args.seen, args.least, params.seed if args.seed is None else args.seed)
    answered = read_answered()
    draw(answered, request)  # what cannot be judged is said before a model is looked for
    base, base_folder = run_base(params)
    with open_model(args.model, params.runtime, str(base_folder)) as model:
        provenance = check_student(args.model, model.folder, base)
        folders = {"base": (base_folder, None), "student": (model.folder, model.base)}
        found = measure(answered, request, folders, str(provenance["system_prompt"]), params)
    told = {"model": args.model, "student_id": model.id, "base_id": base.id, **found}
    write_json(args.out, told)
    print(json.dumps(told) if args.json else "\n".join([*agreement_lines(told), str(args.out)]))
