"""docs/architecture.md as a contract: nothing imports upward, and heavy libraries only when they are needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from compeffdist.fingerprints import imported
from tests.stages import ROOT

PACKAGE = ROOT / "src" / "compeffdist"

LAYERS = [
    {"__init__", "credentials", "environment"},
    {"connections"},
    {"errors"},
    {"git", "network", "tracking_uri"},
    {"engines", "files", "imports", "label_spelling", "measures", "progress", "yaml12"},
    {"declaration"},
    {"fingerprints"},
    {"chat_template", "label_priors", "labels", "ledger", "pages", "params", "precision", "prompting", "records"},
    {"record_files"},
    {"accounting", "artefacts", "columns", "packages", "profiles"},
    {"given"},
    {"domain", "models", "running"},
    {"embedding", "formatting"},
    {"texts"},
    {"teacher"},
    {"student"},
    {"instructions"},
    {"triplets"},
    {"difficulty"},
    {"proxy"},
    {"evaluation", "study"},
    {"exchange", "gates"},
    {"registry"},
    {"benchmark", "lineage"},
    {"report"},
    {"promotion"},
    {"cli"},
]
"""From the ground up. A module imports from its own room and from layers below."""

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
}


def room(path: Path) -> str:
    """The top-level module or folder a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level(name: str) -> int:
    """How high a room is."""
    return next(height for height, rooms in enumerate(LAYERS) if name in rooms)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_imports_upward(path: Path) -> None:
    own = room(path)
    for module in imported(path):
        target = module.split(".")[1] if "." in module else "__init__"
        if (PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").exists():
            assert target == own or level(target) < level(own), f"{own} imports {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_stages_hold_no_logic(path: Path) -> None:
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
            [sys.executable, "-m", "compeffdist.cli.main", command.NAME, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"compeffdist {command.NAME}" in done.stdout.split("example:")[1]
