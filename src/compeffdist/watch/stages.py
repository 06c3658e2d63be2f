"""Each stage of dvc.yaml with its state: of its note, where it runs or ran, and of its lock."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from compeffdist.declaration import Stage
from compeffdist.processes import ProcessId
from compeffdist.stage_notes import Note
from compeffdist.watch.freshness import NOT_RUN

State = Literal["done", "running", "ended", "failed", "stale", "waiting"]
KILLED = "ended without a word: it was killed, or the machine went down"


@dataclass(frozen=True)
class StageState:
    """A stage and what it is at."""

    stage: Stage
    state: State
    """`ended`: DVC has not noted yet that it did what it should; `stale`: it ran, and would run again; `waiting`: it
    has not run, or follows one that is yet to run."""
    why: str
    """Of what is failed, stale or waiting."""
    note: Note | None

    @property
    def seconds(self) -> float | None:
        """How long the run that its note is of took; None of one that has not ended."""
        return self.note.ended - self.note.began if self.note and self.note.ended is not None else None

    @property
    def earlier(self) -> bool:
        """Whether what it left is of an earlier run, which this one may make anew."""
        return self.state in ("stale", "waiting", "running")

    def to_json(self, now: float) -> dict[str, Any]:
        """For machines; `now` in seconds since 1970."""
        running = self.note if self.note and self.state == "running" else None
        told = self.note is not None and self.state in ("done", "ended", "failed")
        return {
            "name": self.stage.name,
            "description": self.stage.description,
            "state": self.state,
            "why": self.why,
            "since": running.began if running else None,
            "seconds": now - running.began if running else self.seconds if told else None,
            "work": work_json(running, now) if running else None,
        }


@dataclass(frozen=True)
class Told:
    """What stages noted, and which processes were there as it was read: what is looked at after may take seconds."""

    notes: Mapping[str, Note]
    running: frozenset[str]
    """Stages whose processes still ran them."""
    run: ProcessId | None
    """The run that began a stage last."""
    on: bool
    """Whether that run was on."""


def read_told(names: Iterable[str], read: Callable[[str], Note | None]) -> Told:
    """The notes of stages, each as `read` gives it."""
    notes: dict[str, Note] = {}
    running = set[str]()
    for name in names:
        note = read(name)
        runs = note is not None and note.running
        if note is not None and note.ended is None and not runs:
            note = read(name) or note  # it may have ended as it should since it was read
            runs = note.running
        if note is not None:
            notes[name] = note
        if runs:
            running.add(name)
    run = max(notes.values(), key=lambda note: note.began).run if notes else None
    return Told(notes, frozenset(running), run, run is not None and run.alive())


def stage_states(
    pipeline: Iterable[Stage], told: Told, reasons: Mapping[str, str], locked: float | None
) -> list[StageState]:
    """The stages in their order.

    Args:
        reasons: why each would run by itself (`freshness`).
        locked: when DVC last noted what a stage made, in seconds since 1970, as of before the reasons; None if never.
    """
    run = told.run
    found: list[StageState] = []
    for stage in pipeline:
        before = [one.stage.name for one in found if one.state != "done" and _feeds(one.stage, stage)]
        note, why = told.notes.get(stage.name), reasons[stage.name]
        state: State = "done"
        if stage.name in told.running:
            state, why = "running", ""
        elif why and note is not None and note.run == run and note.ended is None:
            state, why = "failed", KILLED
        elif why and note is not None and note.run == run and note.error:
            state, why = "failed", note.error
        elif why and note is not None and note.run == run and told.on and (locked or 0.0) < (note.ended or 0.0):
            state, why = "ended", "DVC is keeping what it made"
        elif why == NOT_RUN:
            state = "waiting"
        elif why:
            state = "stale"
        elif before:
            state, why = "waiting", f"follows {before[0]}"
        found.append(StageState(stage, state, why, note))
    return found


def headline(stages: Sequence[StageState], on: bool) -> str:
    """Where the run is, in a line that changes with a stage's state and not with its progress."""
    by_state = {state: [one for one in stages if one.state == state] for state in ("running", "failed", "done")}
    done = f"{len(by_state['done'])} of {len(stages)} stages done"
    if running := by_state["running"]:
        return f"Running: {', '.join(one.stage.name for one in running)}; {done}"
    if failed := by_state["failed"]:
        return f"Failed: {failed[0].stage.name}: {failed[0].why}; {done}"
    if len(by_state["done"]) == len(stages):
        return "Done: every stage is up to date"
    return f"Running: between two stages; {done}" if on else f"No run is on; {done}"


def work_json(note: Note, now: float) -> dict[str, Any] | None:
    """What a running stage is at, with rates and the time left; None if it has told nothing."""
    if (work := note.work) is None:
        return None
    waited = max(now - note.at, 0.0)
    seconds = max(work.seconds + waited, 1e-9)
    return {
        "label": work.label,
        "done": work.done,
        "total": work.total,
        "per_second": (work.done - work.before) / seconds,
        "tokens_per_second": work.tokens / seconds if work.tokens else None,
        "left": work.left(waited),
        "silent": waited,
    }


def _feeds(earlier: Stage, later: Stage) -> bool:
    return any(later.reads(out) for out in earlier.outs)
