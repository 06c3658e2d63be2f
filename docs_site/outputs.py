"""Outputs that docs/ show: which there are, what each is compared with, and how.

`python -m docs_site.outputs` compares all of them, `--write` writes those that differ anew (both run the tests that
WORLDS names). A fenced block or table is marked by the line above it:

    <!-- output: WORLD -->           what its commands print in that world, but for WILD
    <!-- shape: WORLD: COMMAND -->   the same with any figures: those of another run or machine, which the page names

A world is a small run that a test makes; it runs the commands that the block shows, in the order of the page, or
COMMAND, where the block shows none. `…` alone on a line stands for lines that are left out. Of a table the heads of
columns and of rows are compared. What is neither marked nor in a language that holds no output is in UNCOMPARED.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

WORLDS = {
    "promotion": "tests/promotion/test_printed.py",
    "lock-left-behind": "tests/promotion/test_printed.py",
    "one-perspective": "tests/gates/test_printed.py",
    "lost-triplet": "tests/gates/test_printed.py",
    "neutral-is-hard": "tests/gates/test_printed.py",
    "loose-perspectives": "tests/gates/test_printed.py",
    "proxy-by-chance": "tests/gates/test_printed.py",
    "untouched": "tests/lineage/test_printed.py",
    "changed-bit": "tests/lineage/test_printed.py",
    "traced": "tests/lineage/test_printed.py",
    "recorded-text": "tests/lineage/test_printed.py",
    "withdrawn-text": "tests/lineage/test_printed.py",
    "sheet": "tests/study/test_printed.py",
    "studied": "tests/study/test_printed.py",
    "mistakes": "tests/study/test_printed.py",
    "tasks": "tests/study/test_printed.py",
    "agreement": "tests/evaluation/test_printed.py",
    "killed-training": "tests/student/test_printed.py",
    "asked": "tests/registry/test_printed.py",
    "planned": "tests/costs/test_printed.py",
    "looked-over": "tests/watch/test_printed.py",
    "spent": "tests/watch/test_printed.py",
    "watched": "tests/watch/test_printed.py",
}
"""World -> the test that runs its commands."""
WITHOUT_OUTPUT = {"sh", "yaml", "python", "mermaid"}
"""Languages of blocks that show what is typed, written or drawn."""
UNCOMPARED = {
    ("architecture.md", "dvc.yaml "): "no output: folders, which tests/docs_site/test_named.py looks up",
    ("mlflow-and-dvc.md", "$ dvc exp show"): "compared by tests/test_dvc_views.py, in a repository of its own",
    ("mlflow-and-dvc.md", "$ dvc params diff"): "compared by tests/test_dvc_views.py, in a repository of its own",
    (
        "promotion.md",
        '{"entity": "model_version_alias"',
    ): "what MLflow's server sends, seen by tests/promotion/test_server.py",
    (
        "studies.md",
        "37 of 100 rows",
    ): "it goes on until Ctrl-C; tests/labelling has its lines",
    ("studies.md", "error: notes.csv"): "an error of tests/labelling, by its words",
}
"""Page and beginning of each other block that nothing compares -> why."""
WILD = (
    (r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)", "TIME"),
    (r"\b\d{4}-\d\d-\d\d\b", "DAY"),
    (r"\b([a-z]+)_[0-9a-f]{24}\b", r"\1_ID"),
    (r"\b[0-9a-f]{32}\b", "HASH"),
    (r"\b[0-9a-f]{16}\b", "FOLDER"),
    (r"\b[0-9a-f]{40}\b|(?<=commit )[0-9a-f]{10}\b", "COMMIT"),
)
"""What is of one run of a world, and what stands for it: times, days, ids, hashes, folders named by one, commits."""
FIGURE = (r"(?<![\w.])[+-]?\d+(?:,\d{3})*(?:\.\d+)?", "N")
CUT = "…"
WRITE = "COMPEFFDIST_DOCS_WRITE"
"""Set where the tests write a block anew in place of failing."""
MARK = re.compile(r"<!-- (output|shape): ([\w-]+)(?:: (.+?))? -->")
FENCE = re.compile(r"```(\w*)")


@dataclass(frozen=True)
class Shown:
    """A command, and what a page says that it prints."""

    command: str
    """As it is typed, with its comment."""
    printed: str


@dataclass(frozen=True)
class Block:
    """A fenced block or a marked table of a page."""

    page: str
    """Relative to docs/."""
    start: int
    """Its first line's place in the page, that of a fence."""
    language: str
    lines: tuple[str, ...]
    """Without fences."""
    kind: str = ""
    """`output` or `shape`; empty if it is not marked."""
    world: str = ""
    command: str = ""
    """That of the mark."""

    @property
    def table(self) -> bool:
        return self.language == "table"

    @property
    def shown(self) -> list[Shown]:
        """Its commands, with what each prints."""
        if self.command:
            return [Shown(self.command, "\n".join(self.lines))]
        parts = re.split(r"^\$ ", "\n".join(self.lines), flags=re.MULTILINE)[1:]
        halves = [part.partition("\n") for part in parts]
        return [Shown(command, printed.strip("\n")) for command, _, printed in halves]


def pages(root: Path = ROOT) -> list[str]:
    """The README and the pages of docs/, as paths from docs/."""
    return ["../README.md", *sorted(path.relative_to(root / "docs").as_posix() for path in root.glob("docs/**/*.md"))]


def text_of(page: str, root: Path = ROOT) -> str:
    return (root / "docs" / page).read_text("utf-8")


def blocks(page: str, text: str) -> Iterator[Block]:
    """The fenced blocks of a page and its marked tables, in their order. Raises ValueError on a mark that is not
    readable, or is above neither."""
    lines = text.splitlines()
    mark: re.Match[str] | None = None
    place = 0
    while place < len(lines):
        fence, start = FENCE.match(lines[place]), place
        if fence:
            place = lines.index("```", place + 1)
            found = Block(page, start, fence[1], tuple(lines[start + 1 : place]))
        elif mark and lines[place].startswith("|"):
            while place + 1 < len(lines) and lines[place + 1].startswith("|"):
                place += 1
            found = Block(page, start, "table", tuple(lines[start : place + 1]))
        elif mark:
            raise ValueError(f"{page}: line {place}: a mark with no block below it")
        else:
            mark = MARK.fullmatch(lines[place])
            if not mark and lines[place].startswith("<!--"):
                raise ValueError(f"{page}: line {place + 1}: {lines[place]} is no mark")
            place += 1
            continue
        yield replace(found, kind=mark[1], world=mark[2], command=mark[3] or "") if mark else found
        mark, place = None, place + 1
    if mark:
        raise ValueError(f"{page}: line {place}: a mark with no block below it")


def is_uncompared(block: Block) -> bool:
    """Whether it is one of UNCOMPARED."""
    first = block.lines[0] if block.lines else ""
    return any(block.page == page and first.startswith(beginning) for page, beginning in UNCOMPARED)


def alike(text: str, kind: str) -> list[str]:
    """Lines without what is of one run: of a shape, without figures as well."""
    for pattern, word in (*WILD, *([FIGURE] if kind == "shape" else [])):
        text = re.sub(pattern, word, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def _aligned(shown: str, printed: str, kind: str) -> re.Match[str] | None:
    """A group for each cut of what is shown, if it is what was printed."""
    parts = (r"((?:.*\n)*?)" if _is_cut(line) else re.escape(line) + "\n" for line in alike(shown, kind))
    return re.fullmatch("".join(parts), "".join(f"{line}\n" for line in alike(printed, kind)))


def _is_cut(line: str) -> bool:
    return line.strip(" │") == CUT


def matches(shown: str, printed: str, kind: str) -> bool:
    """Whether what is shown is what was printed."""
    return _aligned(shown, printed, kind) is not None


def refreshed(shown: str, printed: str) -> str:
    """What was printed, with the cuts of what is shown, where it is the same."""
    found = _aligned(shown, printed, "output")
    if not found:
        return printed
    lines, cuts = iter(printed.splitlines()), iter(found.groups())
    kept = []
    for line in shown.splitlines():
        if _is_cut(line):
            for _ in range(next(cuts).count("\n")):
                next(lines)
        kept.append(line if _is_cut(line) else next(lines))
    return "\n".join(kept)


def table_matches(shown: Sequence[str], printed: str) -> bool:
    """Whether a table's columns and rows, by their heads, are among those of a printed table."""
    tables = [part.splitlines() for part in re.findall(r"(?:^\|.*\n?)+", printed, re.MULTILINE)]
    heads, rows = _heads(shown)
    return any(heads <= of and rows <= found for of, found in map(_heads, tables))


def _heads(table: Sequence[str]) -> tuple[set[str], set[str]]:
    """Heads of the columns, and those of rows that say more than figures."""
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table]
    firsts = {alike(row[0], "shape")[0] for row in cells[2:] if re.search("[a-z]", row[0])}
    return {alike(cell, "shape")[0] for cell in cells[0] if cell}, firsts


def rewritten(text: str, block: Block, printed: Sequence[Shown]) -> str:
    """A page's text with other commands and outputs in a block that shows commands."""
    lines = text.splitlines()
    body = "\n\n" if "" in block.lines else "\n"
    new = body.join(f"$ {one.command}\n{one.printed}".rstrip("\n") for one in printed)
    lines[block.start + 1 : block.start + 1 + len(block.lines)] = new.splitlines()
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worlds' tests, comparing or writing."""
    parser = argparse.ArgumentParser(prog="python -m docs_site.outputs", description="Outputs shown in docs/.")
    parser.add_argument("--write", action="store_true", help="write the blocks that differ from what is printed now")
    args = parser.parse_args(arguments)
    before = {page: text_of(page) for page in pages()}
    command = [sys.executable, "-m", "pytest", "-q", *sorted(set(WORLDS.values()))]
    code = subprocess.run(command, cwd=ROOT, env=os.environ | ({WRITE: "1"} if args.write else {}), check=False)
    for page in [page for page, text in before.items() if text_of(page) != text]:
        print(f"docs/{page}: written anew")
    return code.returncode


if __name__ == "__main__":
    sys.exit(main())
