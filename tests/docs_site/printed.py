"""What docs/ show of a command's output is what the command prints, its words and lines, so that docs do not drift.

A fenced block is compared if the line before it is `<!-- printed: WORLD -->`. WORLD names where its commands run, in
the order of the page. Figures, ids and times are a page's own, of whatever run it tells of; `…` alone on a line stands
for lines that are left out.
"""

import contextlib
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from compeffdist.cli.main import main
from tests.stages import ROOT

WORLDS = {
    "promotion": "tests/promotion/test_printed.py",
    "one-perspective": "tests/gates/test_printed.py",
    "lost-triplet": "tests/gates/test_printed.py",
    "changed-bit": "tests/lineage/test_printed.py",
    "sheet": "tests/study/test_printed.py",
}
"""World -> the test that runs its commands."""
MARK = "<!-- printed: "
BLOCK = re.compile(rf"^{MARK}([\w-]+) -->\n```\n(.*?)^```", re.DOTALL | re.MULTILINE)
OWN = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)", "TIME"),
    (r"\b[a-z]+_[0-9a-f]{24}\b", "ID"),
    (r"\b[0-9a-f]{32}\b", "HASH"),
    (r"(?<![\w.])[+-]?\d+(?:,\d{3})*(?:\.\d+)?", "N"),
)
"""What is one run's own, and what stands for it."""


@dataclass(frozen=True)
class Shown:
    """A command of a page and what the page says that it prints."""

    world: str
    command: str
    printed: str


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text("utf-8")


def shown_in(page: str) -> Iterator[Shown]:
    """The commands of a page's marked blocks, in their order."""
    for world, block in BLOCK.findall(text_of(page)):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield Shown(world, command.partition("  #")[0].strip(), printed.strip("\n"))


def alike(text: str) -> list[str]:
    """Lines without what is one run's own."""
    for pattern, word in OWN:
        text = re.sub(pattern, word, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether what is shown is what was printed."""
    pattern = "".join(r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line) + "\n" for line in shown)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


def hold(page: str, world: str, run: Callable[[str], str]) -> None:
    """Run a page's commands of a world, and compare what each prints with what the page shows."""
    assert world in WORLDS
    found = [shown for shown in shown_in(page) if shown.world == world]
    assert found, f"docs/{page} has no block of {world}"
    for shown in found:
        printed = run(shown.command)
        assert matches(alike(shown.printed), alike(printed)), f"docs/{page}: {shown.command} prints\n{printed}"


def typed(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `compeffdist …` prints, as it is typed."""
    program, *arguments = shlex.split(command)
    assert program == "compeffdist"
    capsys.readouterr()
    with contextlib.suppress(SystemExit):
        main(arguments)
    printed = capsys.readouterr()
    return printed.out + printed.err
