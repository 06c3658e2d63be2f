"""`compeffdist export lineage`: OpenLineage events."""

import argparse

from compeffdist.cli.exporting import add_target, print_export

HELP = "stages, artefacts and gates of the run as OpenLineage events, one a line"
EXAMPLE = (
    "compeffdist export lineage --out exported/lineage.jsonl\n"
    "  compeffdist export lineage --out exported/lineage.jsonl --namespace my-project"
)
DEFAULT_NAMESPACE = "compeffdist"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "FILE", "file of the events, new or an earlier export's (--force)")
    parser.add_argument(
        "--namespace",
        default=DEFAULT_NAMESPACE,
        metavar="NAME",
        help="of jobs and data sets, where several projects report to one place (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    from compeffdist.errors import UserError
    from compeffdist.lineage.repository import Repository
    from compeffdist.publishing.lineage_events import export_lineage

    if not args.namespace.strip():
        raise UserError("--namespace: must not be empty")
    print_export(export_lineage(args.out, Repository(), namespace=args.namespace, force=args.force), args.json)
