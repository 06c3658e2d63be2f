"""`compeffdist export`: a finished run in formats that others read."""

import argparse

from compeffdist.cli import export_bom, export_dataset, export_lineage, export_model
from compeffdist.cli.commands import add_command

HELP = "write a finished run in formats that others read: a data set, a model, a bill of materials, lineage events"
EXAMPLE = (
    "compeffdist export dataset --out exported/rows      Parquet, a card, Croissant: datasets.load_dataset opens it\n"
    "  compeffdist export model --out exported/student     a Hugging Face folder with a card\n"
    "  compeffdist export bom --out exported/bom.json      CycloneDX: models, data, licences, hashes\n"
    "  compeffdist export lineage --out exported/lineage.jsonl    OpenLineage events"
)
FORMATS = {"dataset": export_dataset, "model": export_model, "bom": export_bom, "lineage": export_lineage}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    for name, module in FORMATS.items():
        add_command(formats, name, module)


def run(args: argparse.Namespace) -> None:
    """Write the one that was named."""
    FORMATS[args.format].run(args)
