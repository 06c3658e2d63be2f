"""An experiment is read from its file, typed and checked, and laid over params.yaml."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.errors import UserError
from compeffdist.experiments.plan import experiment_names, load_experiment, runs_of
from compeffdist.profiles import compose
from tests.stages import ROOT

PARAMS = compose("smoke", ROOT / "profiles")
WHOLE: dict[str, Any] = {
    "question": "Does it help?",
    "seeds": [42, 1],
    "params": {"sampling.rate": 0.25},
    "reference": "plain",
    "arms": {"plain": {}, "soft": {"training.soft_labels": 1.0, "sampling.rate": 0.75}},
}


def write(folder: Path, **changes: Any) -> None:
    (folder / "one.yaml").write_text(yaml.safe_dump({**WHOLE, **changes}))


def test_arms_of_a_seed_come_before_the_next_seed_and_lie_over_params(tmp_path: Path) -> None:
    write(tmp_path)
    runs = runs_of(load_experiment("one", tmp_path), PARAMS)
    assert [(run.arm, run.seed) for run in runs] == [("plain", 42), ("soft", 42), ("plain", 1), ("soft", 1)]
    plain, soft = runs[0].params, runs[3].params
    assert (plain.sampling.rate, plain.training.soft_labels, plain.student_seed) == (0.25, 0.0, None)
    assert (soft.sampling.rate, soft.training.soft_labels, soft.student_seed, soft.seed) == (0.75, 1.0, 1, 42)
    assert {gate.action for _, gate in plain.gates} == {"warn"}
    assert PARAMS["sampling"]["rate"] != 0.25, "params.yaml itself is changed"


def test_settings_are_what_differs_from_params(tmp_path: Path) -> None:
    write(tmp_path, params={"sampling.peak": PARAMS["sampling"]["peak"]})
    plain, soft, later, _ = runs_of(load_experiment("one", tmp_path), PARAMS)
    assert {key for key in plain.settings if not key.startswith("gates.")} == set()
    assert set(soft.settings) >= {"training.soft_labels", "sampling.rate"}
    assert later.settings["student_seed"] == 1


def test_a_mean_may_be_over_some_of_the_evaluation_tasks_which_must_be_there(tmp_path: Path) -> None:
    first = PARAMS["evaluation"]["tasks"][0]["name"]
    write(tmp_path, judged_on=[first])
    assert len(runs_of(load_experiment("one", tmp_path), PARAMS)) == 4
    write(tmp_path, judged_on=[first, "nothing"])
    with pytest.raises(UserError, match=r"one\.yaml: arm plain: judged_on: no evaluation task 'nothing'; there are "):
        runs_of(load_experiment("one", tmp_path), PARAMS)


def test_one_arm_alone(tmp_path: Path) -> None:
    write(tmp_path)
    experiment = load_experiment("one", tmp_path)
    assert {run.arm for run in runs_of(experiment, PARAMS, ["soft"])} == {"soft"}
    with pytest.raises(UserError, match="experiment one has no arm 'hard'; it has plain, soft"):
        runs_of(experiment, PARAMS, ["hard"])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"reference": "other"}, r"one\.yaml: .*reference 'other' is none of the arms: plain, soft"),
        ({"seeds": [1, 1]}, r"one\.yaml: seeds: .*different whole numbers"),
        ({"params": {"runtime.store": "x"}}, r"runtime\.store cannot be set by an arm"),
        ({"params": {"student_seed": 3}}, "student_seed cannot be set by an arm"),
        ({"colour": "red"}, r"one\.yaml: colour"),
    ],
)
def test_a_fault_of_the_file_is_one_line(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(UserError, match=fault):
        load_experiment("one", tmp_path)


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({"sampling.rat": 0.5}, r"one\.yaml: arm plain: sampling\.rat: params\.yaml has no such key"),
        ({"sampling.rate": 2.0}, r"one\.yaml: arm plain: sampling\.rate"),
        ({"sampling.rate.deep": 2.0}, r"sampling\.rate\.deep: params\.yaml has no such key"),
    ],
)
def test_what_params_cannot_be_is_told_before_anything_runs(tmp_path: Path, params: dict[str, Any], fault: str) -> None:
    write(tmp_path, params=params)
    with pytest.raises(UserError, match=fault):
        runs_of(load_experiment("one", tmp_path), PARAMS)


def test_what_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(UserError, match="no experiment 'two'; there are one"):
        load_experiment("two", tmp_path)


@pytest.mark.parametrize("name", experiment_names(ROOT / "experiments"))
def test_the_experiments_of_this_repository_can_be_run(name: str) -> None:
    assert runs_of(load_experiment(name, ROOT / "experiments"), compose("laptop", ROOT / "profiles"))
