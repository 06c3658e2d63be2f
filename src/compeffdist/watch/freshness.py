"""Whether a stage is as its lock says, told without running DVC, which writes beside what it looks at.

What a stage read of another one is held against that one's lock, not hashed; the user's own files are hashed, once
while size and time stay the same, but for large ones; these, and outs, are looked at for being there and for their
size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.declaration import Stage
from compeffdist.lineage.repository import Item, Lock, value_at
from compeffdist.peaks import size_of

NOT_RUN = "not run yet"
MOST_HASHED = 256 << 20
"""Bytes of a file or folder: local weights are larger, and would keep whoever watches waiting."""


@dataclass(frozen=True)
class Freshness:
    """What stages are held against."""

    lock: Lock | None
    """None before the first run."""
    params: Mapping[str, Any]
    """params.yaml, as DVC reads it."""
    code: Mapping[str, str]
    """code.yaml."""
    md5_of: Callable[[Path], str]
    """Of a file or folder. Raises OSError if it is not there."""

    def reason(self, stage: Stage) -> str:
        """Why a stage would run, what stands before it apart; empty if it would not. Raises UserError if the lock is
        none."""
        own = self.lock.stages.get(stage.name) if self.lock is not None else None
        if own is None:
            return NOT_RUN
        if not stage.runs(own.command):
            return "its command changed"
        made = [out.path for out in own.outs]
        if sorted(made) != sorted(stage.outs) or sorted(own.params) != sorted(stage.params):
            return "dvc.yaml changed"
        if len(own.deps) != len(stage.deps) or not all(stage.reads(dep.path) for dep in own.deps):
            return "dvc.yaml or the domain changed"
        if keys := [key for key, value in own.params.items() if value_at(self.params, *key.split(".")) != value]:
            return f"{keys[0]} changed"
        if stage.code and self.code.get(stage.name) != own.code:
            return "its code changed"
        if changed := [dep.path for dep in own.deps if self._changed(dep)]:
            return f"{changed[0]} changed"
        if absent := [out.path for out in own.outs if not _is_there(out)]:
            return f"{absent[0]} is not there, or changed"
        return ""

    def _changed(self, dep: Item) -> bool:
        assert self.lock is not None
        if made := self.lock.outs.get(dep.path):
            return made.md5 != dep.md5
        path = Path(dep.path)
        try:
            if dep.size is not None and dep.size > MOST_HASHED:
                return size_of(path) != dep.size
            return self.md5_of(path) != dep.md5
        except OSError:
            return True


def _is_there(out: Item) -> bool:
    path = Path(out.path)
    try:
        return path.exists() and out.size in (None, size_of(path))
    except OSError:  # it is being moved
        return False
