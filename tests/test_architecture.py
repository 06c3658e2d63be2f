"""docs/architecture.md as a contract: nothing imports upward, and heavy libraries only when they are needed."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from compeffdist.fingerprints import imported
from tests.stages import ROOT

PACKAGE = ROOT / "src" / "compeffdist"

HEAVY = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "vllm",
    "mlflow",
    "sklearn",
    "pandas",
    "openai",
    "great_expectations",
    "sentence_transformers",
    "cyclonedx",
    "openlineage",
    "datasets",
    "pyarrow",
    "ray",
}


def room(path: Path) -> str:
    """The top-level module or folder a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rows() -> list[list[str]]:
    """The rooms of docs/architecture.md, a list a row of its table, from the top."""
    table = (ROOT / "docs/architecture.md").read_text().partition("| room |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return [[name.strip("/").removesuffix(".py") for name in re.findall(r"`([^`]+)`", cell)] for cell in cells]


ROW = {name: number for number, names in enumerate(rows()) for name in names}


def reached(own: str) -> set[str]:
    """The other rooms that a room imports from."""
    paths = [PACKAGE / f"{own}.py"] if (PACKAGE / f"{own}.py").exists() else sorted((PACKAGE / own).rglob("*.py"))
    names = {module.split(".")[1] for path in paths for module in imported(path) if "." in module}
    return names & ROOMS - {own}


ROOMS = {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}


def test_every_room_is_in_the_table_once() -> None:
    assert sorted(name for names in rows() for name in names) == sorted(ROOMS | {"stages"})


@pytest.mark.parametrize("own", sorted(ROOMS))
def test_nothing_imports_upward(own: str) -> None:
    assert not {name for name in reached(own) if ROW[name] < ROW[own]}


def test_no_rooms_import_in_a_circle() -> None:
    graphlib.TopologicalSorter({own: reached(own) for own in ROOMS}).prepare()


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_a_stage_is_one_short_function(path: Path) -> None:
    tree = ast.parse(path.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    if path.stem != "run":
        assert [function.name for function in functions] == ["run"]
    assert len(path.read_text().splitlines()) < 60


def test_help_answers_without_heavy_imports() -> None:
    script = (
        "import sys\nfrom compeffdist.cli.main import build_parser\nbuild_parser().format_help()\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help_with_an_example() -> None:
    from compeffdist.cli.main import COMMANDS

    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "compeffdist.cli.main", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"compeffdist {command}" in done.stdout.split("example:")[1]
