"""`compeffdist export model`: the student as a Hugging Face folder."""

import argparse

from compeffdist.artefacts import STUDENT
from compeffdist.cli.exporting import add_licence_arguments, add_target, print_export

HELP = "the student as a Hugging Face folder that transformers loads, with a card and its figures"
EXAMPLE = (
    "compeffdist export model --out exported/student\n"
    "  compeffdist export model --out exported/champion --model models:/compeffdist-student@champion"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target(parser, "FOLDER", "folder of the model, new or an earlier export's (--force)")
    parser.add_argument(
        "--model",
        default=STUDENT,
        metavar="REF",
        help="models/student, models:/NAME/VERSION or models:/NAME@ALIAS (default: %(default)s)",
    )
    add_licence_arguments(parser, "a student whose base is")


def run(args: argparse.Namespace) -> None:
    from compeffdist.lineage.repository import Repository
    from compeffdist.params import load_params
    from compeffdist.publishing.model import export_model

    done = export_model(
        args.out,
        Repository(),
        load_params().runtime,
        reference=args.model,
        allow_unknown_licence=args.allow_unknown_licence,
        despite_licence=args.despite_licence,
        force=args.force,
    )
    print_export(done, args.json)
