"""`compeffdist unlock`: remove the lock of a promotion whose process is gone."""

import argparse

HELP = "remove the lock that a killed promotion on another machine left behind; history and promote name its key"
EXAMPLE = "compeffdist unlock 3f2a9c1b"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="of the lock that is meant: a later promotion's stays")


def run(args: argparse.Namespace) -> None:
    """Remove it and say whose it was."""
    from compeffdist.errors import one_line
    from compeffdist.params import load_params
    from compeffdist.promotion.mutex import break_mutex
    from compeffdist.registry.tracking import open_present, store_errors

    client, name = open_present(), load_params().registry.model_name
    with store_errors():
        break_mutex(client, name, args.key, lambda line: print(one_line(line)))
