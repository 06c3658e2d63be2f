"""`compeffdist study label`: a sheet labelled with the keyboard, on a page of this machine."""

import argparse
from pathlib import Path

HELP = "label a sheet with the keyboard, on a page of this machine; each label is in the file at once"
EXAMPLE = "compeffdist study label report/sheet.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sheet", type=Path, metavar="SHEET", help="that of --sheet, or as a spreadsheet saved it (CSV)")


def run(args: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C; say how many rows are labelled, and what to do with them."""
    import sys
    from contextlib import suppress

    from compeffdist.labelling.server import LabelServer
    from compeffdist.labelling.sheet import Sheet

    sheet = Sheet(args.sheet)
    for note in sheet.read.notes:
        print(note, file=sys.stderr)
    with LabelServer(sheet) as server:
        print(f"{sheet.told()}; open this address to go on, end with Ctrl-C:")
        print(server.address, flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    print(sheet.end())
