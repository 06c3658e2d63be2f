"""How a command, or a part of one, is entered: a module with HELP, EXAMPLE, `add_arguments(parser)` and `run(args)`."""

import argparse
from typing import Any


def add_command(among: Any, name: str, module: Any) -> None:
    """Enter a module under a name.

    Args:
        among: what `add_subparsers` gave.
    """
    parser = among.add_parser(
        name,
        help=module.HELP,
        description=module.HELP,
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
