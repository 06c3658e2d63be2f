"""`compeffdist COMMAND`: arguments in, one line of help each. Heavy imports happen inside the commands."""

import argparse
import gc
from importlib import import_module

from compeffdist import __version__
from compeffdist.cli.commands import add_command
from compeffdist.errors import run_guarded
from compeffdist.imports import spare_pandas

COMMANDS = (
    *("doctor", "profile", "add-source", "add-task"),
    *("plan", "results", "evaluate", "benchmark", "seen", "predict", "trace", "audit", "forget", "answers", "export"),
    *("promote", "rollback", "history", "unlock", "cluster", "score", "study", "experiments", "spend", "watch"),
)
"""In the order of the help; each is a module of this package, of its name with `_` for `-`."""


NEW_OBJECTS = 100_000
"""After so many Python looks for garbage; its own 700 are a quarter of what `trace` takes."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="compeffdist", description="Distil what a teacher sees in texts: see README.md."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        add_command(commands, name, import_module(f"compeffdist.cli.{name.replace('-', '_')}"))
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `compeffdist` script."""
    gc.set_threshold(NEW_OBJECTS)
    spare_pandas()
    args = build_parser().parse_args(arguments)
    run_guarded(lambda: args.run(args))


if __name__ == "__main__":
    main()
