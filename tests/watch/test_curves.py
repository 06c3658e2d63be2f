"""The loss curve of a training that runs: of its note, of its checkpoints, and of both."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.declaration import Stage
from compeffdist.params import Params, load_params
from compeffdist.processes import ProcessId
from compeffdist.profiles import compose
from compeffdist.stage_notes import Note
from compeffdist.watch.curves import curve
from compeffdist.watch.reading import Reading
from compeffdist.watch.stages import StageState
from tests.stages import ROOT

NOTE = Note(ProcessId(1, 1), ProcessId(1, 1), began=1000.0, at=1001.0, work=None, losses=(), ended=None, error="")


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(compose("smoke", ROOT / "profiles")))
    return load_params()


def running(stage: str, *losses: tuple[int, float]) -> StageState:
    return StageState(Stage(stage, "", (), (), ()), "running", "", replace(NOTE, losses=losses))


def checkpoint(params: Params, stage: str, steps: int, time: float) -> Path:
    """Of a training as of its n-th step; its losses are ten times the step."""
    path = Path(params.runtime.checkpoints) / stage / f"of_{steps}/checkpoint-{steps}/trainer_state.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"log_history": [{"step": n, "loss": 10.0 * n} for n in range(1, steps + 1)]}))
    os.utime(path, (time, time))
    return path


def points(found: dict[str, Any] | None) -> list[tuple[int, float]]:
    return list(found["points"]) if found else []


def test_a_training_that_went_on_shows_the_steps_before_it_was_killed(params: Params) -> None:
    checkpoint(params, "train_student", 2, 900.0)
    gone_on = [running("train_student", (3, 1.0), (4, 0.5))]
    assert points(curve(gone_on, params, Reading())) == [(1, 10.0), (2, 20.0), (3, 1.0), (4, 0.5)]
    checkpoint(params, "train_student", 4, 1002.0)  # which it wrote itself
    assert points(curve(gone_on, params, Reading())) == [(1, 10.0), (2, 20.0), (3, 1.0), (4, 0.5)]


@pytest.mark.parametrize("losses", [(), ((1, 1.0), (2, 0.5)), ((9, 1.0), (10, 0.5))])
def test_a_checkpoint_of_another_training_is_not_shown(params: Params, losses: tuple[tuple[int, float], ...]) -> None:
    checkpoint(params, "train_student", 2, 900.0)
    assert points(curve([running("train_student", *losses)], params, Reading())) == list(losses)


def test_a_checkpoint_that_cannot_be_read_does_not_show_another_stage(params: Params) -> None:
    reading = Reading()
    checkpoint(params, "warm_up_student", 2, 1002.0)
    assert points(curve([running("warm_up_student")], params, reading)) == [(1, 10.0), (2, 20.0)]
    checkpoint(params, "train_student", 3, 1002.0).write_text("{")
    assert curve([running("train_student")], params, reading) is None
    (fault,) = reading.faults
    assert fault.startswith("checkpoint of train_student: ")
