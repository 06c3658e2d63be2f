"""What a stage notes of itself while it runs, and what whoever watches reads of it."""

import json
import math
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from compeffdist import stage_notes as module
from compeffdist.errors import UserError
from compeffdist.progress import Progress
from compeffdist.stage_notes import Note, forget_errors, note_loss, note_path, noted, read_note


@pytest.fixture(autouse=True)
def _checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".compeffdist/stages").mkdir(parents=True)


def known(stage: str = "train") -> Note:
    note = read_note(stage)
    assert note is not None
    return note


def test_a_stage_that_works_tells_what_it_is_at_and_that_it_is_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.0)
    with noted("train"):
        assert known().running and known().work is None
        progress = Progress("steps", 10, StringIO())
        progress.skip(2)
        progress.advance(3, tokens=30)
        note_loss(3, 1.25)
        work = known().work
        assert work is not None and (work.label, work.done, work.total, work.before, work.tokens) == (
            "steps",
            5,
            10,
            2,
            30,
        )
        assert known().losses == ((3, 1.25),) and known().process.pid == os.getpid()
    assert not known().running and known().ended is not None and known().error == ""
    note_loss(4, 1.0)  # a command trains, and is no stage
    assert known().losses == ((3, 1.25),)


def test_it_is_written_at_most_once_a_second_but_for_beginning_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        written.append(str(target))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with noted("train"):
        progress = Progress("steps", 1000, StringIO())
        for step in range(1000):
            progress.advance(1)
            note_loss(step, 1.0)
    assert len(written) <= 4


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError("a.csv: no\nsuch \x1b[31mfile"), "a.csv: no such \ufffd[31mfile"),
        (KeyboardInterrupt(), "interrupted"),
        (
            OSError(28, "No space left on device", "x"),
            "no space left on the disk while writing x: free some and run again",
        ),
        (ZeroDivisionError("x"), "ZeroDivisionError: x"),
    ],
)
def test_why_a_stage_ended_is_noted_in_one_line_and_raised_as_it_is(error: BaseException, told: str) -> None:
    with pytest.raises(type(error)), noted("train"):
        raise error
    assert known().error == told and not known().running


def test_why_stages_failed_is_forgotten_and_the_rest_of_their_notes_is_not() -> None:
    for stage, error in (("train", UserError("my text is here")), ("pair", None)):
        with suppress(UserError), noted(stage):
            note_loss(1, 2.0)
            if error:
                raise error
    note_path("torn").write_text('{"error": "my text')
    train, pair = known(), known("pair")
    forget_errors()
    assert known() == replace(train, error=module.FORGOTTEN) and known("pair") == pair
    assert not any("my text" in path.read_text() for path in note_path("train").parent.iterdir())


def test_a_killed_stage_has_not_ended_and_does_not_run() -> None:
    script = "import os; from compeffdist.stage_notes import noted\nwith noted('train'): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], check=False)
    assert known().ended is None and not known().running


def test_a_long_training_keeps_a_bounded_curve_of_its_whole_length() -> None:
    with noted("train"):
        for step in range(1, 50_001):
            note_loss(step, 1 / step)
    losses = known().losses
    assert 200 < len(losses) <= module.MOST_POINTS and losses[0][0] < 200 and losses[-1][0] > 49_800


def test_a_stage_does_not_fail_for_a_note_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with noted("train"):
        Progress("steps", 10, StringIO()).advance(1)
    assert read_note("train") is None


SOUND = {
    "process": [1, 2],
    "run": [1, 2],
    "began": 1.0,
    "at": 2.0,
    "work": None,
    "losses": [],
    "ended": 3.0,
    "error": "",
}
WORK = {"label": "a", "done": 1, "total": 2, "before": 0, "tokens": 0, "seconds": 1.0}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "\udcff",
        *(json.dumps({key: value for key, value in SOUND.items() if key != left_out}) for left_out in SOUND),
        json.dumps(SOUND | {"process": ["x", 1]}),
        json.dumps(SOUND | {"began": math.nan}),
        json.dumps(SOUND | {"at": 1e300}),
        json.dumps(SOUND | {"losses": [[1]]}),
        json.dumps(SOUND | {"work": {"label": "a"}}),
        json.dumps(SOUND | {"work": WORK | {"total": 10**400}}),
        json.dumps(SOUND | {"work": WORK | {"done": None}}),
        "[" * 100_000,
    ],
)
def test_a_note_that_is_broken_is_none(content: str) -> None:
    note_path("train").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert read_note("train") is None
    note_path("train").write_text(json.dumps(SOUND | {"work": WORK}))
    assert read_note("train") is not None
