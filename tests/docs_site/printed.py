"""What docs/ show of a world's commands is what they print (`docs_site/outputs.py` says how that is told)."""

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence

import pytest

from compeffdist.cli.main import main
from docs_site import outputs
from docs_site.outputs import Block, Shown
from tests.stages import ROOT

PROGRESS = re.compile(r"^.* · took [\d:]+\n", re.MULTILINE)
"""A line of work that took a second or more, which hangs on the machine."""


def hold(page: str, world: str, run: Callable[[str], str], ids: Mapping[str, str] | None = None) -> None:
    """Run a page's commands of a world, and compare what each prints with what the page shows, or write it there
    (`outputs.WRITE`).

    Args:
        run: what a command, given with its comment, prints.
        ids: kind -> the id of the world that stands for any id of that kind in a command.
    """
    assert world in outputs.WORLDS
    found = [block for block in outputs.blocks(page, outputs.text_of(page)) if block.world == world]
    assert found, f"docs/{page} has no block of {world}"
    pairs = [(block, shown, _printed(shown, run, ids or {})) for block in found for shown in block.shown]
    differing = [(block, printed) for block, shown, printed in pairs if not _holds(block, shown, printed)]
    if differing and os.environ.get(outputs.WRITE) and all(block.kind == "output" for block, _ in differing):
        _write(page, pairs)
    elif differing:
        told = [f"docs/{page}: line {block.start + 1}: {one.command}\n{one.printed}" for block, one in differing]
        pytest.fail("\n\n".join(["not what is shown, but what is printed:", *told]), pytrace=False)


def _write(page: str, pairs: Sequence[tuple[Block, Shown, Shown]]) -> None:
    """All outputs of a world, those that are as shown as well, so that their ids are of one run."""
    for block in reversed(dict.fromkeys(block for block, _, _ in pairs)):  # the places of those above stay
        if block.kind == "output":
            own = [(shown, printed) for of, shown, printed in pairs if of is block]
            new = [Shown(printed.command, outputs.refreshed(shown.printed, printed.printed)) for shown, printed in own]
            (ROOT / "docs" / page).write_text(outputs.rewritten(outputs.text_of(page), block, new), "utf-8")


def _printed(shown: Shown, run: Callable[[str], str], ids: Mapping[str, str]) -> Shown:
    command = shown.command
    for kind, key in ids.items():
        command = re.sub(rf"\b{kind}_[0-9a-f]{{24}}\b", key, command)
    return Shown(command, run(command).strip("\n"))


def _holds(block: Block, shown: Shown, printed: Shown) -> bool:
    if block.table:
        return outputs.table_matches(shown.printed.splitlines(), printed.printed)
    return outputs.matches(shown.printed, printed.printed, block.kind)


def typed(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `compeffdist …` prints, as it is typed."""
    program, *arguments = shlex.split(command, comments=True)
    assert program == "compeffdist"
    capsys.readouterr()
    with contextlib.suppress(SystemExit):
        main(arguments)
    printed = capsys.readouterr()
    return printed.out + PROGRESS.sub("", printed.err)
