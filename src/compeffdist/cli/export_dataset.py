"""`compeffdist export dataset`: the training rows as a data set."""

import argparse

from compeffdist.cli.exporting import add_licence_arguments, add_target, print_export

HELP = "the training rows as Parquet with ids and provenance, a Hugging Face card, and Croissant"
EXAMPLE = (
    "compeffdist export dataset --out exported/rows\n"
    "  compeffdist export dataset --out exported/rows --all --creator 'My team' --url https://example.org/rows"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "FOLDER", "folder of the data set, new or an earlier export's (--force)")
    parser.add_argument("--all", action="store_true", help="beside them all scored triplets, as configuration `scored`")
    parser.add_argument("--url", default="", help="where the data set will be found, for Croissant")
    parser.add_argument("--creator", default="", metavar="NAME", help="who publishes it, for Croissant")
    add_licence_arguments(parser, "texts")


def run(args: argparse.Namespace) -> None:
    from compeffdist.lineage.repository import Repository
    from compeffdist.publishing.dataset import export_dataset

    done = export_dataset(
        args.out,
        Repository(),
        every_row=args.all,
        allow_unknown_licence=args.allow_unknown_licence,
        despite_licence=args.despite_licence,
        url=args.url,
        creator=args.creator,
        force=args.force,
    )
    print_export(done, args.json)
