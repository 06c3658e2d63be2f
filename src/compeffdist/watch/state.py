"""Everything that is watched, in one value of plain data: the page, the terminal and machines show the same."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compeffdist.artefacts import REPORT
from compeffdist.declaration import CODE, PIPELINE, Stage, read_pipeline
from compeffdist.files import folder_md5, hash_file
from compeffdist.lineage.repository import LOCK, WORKSPACE, Lock
from compeffdist.params import PARAMS_FILE, load_params
from compeffdist.stage_notes import Note, note_path, read_note
from compeffdist.watch import curves, gates, left_out, teacher
from compeffdist.watch.freshness import Freshness
from compeffdist.watch.reading import Reading, clip, stamp
from compeffdist.watch.stages import Told, headline, read_told, stage_states
from compeffdist.yaml12 import read_yaml

OLDEST_SECONDS = 0.8
"""A state is looked up anew for whoever asks later."""


class Watcher:
    """Looks at the checkout in the working folder. Safe to be asked from several threads."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.lock = threading.Lock()
        self._hashes: dict[Path, tuple[object, str]] = {}
        self._told: tuple[float, dict[str, Any]] | None = None

    def state(self) -> dict[str, Any]:
        """What the run is at. Raises UserError if this is no checkout; what else cannot be read is told in `faults`."""
        with self.lock:
            if self._told is None or time.monotonic() - self._told[0] > OLDEST_SECONDS:
                told = self._look()
                self._told = time.monotonic(), told
            return self._told[1]

    def _look(self) -> dict[str, Any]:
        now, reading, of = time.time(), self.reading, self.reading.now
        pipeline = self._pipeline()
        params = reading.of("params", [PARAMS_FILE], load_params, None)
        told, locked = read_told(pipeline, self._note), _written(Path(LOCK))
        stages = stage_states(pipeline.values(), told, self._reasons(pipeline), locked)
        run = told.run
        reported = any(one.state == "done" and one.stage.writes(REPORT) for one in stages)
        return {
            "checkout": clip(Path().absolute().name),
            "at": now,
            "headline": clip(headline(stages, told.on)),
            "run": _run(told),
            "stages": [one.to_json(now) for one in stages],
            "spending": of("spending", lambda: teacher.spending(params, run, reading) if params else None, None),
            "answers": of(
                "answers", lambda: teacher.answers(params, stages, run, reading) if params else [], list[Any]()
            ),
            "sources": of("sources of answers", lambda: teacher.sources(stages, reading), list[Any]()),
            "left_out": of("what was left out", lambda: left_out.left_out(stages, reading), list[Any]()),
            "gates": of("gates", lambda: gates.gates(stages, reading), list[Any]()),
            "curve": of("curve", lambda: curves.curve(stages, params, reading), None),
            "report": str(REPORT) if reported and Path(REPORT).exists() else None,
            "faults": reading.faults,
        }

    def _pipeline(self) -> Mapping[str, Stage]:
        read_pipeline_once = self.reading.of(str(PIPELINE), [PIPELINE], read_pipeline, None)
        return read_pipeline_once if read_pipeline_once is not None else read_pipeline()

    def _note(self, stage: str) -> Note | None:
        path = note_path(stage)
        return self.reading.of(str(path), [path], lambda: read_note(stage), None)

    def _reasons(self, pipeline: Mapping[str, Stage]) -> dict[str, str]:
        """Why each stage would run."""
        of = self.reading.of
        fresh = Freshness(
            of(LOCK, [Path(LOCK)], _read_lock, None),
            of(str(PARAMS_FILE), [PARAMS_FILE], lambda: _mapping(PARAMS_FILE), {}),
            of(CODE, [Path(CODE)], lambda: _mapping(Path(CODE)), {}),
            self._md5_of,
        )
        return {name: fresh.reason(stage) for name, stage in pipeline.items()}

    def _md5_of(self, path: Path) -> str:
        """As DVC computes it, of a file once while it stays the same."""
        if path.is_dir():
            return folder_md5(path, self._md5_of)
        now = stamp(path)
        known = self._hashes.get(path)
        if known is None or known[0] != now:
            self._hashes[path] = known = now, hash_file(path, "md5")
        return known[1]


def _read_lock() -> Lock | None:
    path = Path(LOCK)
    lock = Lock(path.read_text(encoding="utf-8"), (WORKSPACE,)) if path.exists() else None
    if lock is not None:
        _ = lock.stages  # one that is half written is told now
    return lock


def _mapping(path: Path) -> Mapping[str, Any]:
    told = read_yaml(path.read_bytes(), str(path)) if path.exists() else {}
    return told if isinstance(told, dict) else {}


def _written(path: Path) -> float | None:
    """When a file was last written, in seconds since 1970; None if it is not there."""
    found = stamp(path)
    return found[1] / 1e9 if found else None


def _run(told: Told) -> dict[str, Any] | None:
    """The run that is on, or was last."""
    if told.run is None:
        return None
    own = [note for note in told.notes.values() if note.run == told.run]
    ends = [note.ended or note.at for note in own]
    return {"process": told.run.pid, "on": told.on, "since": min(note.began for note in own), "last": max(ends)}
