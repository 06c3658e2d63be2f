"""`compeffdist spend`: what was spent on the teacher."""

import argparse
from pathlib import Path

HELP = "what was bought of the teacher through this store: calls, tokens, time, money by your prices"
EXAMPLE = "compeffdist spend --by day stage --prices prices.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from compeffdist.costs.spent import BY

    add = parser.add_argument
    add("--by", nargs="+", choices=BY, default=["stage"], help="what to add up by (default: stage)")
    add("--prices", type=Path, metavar="FILE", help="a YAML file of prices (default: runtime.prices)")
    add("--json", action="store_true", help="print the sums as JSON")


def run(args: argparse.Namespace) -> None:
    """Print what the ledger beside the store holds."""
    import json

    from compeffdist.artefacts import TEACHER
    from compeffdist.costs.spent import grouped, spent_lines
    from compeffdist.files import home_path
    from compeffdist.models import read_identity
    from compeffdist.params import load_params, read_prices
    from compeffdist.teacher.spending import spendings

    runtime = load_params().runtime
    file = args.prices or (home_path(runtime.prices) if runtime.prices else None)
    prices = read_prices(file) if file else None
    teacher = read_identity(Path(TEACHER)).id if Path(TEACHER).exists() else None
    lines = grouped(spendings(home_path(runtime.store)), args.by, prices, teacher)
    if args.json:
        currency = {"currency": prices.currency, "date": prices.date} if prices else {}
        told = [line.to_json(args.by if line.of else ()) for line in lines]
        whole = told[-1] if told else None
        print(json.dumps({**currency, "by": args.by, "lines": told[:-1], "all": whole}, indent=2))
    else:
        print("\n".join(spent_lines(lines, args.by, prices)))
