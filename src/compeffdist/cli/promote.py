"""`compeffdist promote`: make a registered version champion, if it has earned it."""

import argparse

HELP = "make a registered version champion if it has earned it; say why if it has not"
EXAMPLE = "compeffdist promote 3 --to champion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", type=int, metavar="VERSION", help="number of the model version")
    parser.add_argument("--to", choices=["champion"], default="champion", help="alias it is to have")
    parser.add_argument("--override", metavar="REASON", help="promote whatever speaks against it; both are recorded")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(args: argparse.Namespace) -> None:
    """Decide, print, and leave with 1 if it was refused."""
    from compeffdist.cli.printing import print_note, print_outcome
    from compeffdist.lineage.checkout import version_problems
    from compeffdist.params import load_params
    from compeffdist.promotion.promote import promote

    params = load_params()
    print_outcome(promote(args.version, params, version_problems, args.override, print_note), args.json)
