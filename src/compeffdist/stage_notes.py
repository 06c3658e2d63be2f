"""What a stage tells of itself while it runs, for whoever watches it from another process.

A note beside the stage's lock, outside DVC's outs: no artefact and no metric depends on it. It is replaced whole, about
once a second; it is not flushed to the disk, for nothing of it is worth keeping through a power cut; and a note that
cannot be written is left out.
"""

import json
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError, one_line, told_by_the_machine
from compeffdist.files import atomic_file, read_json
from compeffdist.peaks import NOTES
from compeffdist.processes import ProcessId, process_id, run_process
from compeffdist.progress import Progress, listen, seconds_left

EVERY_SECONDS, END_SECONDS = 1.0, 0.2
MOST_POINTS = 600
"""Of the curve of a training; of a longer one every second is left out, and again."""
LONGEST = 300
SUFFIX = ".progress.json"
FORGOTTEN = "failed; why was removed when a text was withdrawn: run it again to see"
MOST_UNITS = 1 << 53
"""Of work: larger ones no browser can count."""


@dataclass(frozen=True)
class Work:
    """Units done of the work in progress, as of `Note.at`."""

    label: str
    done: int
    total: int
    before: int
    """Of `done`, units of an earlier run."""
    tokens: int
    seconds: float

    def left(self, waited: float = 0.0) -> float | None:
        """Seconds that the rest takes, told so many seconds later; None while nothing is done."""
        return seconds_left(self.done, self.total, self.before, self.seconds + waited)


@dataclass(frozen=True)
class Note:
    """Of one run of a stage."""

    process: ProcessId
    run: ProcessId
    """The `dvc` or `make` it runs under, else itself."""
    began: float
    """Seconds since 1970, as all times here."""
    at: float
    """When this was written."""
    work: Work | None
    losses: tuple[tuple[int, float], ...]
    """(step, loss) of a training."""
    ended: float | None
    """None of a stage that runs, or was killed."""
    error: str
    """Why it ended; empty if it did what it should."""

    @property
    def running(self) -> bool:
        """Whether its process still runs it."""
        return self.ended is None and self.process.alive()


class Notes:
    """Writes the note of a stage, from any thread."""

    def __init__(self, stage: str) -> None:
        own = process_id(os.getpid()) or ProcessId(os.getpid(), 0)
        self.path = note_path(stage)
        self.note: dict[str, Any] = {"process": own, "run": process_id(run_process()) or own, "began": time.time()}
        self.note |= {"work": None, "losses": [], "ended": None, "error": ""}
        self.stride = 1
        self.written = -math.inf
        self.lock = threading.Lock()

    def progress(self, progress: Progress) -> None:
        """Note what was done; the end of a work sooner than what leads to it."""
        ended = progress.done >= progress.total
        with self.lock:
            if not self._due(END_SECONDS if ended else EVERY_SECONDS):
                return
            counts = (progress.done, progress.total, progress.before, progress.tokens)
            work = Work(one_line(progress.label, LONGEST), *counts, round(progress.seconds, 1))
            self.note["work"] = asdict(work)
            self._write()

    def loss(self, step: int, loss: float) -> None:
        """Note a step of a training."""
        with self.lock:
            losses = self.note["losses"]
            if step % self.stride == 0:
                losses.append((step, round(loss, 5)))
            if len(losses) > MOST_POINTS:
                self.stride *= 2
                losses[:] = [point for point in losses if point[0] % self.stride == 0]
            if self._due(EVERY_SECONDS):
                self._write()

    def end(self, error: str = "") -> None:
        """Note that the stage ended, and why."""
        with self.lock:
            self.note |= {"ended": time.time(), "error": one_line(error, LONGEST)}
            self._write()

    def begin(self) -> None:
        """In place of what the last run left."""
        with self.lock:
            self._write()

    def _due(self, apart: float) -> bool:
        return time.monotonic() - self.written >= apart

    def _write(self) -> None:
        self.written = time.monotonic()
        beside = self.path.with_suffix(".tmp")
        with suppress(OSError):
            beside.write_text(json.dumps({**self.note, "at": time.time()}), encoding="utf-8")
            beside.replace(self.path)


_current: Notes | None = None


@contextmanager
def noted(stage: str) -> Iterator[None]:
    """Note what a stage does, from its beginning to its end, whichever it is."""
    global _current
    notes, error = Notes(stage), "killed"
    notes.begin()
    _current = notes
    try:
        with listen(notes.progress):
            yield
        error = ""
    except UserError as wrong:
        error = str(wrong)
        raise
    except KeyboardInterrupt:
        error = "interrupted"
        raise
    except BaseException as wrong:
        error = told_by_the_machine(wrong) or f"{type(wrong).__name__}: {wrong}"
        raise
    finally:
        _current = None
        notes.end(error)


def note_loss(step: int, loss: float) -> None:
    """Note a step of the training that the stage of this process does; nothing in a command."""
    if _current is not None:
        _current.loss(step, loss)


def read_note(stage: str, root: Path = Path()) -> Note | None:
    """What a stage told of itself when it last ran; None if it has not, or the note is broken."""
    try:
        told = read_json(root / note_path(stage))
        work = told["work"]
        return Note(
            process=_process(told["process"]),
            run=_process(told["run"]),
            began=_time(told["began"]),
            at=_time(told["at"]),
            work=None if work is None else _work(**work),
            losses=tuple((int(step), float(loss)) for step, loss in told["losses"][-MOST_POINTS:]),
            ended=None if told["ended"] is None else _time(told["ended"]),
            error=one_line(told["error"], LONGEST),
        )
    except (UserError, OSError, KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None


def forget_errors(root: Path = Path()) -> None:
    """Put a word in place of why each stage that failed did so: the line may quote a text. Raises OSError if a note
    cannot be written."""
    for path in sorted((root / NOTES).glob(f"*{SUFFIX}")):
        try:
            told = read_json(path)
        except (UserError, OSError):  # it is broken: it has no line that anybody reads, but may hold one
            path.unlink(missing_ok=True)
            continue
        if isinstance(told, dict) and told.get("error"):
            with atomic_file(path) as beside:
                beside.write_text(json.dumps(told | {"error": FORGOTTEN}), encoding="utf-8")


def note_path(stage: str) -> Path:
    """Where a stage's note lies."""
    return NOTES / f"{stage}{SUFFIX}"


def _process(told: Any) -> ProcessId:
    pid, started = told
    return ProcessId(int(pid), int(started))


def _time(told: Any) -> float:
    """Raises ValueError if it is none that a calendar has."""
    if not 0.0 <= (value := float(told)) < 1e11:
        raise ValueError("not a time")
    return value


def _work(label: Any, done: Any, total: Any, before: Any, tokens: Any, seconds: Any) -> Work:
    counts = (int(done), int(total), int(before), int(tokens))
    if any(abs(count) > MOST_UNITS for count in counts):
        raise ValueError("not a count")
    return Work(one_line(label, LONGEST), *counts, _time(seconds))
