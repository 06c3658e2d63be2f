"""The code of each stage in one hash: what it means, not how it is written.

A fingerprint covers the syntax trees of a stage's module and of every module of ours that it reaches through imports,
without docstrings, comments and layout. `code.yaml` holds one line a stage, and each stage of dvc.yaml names its own
under `params`: a docstring that is edited re-runs nothing, a formula that is changed re-runs the stages that reach it.

    python -m compeffdist.fingerprints            # writes code.yaml; make fingerprints, make repro, make test do it
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from compeffdist.declaration import CODE, Stage, read_pipeline
from compeffdist.errors import UserError, run_guarded
from compeffdist.files import atomic_file
from compeffdist.yaml12 import read_yaml

DIGITS = 16
PACKAGE = "compeffdist"
SOURCE = Path("src")
SCRIPTS = Path("stages")

PLUMBING: Mapping[str, tuple[str, ...]] = {
    "says where artefacts lie, as dvc.yaml does, and what lineage follows": ("artefacts",),
    "moves bytes, checks knobs whose values DVC tracks, speaks to people": (
        *("accounting", "credentials", "declaration", "environment", "errors", "files", "fingerprints"),
        *("git", "given", "imports", "ledger", "network", "progress", "registry.server", "running"),
        *("params", "params.sections", "params.models", "params.pipeline", "params.evaluation", "params.gates"),
        *("tracking_uri", "yaml12"),
    ),
    "fetches models and packages, whose bytes are tied by hash in identities and corpora": (
        *("packages", "models", "models.gguf", "models.identity", "models.index", "models.inspection"),
        *("models.references", "models.resolving"),
    ),
    "asks the teacher: an answer is kept under the whole question, so how it was had changes no artefact": (
        *("teacher.asking", "teacher.chat", "teacher.dialect", "teacher.engine", "teacher.label_reading"),
        *("teacher.openai_engine", "teacher.processes", "teacher.recorded", "teacher.replies"),
        *("teacher.server_client", "teacher.server_errors", "teacher.store", "teacher.transformers_engine"),
        *("teacher.vllm_engine", "teacher.vllm_server", "teacher.vllm_supervisor"),
    ),
}
"""Modules that no artefact depends on, by the reason; what they import is not followed."""
BEYOND_IMPORTS: Mapping[str, tuple[str, ...]] = {"register_student": ("registry.served",)}
"""Modules that a stage hands to a library by path, which no import shows."""
WRITES_ALL = "record_files"
"""Writes the artefacts of every stage, past the plumbing."""


def stage_modules(stage: Stage, root: Path = Path()) -> list[Path]:
    """The files that a stage's fingerprint covers, sorted."""
    gate = [f"gates.{stage.gate}"] if stage.gate else []
    names = [WRITES_ALL, *BEYOND_IMPORTS.get(stage.name, ()), *gate]
    waiting = [root / SCRIPTS / ("check.py" if gate else f"{stage.name}.py")]
    waiting += filter(None, (_file(f"{PACKAGE}.{name}", root) for name in names))
    plumbing = {f"{PACKAGE}.{name}" for names in PLUMBING.values() for name in names}
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            modules = imported(path) - plumbing
            waiting += filter(None, (_file(module, root) for module in modules))
    return sorted(found)


def imported(path: Path) -> frozenset[str]:
    """Names of what a file imports of this package at its top or inside functions, but for types alone."""
    return _read(path)[1]


def fingerprint(stage: Stage, root: Path = Path()) -> str:
    """The hash of a stage's code. Raises UserError if a file of it is missing or is not Python."""
    digest = hashlib.sha256()
    for path in stage_modules(stage, root):
        digest.update(f"{path.relative_to(root).as_posix()}\n{_read(path)[0]}\n".encode())
    return digest.hexdigest()[:DIGITS]


def write_fingerprints(root: Path = Path()) -> list[str]:
    """Bring code.yaml up to date; the stages whose code changed. Raises UserError as `fingerprint`."""
    now = {name: fingerprint(stage, root) for name, stage in read_pipeline(root).items()}
    before = _recorded(root) if (root / CODE).exists() else {}
    if now != before:
        with atomic_file(root / CODE) as path:
            header = "# What each stage's code means, in a hash: written by `make fingerprints`, read by `dvc repro`.\n"
            path.write_text(header + "".join(f'{name}: "{value}"\n' for name, value in now.items()), encoding="utf-8")
    return [name for name, value in now.items() if before.get(name) != value]


def check_fingerprint(stage: Stage, root: Path = Path()) -> None:
    """Raises UserError if the code of a stage is not that of code.yaml, by which DVC decides what to run."""
    if _recorded(root).get(stage.name) != fingerprint(stage, root):
        raise UserError(f"{CODE}: stage {stage.name} has other code than it says; run: make fingerprints && dvc repro")


def _recorded(root: Path) -> Mapping[str, str]:
    try:
        content = read_yaml((root / CODE).read_bytes(), CODE)
    except OSError as error:
        raise UserError(f"{CODE}: cannot be read: {error.strerror}; write it with: make fingerprints") from None
    return {str(name): str(value) for name, value in content.items()} if isinstance(content, dict) else {}


def _file(module: str, root: Path) -> Path | None:
    """The file of a module of ours; None for a name inside one."""
    path = root / SOURCE / module.replace(".", "/")
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _read(path: Path) -> tuple[str, frozenset[str]]:
    """A file's meaning as text, and what it imports of ours."""
    try:
        return _parsed(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


@cache
def _parsed(content: bytes, path: str) -> tuple[str, frozenset[str]]:
    try:
        tree = ast.parse(content, path)
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: {error.msg}") from None
    return meaning(tree), frozenset(_imports(tree.body))


def meaning(node: object) -> str:
    """A syntax tree as text, without positions, docstrings and what stands at its default."""
    if isinstance(node, ast.AST):
        # of a constant, None is a value and `kind` how it is written
        fields = [("value", node.value)] if isinstance(node, ast.Constant) else list(ast.iter_fields(node))
        said = (f"{name}={meaning(value)}" for name, value in fields if isinstance(node, ast.Constant) or value)
        return f"{type(node).__name__}({','.join(said)})"
    if isinstance(node, list):
        return f"[{','.join(meaning(part) for part in node if not _is_text(part))}]"
    return repr(node)


def _is_text(node: object) -> bool:
    """Whether a statement is a string and nothing else: a docstring, of a module, function or field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(body: Iterable[ast.AST]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imports(node.orelse)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        else:
            yield from _imports(ast.iter_child_nodes(node))


def main() -> None:
    for name in write_fingerprints():
        print(f"{CODE}: {name}")


if __name__ == "__main__":
    run_guarded(main)
