"""`compeffdist rollback`: make the former champion champion again."""

import argparse

HELP = "make the former champion champion again; once more, the one before it"
EXAMPLE = 'compeffdist rollback --reason "calls complaints neutral"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", default="", metavar="TEXT", help="is recorded")
    parser.add_argument("--override", metavar="REASON", help="do it whatever speaks against it; both are recorded")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(args: argparse.Namespace) -> None:
    """Roll back, print, and leave with 1 if it was refused."""
    from compeffdist.cli.printing import print_note, print_outcome
    from compeffdist.lineage.checkout import version_problems
    from compeffdist.params import load_params
    from compeffdist.promotion.promote import rollback

    params = load_params()
    print_outcome(rollback(params, version_problems, args.reason, args.override, print_note), args.json)
