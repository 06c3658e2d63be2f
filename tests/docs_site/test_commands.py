"""Commands that pages show are ones that are there: they parse, and what they name of the repository exists."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.cli.main import build_parser
from docs_site import beside, outputs
from docs_site.commands_page import argparse, parsers
from tests.stages import ROOT

PAGES = [*outputs.pages(), *(f"../{path}" for path in [*beside.PAGES, "metrics/README.md"])]
PARSERS = {parser.prog: parser for parser, _ in parsers()}
PROGRAM = "compeffdist"
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def typed(page: str) -> Iterator[str]:
    """Command lines of a page's fenced blocks and marks, without prompts, joined where they go on in the next line."""
    for block in outputs.blocks(page, outputs.text_of(page)):
        if block.world:
            yield from (shown.command for shown in block.shown)
        elif block.language == "sh":
            yield from re.sub(r"\\\n *", "", "\n".join(block.lines)).splitlines()


def commands(line: str) -> Iterator[list[str]]:
    """The commands of a line, as words."""
    try:
        words = shlex.split(re.sub(r"(\S);", r"\1 ;", line), comments=True)
    except ValueError:  # a quotation that goes on in the next line: curl's JSON, nothing of ours
        return
    places = [-1, *(place for place, word in enumerate(words) if word in {"&&", ";", "|"}), len(words)]
    yield from (words[start + 1 : end] for start, end in itertools.pairwise(places))


def spans(page: str) -> list[str]:
    """What a page's running text says in code, on one line each."""
    text = re.sub(r"^```.*?^```", "", outputs.text_of(page), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in SPAN.findall(text)]


def own(page: str) -> list[list[str]]:
    return [words for line in typed(page) for words in commands(line) if words[:1] == [PROGRAM]]


SHOWN = [(page, words) for page in PAGES for words in own(page)]


@pytest.mark.parametrize(("page", "words"), SHOWN, ids=[f"{page}: {shlex.join(words)}" for page, words in SHOWN])
def test_a_command_that_is_shown_parses(page: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        build_parser().parse_args(["1" if word == "VERSION" else word for word in words[1:]])
    except SystemExit:
        pytest.fail(capsys.readouterr().err.splitlines()[-1], pytrace=False)


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def of_text(page: str) -> Iterator[str]:
    """Commands that a page's text names: whole, as a synopsis, or by their names alone."""
    yield from (span for span in spans(page) if span.split()[0] == PROGRAM and span != PROGRAM)


def test_a_command_that_a_text_names_is_there_with_its_options() -> None:
    named = [(page, span) for page in PAGES for span in of_text(page)]
    assert len(named) > 40
    wrong = []
    for page, span in named:
        words = span.split()
        found = max((prog for prog in PARSERS if words[: len(prog.split())] == prog.split()), key=len, default="")
        given = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", span))
        if not (words[1].startswith("--") and given <= {"--help", "--version"}):
            wrong += [f"{page}: {span}"] if not found or given - options(PARSERS[found]) else []
    assert wrong == []


def test_a_target_of_make_that_is_named_is_there() -> None:
    there = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [(page, words) for page in PAGES for line in [*typed(page), *spans(page)] for words in commands(line)]
    named = {(page, words[1]) for page, words in lines if words[:1] == ["make"] and len(words) > 1}
    targets = {(page, target) for page, target in named if "=" not in target}
    assert {target for _, target in targets} > {"repro", "test", "docs"}
    assert [(page, target) for page, target in targets if target not in there] == []


def test_a_module_or_script_that_is_run_is_there_with_its_options() -> None:
    wrong, seen = [], 0
    for page in PAGES:
        for words in (words for line in [*typed(page), *spans(page)] for words in commands(line)):
            if place := _run_by(words):
                seen += 1
                source = _source(place)
                wrong += [f"{page}: {place}"] if not source else []
                wrong += [
                    f"{page}: {place} {word}" for word in words if word[:2] == "--" < word and f'"{word}"' not in source
                ]
    assert seen > 10 and wrong == []


def _source(place: Path) -> str:
    """Of a script or of the modules of a folder; empty if there is none."""
    whole = ROOT / place
    files = [*whole.glob("*.py")] if whole.is_dir() else [whole] if whole.exists() else []
    return "\n".join(path.read_text("utf-8") for path in files)


def _run_by(words: list[str]) -> Path | None:
    """The file of the repository that a command runs."""
    match words:
        case ["python", "-m", module, *_] if module not in {"mkdocs", "pip", "pytest"}:
            place = Path(*module.split("."))
            place = place if (ROOT / place.parts[0]).is_dir() else "src" / place
            return place if (ROOT / place).is_dir() else place.with_suffix(".py")
        case ["python", script, *_] if script.endswith(".py"):
            return Path(script)
        case [script, _, *_] if script.startswith(("bench/", "stages/")):
            return Path(script)
    return None
