"""The code of each stage in one hash: what it means, not how it is written.

A fingerprint covers the syntax trees of a stage's module and of every module of ours that it reaches through imports,
without docstrings, comments and layout. `code.yaml` holds one line a stage, and each stage of dvc.yaml names its own
under `params`: a docstring that is edited re-runs nothing, a formula that is changed re-runs the stages that reach it.
Of the params there is what stands for a key that params.yaml leaves out, for DVC tracks only what is in the file.

    python -m compeffdist.fingerprints            # writes code.yaml; make fingerprints, make repro, make test do it
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

from compeffdist.canonical import hash_text
from compeffdist.declaration import CODE, PIPELINE, Stage, read_pipeline
from compeffdist.errors import UserError, one_line, run_guarded
from compeffdist.files import atomic_file
from compeffdist.yaml12 import read_yaml

DIGITS = 16
PACKAGE = "compeffdist"
SOURCE = Path("src")
SCRIPTS = Path("stages")

MODELS = (
    *("models", "models.gguf", "models.identity", "models.index", "models.inspection", "models.references"),
    "models.resolving",
)
PLUMBING: Mapping[str, tuple[str, ...]] = {
    "says where artefacts lie, as dvc.yaml does, and what lineage follows": ("artefacts",),
    "moves bytes, checks knobs whose values DVC tracks, speaks to people": (
        *("credentials", "declaration", "environment", "errors", "files", "fingerprints"),
        *("git", "imports", "ledger", "network", "progress", "registry.server", "running", "stage_notes"),
        *("params", "params.sections", "params.models", "params.pipeline", "params.evaluation", "params.gates"),
        *("params.registry", "params.spending", "params.tuples", "processes", "tracking_uri", "yaml12"),
    ),
    "fetches models and packages, whose bytes are tied by hash in identities and corpora": ("packages", *MODELS),
    "starts processes that do a training together, each by the code of one": (
        *("student.together", "student.launcher", "student.rank"),
    ),
    "has replicas compute, by the code of one, what a stage then finds kept": (
        *("executor", "executor.head", "executor.session", "difficulty.spread"),
    ),
    "speaks to the MLflow store, where no artefact comes from": (
        *("registry.describing", "registry.local_store", "registry.showing"),
        "registry.tracking",
    ),
    "asks the teacher: an answer is kept under the whole question, so how it was had changes no artefact": (
        *("teacher.asking", "teacher.batch_engine", "teacher.batches", "teacher.chat"),
        *("teacher.control_tokens", "teacher.dialect", "teacher.found_out"),
        *("teacher.engine", "teacher.label_reading"),
        *("teacher.openai_engine", "teacher.pace", "teacher.placement", "teacher.recorded", "teacher.replicas"),
        *("teacher.replicated_engine", "teacher.replies"),
        *("teacher.server_access", "teacher.server_client", "teacher.server_errors", "teacher.spending"),
        *("teacher.sqlite_file", "teacher.store"),
        *("teacher.transformers_engine", "teacher.vllm_engine", "teacher.vllm_server", "teacher.vllm_supervisor"),
        *("teacher.vllm_placing", "teacher.vllm_replicas"),
        "teacher.wire",
    ),
}
"""Modules that no artefact depends on, by the reason; what they import is not followed."""
BEYOND_IMPORTS: Mapping[str, tuple[str, ...]] = {"register_student": ("registry.served",), "resolve_models": MODELS}
"""Modules that a stage hands to a library by path, which no import shows; and plumbing that makes its artefacts."""
EVERY_STAGE = ("given", "artefact_kinds")
"""Reads and writes the artefacts of every stage, past the plumbing."""


def stage_modules(stage: Stage, root: Path = Path()) -> list[Path]:
    """The files that a stage's fingerprint covers, sorted."""
    gate = [f"gates.{stage.gate}"] if stage.gate else []
    if gate and not _files([f"{PACKAGE}.{gate[0]}"], root):
        raise UserError(f"{PIPELINE}: stage {stage.name}: there is no {SOURCE}/{PACKAGE}/gates/{stage.gate}.py")
    names = [*EVERY_STAGE, *BEYOND_IMPORTS.get(stage.name, ()), *gate]
    waiting = [root / SCRIPTS / ("check.py" if gate else f"{stage.name}.py")]
    waiting += _files((f"{PACKAGE}.{name}" for name in names), root)
    plumbing = {f"{PACKAGE}.{name}" for names in PLUMBING.values() for name in names}
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            # a module's packages run before it
            modules = {name for module in _read(path).imports for name in accumulate(module.split("."), "{}.{}".format)}
            waiting += _files(modules - plumbing, root)
    return sorted(found)


def imported(path: Path) -> frozenset[str]:
    """Names of what a file imports of this package at its top or inside functions, but for types alone."""
    return frozenset(name for name in _read(path).imports if name.split(".")[0] == PACKAGE)


def fingerprint(stage: Stage, root: Path = Path()) -> str:
    """The hash of a stage's code and of the defaults of its params. Raises UserError if a file of it is missing, is not
    Python or holds what cannot be followed."""
    digest = hashlib.sha256("\n".join(_defaults(stage, root)).encode())
    for path in stage_modules(stage, root):
        digest.update(f"{path.relative_to(root).as_posix()}\n{_read(path).meaning}\n".encode())
    return digest.hexdigest()[:DIGITS]


def own_fingerprint(name: str) -> str:
    """The hash of the code of a stage of that checkout which this module itself lies in. Raises UserError as
    `fingerprint`."""
    root = Path(__file__).parents[2]
    return fingerprint(read_pipeline(root)[name], root)


def code_hash(path: Path) -> str:
    """The hash of what one file means. Raises UserError if it is missing or not Python."""
    return hash_text(_read(path).meaning)


def write_fingerprints(root: Path = Path()) -> list[str]:
    """Bring code.yaml up to date, whatever is in it; the stages whose code changed. Raises UserError as `fingerprint`,
    or if a script is no stage's."""
    _refuse_strangers(root)
    now = {name: fingerprint(stage, root) for name, stage in read_pipeline(root).items()}
    try:
        before = recorded_fingerprints(root)
    except UserError:  # not there, or what a merge left
        before = {}
    if now != before:
        with atomic_file(root / CODE) as path:
            header = "# What each stage's code means, in a hash: written by `make fingerprints`, read by `dvc repro`.\n"
            path.write_text(header + "".join(f'{name}: "{value}"\n' for name, value in now.items()), encoding="utf-8")
    return [name for name, value in now.items() if before.get(name) != value]


def check_fingerprint(stage: Stage, root: Path = Path()) -> None:
    """Raises UserError if the code of a stage is not that of code.yaml, by which DVC decides what to run, the stage
    does not depend on its line there, or a script is no stage's."""
    _refuse_strangers(root)
    if stage.code != (stage.name,):
        raise UserError(f"{PIPELINE}: stage {stage.name} must have under params: - {CODE}: [{stage.name}]")
    if recorded_fingerprints(root).get(stage.name) != fingerprint(stage, root):
        raise UserError(f"{CODE}: stage {stage.name} has other code than it says; run: make fingerprints && dvc repro")


def recorded_fingerprints(root: Path = Path()) -> Mapping[str, str]:
    """Stage -> fingerprint, as code.yaml has them. Raises UserError if it cannot be read."""
    try:
        content = read_yaml((root / CODE).read_bytes(), CODE)
    except OSError as error:
        raise UserError(f"{CODE}: cannot be read: {error.strerror}; write it with: make fingerprints") from None
    return {str(name): str(value) for name, value in content.items()} if isinstance(content, dict) else {}


def _refuse_strangers(root: Path) -> None:
    """Raises UserError if the stages' folder, where Python looks for modules first, holds what is no stage."""
    names = {"run", "check", "__pycache__", *read_pipeline(root)}
    for path in sorted((root / SCRIPTS).iterdir()):
        importable = path.suffix in (".py", ".pyc", ".so") or (path.is_dir() and path.name.isidentifier())
        if importable and (path.stem not in names or (path.is_dir() and path.name != "__pycache__")):
            raise UserError(f"{path}: is no stage of {PIPELINE}, and would be imported in place of others of its name")


def _files(modules: Iterable[str], root: Path) -> list[Path]:
    """The files of those modules that are ours; a name inside one has none."""
    found = []
    for module in modules:
        ours = module.split(".")[0] == PACKAGE
        if not ours and "." in module:
            continue
        path = root / (SOURCE if ours else SCRIPTS) / module.replace(".", "/")
        # Python's order
        candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
        found += [candidate for candidate in candidates if candidate.exists()][:1]
    return found


def _defaults(stage: Stage, root: Path) -> list[str]:
    """What each field of the params that a stage declares is where params.yaml leaves it out."""
    classes: dict[str, ast.ClassDef] = {}
    for path in sorted((root / SOURCE / PACKAGE / "params").glob("*.py")):
        classes |= {node.name: node for node in _read(path).tree.body if isinstance(node, ast.ClassDef)}
    return [said for key in stage.params for said in _said(["Params"], key.split("."), classes)]


def _said(names: Iterable[str], keys: Sequence[str], classes: Mapping[str, ast.ClassDef]) -> Iterator[str]:
    """The defaults in these classes and their bases, at a key or below it."""
    for known in (classes[name] for name in names if name in classes):
        yield from _said((ast.unparse(base) for base in known.bases), keys, classes)
        for field in (node for node in known.body if isinstance(node, ast.AnnAssign)):
            name = ast.unparse(field.target)
            if not keys or name == keys[0]:
                if field.value and len(keys) < 2:
                    yield f"{known.name}.{name}={meaning(field.value)}"
                inside = [node.id for node in ast.walk(field.annotation) if isinstance(node, ast.Name)]
                yield from _said(inside, keys[1:], classes)


@dataclass(frozen=True)
class _Code:
    """A file as it is read."""

    tree: ast.Module
    meaning: str
    imports: frozenset[str]
    """Names of modules, and of what is imported from them."""


def _read(path: Path) -> _Code:
    """Raises UserError if it cannot be read."""
    try:
        return _parsed(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


@cache
def _parsed(content: bytes, path: str) -> _Code:
    try:
        tree = ast.parse(content, path)
        return _Code(tree, meaning(tree), frozenset(_imports(tree.body)))
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: {error.msg}") from None
    except (RecursionError, ValueError) as error:  # terms without end, an integer of thousands of digits
        raise UserError(f"{path}: cannot be taken apart: {one_line(error, 200)}") from None


def meaning(node: object) -> str:
    """A syntax tree as text, without positions, docstrings and what stands at its default."""
    if isinstance(node, ast.AST):
        if not node._fields:  # Load(), of which a file has thousands
            return f"{type(node).__name__}()"
        # of a constant, None is a value and `kind` how it is written
        constant = isinstance(node, ast.Constant | ast.MatchSingleton)
        fields = [(name, of) for name, of in ast.iter_fields(node) if name != "kind" or not constant]
        said = ((name, [p for p in of if not _is_text(p)] if isinstance(of, list) else of) for name, of in fields)
        return f"{type(node).__name__}({','.join(f'{name}={meaning(of)}' for name, of in said if constant or of)})"
    if isinstance(node, list):
        return f"[{','.join(map(meaning, node))}]"
    return repr(node)


def _is_text(node: object) -> bool:
    """Whether a statement is a string and nothing else: a docstring, of a module, function or field."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _imports(body: Sequence[ast.AST]) -> Iterator[str]:
    waiting = [*body][::-1]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse[::-1]
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"line {node.lineno} imports by dots: name the module whole")
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif not isinstance(node, ast.expr):  # an import is a statement
            waiting += [*ast.iter_child_nodes(node)][::-1]


def main() -> None:
    for name in write_fingerprints():
        print(f"{CODE}: {name}")


if __name__ == "__main__":
    run_guarded(main)
