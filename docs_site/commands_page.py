"""The reference of the commands, from their parsers: what each is for, its arguments, its examples."""

import argparse
from collections.abc import Iterator
from html import escape

from compeffdist.cli.main import build_parser

START = """# Commands

Every command of `compeffdist`, as its `--help` prints it, to be run at the top of a checkout with its environment
active (`source .venv/bin/activate`). What is at fault is one line that starts with `error:`, and exit code 1; arguments
that are no use leave with 2.
"""


def parsers(parser: argparse.ArgumentParser | None = None) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Every command and part of one, depth first, with what the help says it is for."""
    for action in (parser or build_parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            helped = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, inner in action.choices.items():
                yield inner, helped.get(name, "")
                yield from parsers(inner)


def page() -> str:
    """The whole page, in Markdown."""
    return "\n\n".join([START.strip(), *(_part(parser, helped) for parser, helped in parsers())]) + "\n"


def arguments_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a command takes beside `--help` and its parts."""
    left_out = (argparse._HelpAction, argparse._SubParsersAction)
    return [action for action in parser._actions if not isinstance(action, left_out)]


def _part(parser: argparse.ArgumentParser, helped: str) -> str:
    title = parser.prog.removeprefix("compeffdist ")
    parts = [f"{'##' if ' ' not in title else '###'} {title}", f"{helped[:1].upper()}{helped[1:]}."]
    if taken := arguments_of(parser):
        rows = [f"| `{_name(action)}` | {_helped(parser, action)} |" for action in taken]
        parts.append("\n".join(["| argument | |", "|---|---|", *rows]))
    if parser.epilog:
        example = "\n".join(line.removeprefix("  ") for line in parser.epilog.removeprefix("example:\n").splitlines())
        parts.append(f"```sh\n{example}\n```")
    return "\n\n".join(parts)


def _name(action: argparse.Action) -> str:
    """As it is written: `--file FILE`, `VERSION`, `SOURCE …`."""
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    word = action.metavar or (" or ".join(map(str, action.choices)) if action.choices else action.dest.upper())
    shown = word if isinstance(word, str) else " ".join(word)
    more = {"+": f"{shown} …", "*": f"[{shown} …]", "?": f"[{shown}]"}.get(str(action.nargs), shown)
    return " ".join([", ".join(action.option_strings), more]).strip()


def _helped(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    needed = " Needed." if action.required and action.option_strings else ""
    return escape(f"{text[:1].upper()}{text[1:]}.{needed}".replace("..", "."), quote=False).replace("|", "\\|")
