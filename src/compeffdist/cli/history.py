"""`compeffdist history`: the ledger of promotions, verified."""

import argparse

HELP = "print the ledger of promotions and rollbacks, verified, and whether the registry agrees with it"
EXAMPLE = "compeffdist history --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the entries as JSON")


def run(args: argparse.Namespace) -> None:
    import json

    from compeffdist.cli.printing import print_note
    from compeffdist.params import load_params
    from compeffdist.promotion.history import history_lines, read_history

    history = read_history(load_params(), print_note)
    if args.json:
        print(json.dumps(history.to_row(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(history_lines(history)))
    if history.problem:
        print_note(history.problem)
