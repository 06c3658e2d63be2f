"""`compeffdist export bom`: a bill of materials."""

import argparse

from compeffdist.cli.exporting import add_target, print_export

HELP = "models and data of the run as a bill of materials: CycloneDX 1.6 with model cards (ML-BOM)"
EXAMPLE = "compeffdist export bom --out exported/bom.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "FILE", "file of the bill of materials, new or an earlier export's (--force)")


def run(args: argparse.Namespace) -> None:
    from compeffdist.lineage.repository import Repository
    from compeffdist.publishing.bom import export_bom

    print_export(export_bom(args.out, Repository(), force=args.force), args.json)
