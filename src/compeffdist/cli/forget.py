"""`compeffdist forget`: a person withdraws a text."""

import argparse

HELP = "withdraw a text: show what it went into, remove it from the response store, keep it out of later runs"
EXAMPLE = "compeffdist forget text_9f2c5e1ab03d4c77a1e0b6d2 --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text_id", help="id of the text, as in data/texts.parquet")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--dry-run", action="store_true", help="only show what would be done")
    modes.add_argument(
        "--purge", action="store_true", help="after dvc repro: remove what older data, experiments and students hold"
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def run(args: argparse.Namespace) -> None:
    """Print the plan; carry it out unless it is a dry run."""
    import json
    import sys

    from compeffdist.errors import one_line
    from compeffdist.lineage.checkout import open_forgetting
    from compeffdist.lineage.withdrawal_report import plan_lines, purge_lines

    forgetting = open_forgetting()
    plan = forgetting.plan(args.text_id)
    lines = plan_lines(plan, dry_run=args.dry_run)
    print(json.dumps(plan.to_json(), indent=2, sort_keys=True) if args.json else "\n".join(lines))
    if args.dry_run:
        return
    if trouble := forgetting.apply(plan):
        print(f"warning: {one_line(trouble)}", file=sys.stderr)
    if args.purge:
        removed = forgetting.purge(plan)
        if not args.json:
            print("\n".join(purge_lines(plan, removed)))
