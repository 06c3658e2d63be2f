"""`compeffdist study tasks`: which generated tasks are poor, and which few stand for all."""

import argparse
import json
from pathlib import Path

HELP = "which generated tasks are poor and why, and which few of them stand for the others"
EXAMPLE = "compeffdist study tasks\n  compeffdist study tasks --pairs 0 --label-cosine 0.7 --keep 25 50"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from compeffdist.study.signs import SIGNS

    add, out = parser.add_argument, Path("report/tasks.json")
    for name, sign in SIGNS.items():
        told = f"{sign.title}: {sign.worse} this (default {sign.bound:.3g}: {sign.reason})"
        add(f"--{name.replace('_', '-')}", type=float, default=sign.bound, metavar="X", help=told.replace("%", "%%"))
    add("--pairs", type=int, default=3, metavar="N", help="of each task scored under another instruction (default 3)")
    add("--keep", type=int, nargs="+", default=[50, 100], metavar="K", help="sizes of choices (default 50 100)")
    add("--seed", type=int, metavar="S", help="of draws (default: that of params.yaml)")
    add("--out", type=Path, default=out, metavar="FILE", help="everything as JSON (default %(default)s)")
    add("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> None:
    """Look at the tasks of the run, write what was found, print tables."""
    from compeffdist.errors import UserError
    from compeffdist.study.signs import SIGNS

    if args.pairs < 0:
        raise UserError(f"--pairs: must not be below 0 (got {args.pairs})")
    if min(args.keep) < 1:
        raise UserError(f"--keep: must be at least 1 (got {min(args.keep)})")
    if args.out.suffix != ".json":
        raise UserError(f"--out: {args.out}: the name must end in .json")
    from compeffdist.files import write_json
    from compeffdist.params import load_params
    from compeffdist.study.task_quality import Request, task_quality
    from compeffdist.study.tasks_table import task_lines

    params = load_params()
    bounds = {name: getattr(args, name) for name in SIGNS}
    seed = params.seed if args.seed is None else args.seed
    found = task_quality(params, Request(bounds, args.pairs, args.keep, seed))
    write_json(args.out, found)
    print(json.dumps(found) if args.json else "\n".join([*task_lines(found), str(args.out)]))
