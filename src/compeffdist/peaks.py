"""What a stage took when it last ran here: memory at its peak, and the bytes of what it made.

A note beside the stage's lock, outside DVC's outs: no artefact and no metric depends on it, and what it says holds for
this machine and these settings alone. `compeffdist plan` reads it.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from compeffdist.canonical import hash_json
from compeffdist.declaration import Stage
from compeffdist.errors import UserError
from compeffdist.files import read_json, write_json
from compeffdist.params import Params

NOTES = Path(".compeffdist/stages")
DECIDING = (
    *("device", "processes", "token_budget", "scoring_workspace_mib", "checkpoint_steps"),
    *("engine_memory_gib", "engine_arguments", "max_num_seqs"),
)
"""Of `runtime`: what memory or disk hangs on."""
NOT_DECIDING = ("seed", "student_seed")


@dataclass(frozen=True)
class Took:
    """Of one run of a stage that came to its end."""

    memory: int
    """Bytes that its process held at most (resident), and each that trained for it; a teacher's server apart."""
    made: int
    """Bytes of its outs, once."""
    settings: str
    """`settings_of` that run."""


_others = 0
"""Bytes that processes which worked for this one held at most."""


def add_peak(memory: int) -> None:
    """Count bytes that a process which works for this one held at most, beside it and others."""
    global _others
    _others += memory


def note_peak(stage: Stage, params: Params) -> None:
    """Note what this process, which ran a stage, took, and those that worked for it. Without effect where the system
    does not say, or the note cannot be written: a stage that made its artefacts does not fail for it."""
    memory = peak_memory()
    if memory:
        memory += _others
        made = sum(size_of(Path(out)) for out in stage.outs)
        with suppress(OSError):
            write_json(_note(stage.name), asdict(Took(memory, made, settings_of(stage, params))))


def last_took(stage: Stage, params: Params, root: Path = Path()) -> Took | None:
    """What a stage took when it last ran here with these settings; None if it has not, or the note is broken."""
    try:
        took = Took(**read_json(root / _note(stage.name)))
    except (UserError, TypeError, OSError):
        return None
    sound = all(isinstance(value, int) and value >= 0 for value in (took.memory, took.made))
    return took if sound and took.settings == settings_of(stage, params) else None


def settings_of(stage: Stage, params: Params) -> str:
    """A hash of what a stage declares of params, of the models, and of what of `runtime` decides memory and disk."""
    values: Mapping[str, Any] = params.model_dump(mode="json")
    keys = [key for key in (*stage.params, "models") if key not in NOT_DECIDING]
    declared = {key: reduce(lambda section, name: section[name], key.split("."), values) for key in keys}
    return hash_json([declared, {name: values["runtime"][name] for name in DECIDING}])


def peak_memory() -> int:
    """Most bytes that this process has held so far; 0 where the system does not say. Not `getrusage`, whose figure a
    process takes over from the one that started it."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def size_of(path: Path) -> int:
    """Bytes of a file, or of a folder's files; 0 if there is none."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _note(stage: str) -> Path:
    return NOTES / f"{stage}.took.json"
