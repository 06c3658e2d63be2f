"""dvc.yaml as the declaration of the pipeline: what each stage reads and writes, in the order of the method.

Whoever needs to know which stages there are, which of them are gates or what a stage may read asks here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from posixpath import normpath
from types import NoneType
from typing import Any

from compeffdist.errors import UserError
from compeffdist.yaml12 import read_yaml

PIPELINE = Path("dvc.yaml")
CODE = "code.yaml"
"""The fingerprints of the stages' code (`fingerprints`), which dvc.yaml names under `params`."""
GATE_PREFIX = "check_"
KEYS = ("cmd", "desc", "deps", "params", "outs", "metrics", "plots", "meta", "frozen", "always_changed")
"""Of a stage, that are read here or change nothing of what is."""
PLACE = re.compile(r"\$\{[a-z_.]+\}")


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.yaml declares it."""

    name: str
    description: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    """Keys of params.yaml, dotted."""
    outs: tuple[str, ...]
    """Metrics and plots among them."""
    code: tuple[str, ...] = ()
    """Keys of code.yaml, whose lines it depends on."""
    command: str = ""

    @property
    def gate(self) -> str:
        """The gate this stage is; empty for any other stage."""
        return self.name.removeprefix(GATE_PREFIX) if self.name.startswith(GATE_PREFIX) else ""

    def reads(self, path: str) -> bool:
        """Whether a file is a dependency, or lies in one. A place such as `${domain}`, which DVC fills with a param,
        stands for any name."""
        patterns = ("[^/]+".join(map(re.escape, PLACE.split(dep))) for dep in self.deps)
        return any(re.fullmatch(f"{pattern}(/.*)?", path) for pattern in patterns)

    def runs(self, command: str) -> bool:
        """Whether that is its command, with any value in a place that DVC fills."""
        return bool(re.fullmatch(".*".join(map(re.escape, PLACE.split(self.command))), command, re.DOTALL))

    def writes(self, path: str) -> bool:
        """Whether a path is an out."""
        return path in self.outs


def read_pipeline(root: Path = Path()) -> dict[str, Stage]:
    """The stages of a checkout by name, in the order of dvc.yaml. Raises UserError if that is missing, is not YAML or
    holds no stages."""
    path = root / PIPELINE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; run in the folder of a checkout") from None
    return dict(_stages(text, str(path)))


def gates(root: Path = Path()) -> list[str]:
    """The gates of a checkout in the order of the pipeline. Raises UserError as `read_pipeline`."""
    return [stage.gate for stage in read_pipeline(root).values() if stage.gate]


@cache
def _stages(text: bytes, origin: str) -> Mapping[str, Stage]:
    content = read_yaml(text, origin)
    stages = content.get("stages") if isinstance(content, dict) else None
    if isinstance(content, dict) and "vars" in content:
        raise UserError(f"{origin}: vars is not read here: what fills ${{…}} stands in params.yaml")
    if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
        raise UserError(f"{origin}: holds no stages; restore it with: git checkout {PIPELINE}")
    return {str(name): _stage(str(name), stage) for name, stage in stages.items()}


def _stage(name: str, stage: Mapping[str, Any]) -> Stage:
    """Raises UserError on what DVC takes and this does not read."""
    if strange := sorted(map(str, stage.keys() - KEYS)):
        raise UserError(f"{PIPELINE}: stage {name}: {', '.join(strange)} is not read here; known are {', '.join(KEYS)}")
    outs = [path for kind in ("outs", "metrics", "plots") for path in _paths(name, kind, stage.get(kind))]
    if filled := [path for path in outs if "${" in path]:
        raise UserError(f"{PIPELINE}: stage {name}: write the out {filled[0]} as it is, without ${{…}}")
    keys: dict[str, list[str]] = {"params.yaml": [], CODE: []}
    for entry in _list(name, "params", stage.get("params")):
        files = entry if isinstance(entry, dict) else {"params.yaml": [entry]}
        for file, named in files.items():
            if file not in keys or not isinstance(named, list) or not all(isinstance(key, str) for key in named):
                raise UserError(f"{PIPELINE}: stage {name}: params: {entry} is not read here; write KEY or FILE: [KEY]")
            keys[file] += named
    deps = _paths(name, "deps", stage.get("deps"))
    described, command = str(stage.get("desc", "")), str(stage.get("cmd", ""))
    params, code = (tuple(keys[file]) for file in keys)
    return Stage(name, described, tuple(deps), params, tuple(outs), code, command)


def _list(stage: str, kind: str, entries: Any) -> list[Any]:
    if not isinstance(entries, list | NoneType):
        raise UserError(f"{PIPELINE}: stage {stage}: {kind} must be a list")
    return entries or []


def _paths(stage: str, kind: str, entries: Any) -> list[str]:
    """Paths of deps or outs, with or without settings, as artefacts are named."""
    paths = [next(iter(entry), None) if isinstance(entry, dict) else entry for entry in _list(stage, kind, entries)]
    if not all(isinstance(path, str) and path for path in paths):
        raise UserError(f"{PIPELINE}: stage {stage}: {kind}: an entry names no path")
    return list(map(normpath, paths))
