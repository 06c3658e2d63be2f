"""What stages are at, of their notes, their processes and the time of the lock."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from compeffdist.declaration import Stage
from compeffdist.processes import ProcessId, process_id
from compeffdist.stage_notes import Note
from compeffdist.watch.stages import StageState, Told, read_told, stage_states

STAGE = Stage("train_student", "", (), ("seed",), ("models/student",))
GONE = ProcessId(2**22 + 1, 1)
"""No pid is as large."""


@pytest.fixture
def other() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lasts until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def note(process: ProcessId, ended: float | None) -> Note:
    """Of a stage of the run that this process is."""
    own = process_id(os.getpid())
    assert own is not None
    return Note(process, own, began=100.0, at=110.0, work=None, losses=(), ended=ended, error="")


def told(*notes: Note) -> Told:
    """Of a stage whose note is one of these each time that it is read."""
    left = iter(notes)
    return read_told([STAGE.name], lambda _: next(left))


def found(of: Told, why: str, locked: float | None = None) -> StageState:
    (state,) = stage_states([STAGE], of, {STAGE.name: why}, locked)
    return state


def test_a_stage_that_ends_between_two_looks_at_it_was_not_killed(other: "subprocess.Popen[bytes]") -> None:
    process = process_id(other.pid)
    assert process is not None
    first = told(note(process, None))
    other.kill()
    other.wait()  # what is looked at after the notes takes long
    assert found(first, "not run yet").state == "running"
    assert found(told(note(process, None), note(process, 120.0)), "not run yet").state == "ended"
    killed = found(told(note(process, None), note(process, None)), "not run yet")
    assert killed.state == "failed" and "killed" in killed.why


def test_a_stage_that_was_killed_and_is_begun_again_meanwhile_runs() -> None:
    again = process_id(os.getpid())
    assert again is not None
    assert found(told(note(GONE, None), note(again, None)), "not run yet").state == "running"


@pytest.mark.parametrize(("locked", "state"), [(None, "ended"), (119.0, "ended"), (121.0, "stale")])
def test_what_changes_after_dvc_kept_what_a_stage_made_makes_it_stale_while_the_run_goes_on(
    locked: float | None, state: str
) -> None:
    assert found(told(note(GONE, 120.0)), "seed changed", locked).state == state


def test_a_run_that_was_on_as_the_notes_were_read_stays_so() -> None:
    over = told(replace(note(GONE, 120.0), run=GONE))
    assert not over.on and found(over, "seed changed").state == "stale"
    assert told(note(GONE, 120.0)).on
