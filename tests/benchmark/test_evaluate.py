"""`compeffdist evaluate --benchmark`, with a model's real weights; and its figures against slow ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from compeffdist.benchmark.asking import Asked
from compeffdist.benchmark.figures import calibration_error, judge, report
from compeffdist.benchmark.rows import BenchmarkRow, load_benchmark_rows
from compeffdist.benchmark.running import Settings, run_benchmark
from compeffdist.benchmark.tasks import BenchmarkTask, load_benchmark_tasks
from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.params import RuntimeParams
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import generate
from tests.benchmark.folder import write_benchmark, write_tasks

FAMILIES = {"A": ["mood", "stance"], "B": ["aspects"]}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a benchmark and the tasks where they are looked for."""
    write_tasks(tmp_path / "benchmarks/sentibench")
    write_benchmark(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_task_is_asked_and_the_means_are_plain_ones(
    checkout: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkout / "answers.jsonl"
    model = f"path:{base_folder}"
    main(["evaluate", "--model", model, "--benchmark", "data", "--shots", "2", "--out", str(out), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert list(told["tasks"]) == ["aspects", "mood", "stance"] and set(told["means"]) == {"A", "B", "all"}
    for prior in ("batch", "none"):
        estimates = {name: part["models"][model][prior]["estimate"] for name, part in told["tasks"].items()}
        mean = told["means"]["all"]["models"][model][prior]["estimate"]
        assert mean == pytest.approx(sum(estimates.values()) / 3)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 3 * 6 * 3  # tasks, rows, seeds
    for line in lines:
        if line["task"] == "aspects":
            assert isinstance(line["answer"], str)
        else:
            assert sum(np.exp(list(line["logprobs"].values()))) == pytest.approx(1.0)


def test_a_part_of_the_tasks_has_no_mean_over_all(
    checkout: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(
        ["evaluate", "--model", f"path:{base_folder}", "--benchmark", "data", "--tasks", "mood,stance", "--limit", "4"]
    )
    said = capsys.readouterr().out
    assert "**A**" in said and "**all**" not in said and "no mean over all" in said
    assert "| 4 " in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--benchmark", "data", "--shots", "6"], "fewer rows of train"),
        (["--benchmark", "data", "--shots", "-1"], "--shots must be 0 or more"),
        (["--benchmark", "data", "--limit", "0"], "--limit 1 or more"),
        (["--benchmark", "data", "--split", "test"], "no such split"),
        (["--benchmark", "data", "--out", "a.csv"], ".jsonl"),
        (["--benchmark", "data", "--labels", "a,b"], "--labels: is of a labelled file"),
        (["--benchmark", "nowhere"], "no manifest.json"),
        ([], "--benchmark"),
    ],
)
def test_a_mistake_is_one_line_before_a_model_is_loaded(
    checkout: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--model", "path:nowhere", *arguments])
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error


def test_an_answer_held_to_a_schema_is_json_or_was_cut_off(checkout: Path, base_folder: Path) -> None:
    [aspects] = load_benchmark_tasks(Path("benchmarks/sentibench"), ["aspects"])
    model, tokenizer = load_student(base_folder, "cpu")
    prompts = [f"What of text {n}?" for n in range(5)]
    for written in generate(model, tokenizer, prompts, 40, system="", schema=aspects.answer_schema):
        assert written.startswith("[")
        if written.endswith("]"):
            assert isinstance(json.loads(written), list)
    free = generate(model, tokenizer, prompts, 40, system="")
    assert free == generate(model, tokenizer, prompts, 40, system="") and not any(one.startswith("[{") for one in free)


# ---------------------------------------------------------------- figures


def task_and_rows(name: str, count: int = 12) -> tuple[BenchmarkTask, list[BenchmarkRow]]:
    task = {task.name: task for task in load_benchmark_tasks(Path("benchmarks/sentibench"))}[name]
    return task, load_benchmark_rows(Path("data"), task, "val")[:count]


def likelihoods(sure: float, flips: int, rows: list[BenchmarkRow]) -> list[Mapping[str, float]]:
    """Right on all rows but the first `flips`."""
    answers = []
    for n, row in enumerate(rows):
        right, wrong = (np.log(sure), np.log(1 - sure)) if n >= flips else (np.log(1 - sure), np.log(sure))
        answers.append({label: right if label == row.gold else wrong for label in ("glad", "sad")})
    return answers


def figures(results: Mapping[str, Any], tasks: list[BenchmarkTask], rows: int) -> dict[str, Any]:
    counted = {task.name: rows for task in tasks}
    return report(tasks, results, counted, FAMILIES, resamples=400, confidence=0.9, seed=1)


def test_macro_f1_is_scikit_learn_s_and_of_several_seeds_the_mean(checkout: Path) -> None:
    mood, rows = task_and_rows("mood")
    gold = [row.gold for row in rows]
    seeds = {42: likelihoods(0.9, 1, rows), 52: likelihoods(0.9, 3, rows)}
    told = figures({"m": {"mood": judge(mood, rows, Asked(seeds, 1.0))}}, [mood], len(rows))
    wanted = []
    for answers in seeds.values():
        predicted = [max(answer, key=lambda label: answer[label]) for answer in answers]
        wanted.append(f1_score(gold, predicted, average="macro"))
    interval = told["tasks"]["mood"]["models"]["m"]["none"]
    assert interval["estimate"] == pytest.approx(np.mean(wanted))
    assert interval["low"] <= interval["estimate"] <= interval["high"]
    assert told["means"] == {}


def test_a_model_held_against_itself_differs_by_nothing(checkout: Path) -> None:
    mood, rows = task_and_rows("mood")
    result = judge(mood, rows, Asked({42: likelihoods(0.8, 2, rows)}, 1.0))
    worse = judge(mood, rows, Asked({42: likelihoods(0.8, 4, rows)}, 1.0))
    told = figures({"a": {"mood": result}, "b": {"mood": result}, "c": {"mood": worse}}, [mood], len(rows))
    differences = told["tasks"]["mood"]["differences"]
    assert set(differences["b"]["none"].values()) == {0.0}
    assert differences["c"]["none"]["low"] >= 0.0 < differences["c"]["none"]["estimate"]


def test_tuples_that_are_none_are_told_and_count_as_wrong(checkout: Path) -> None:
    aspects, rows = task_and_rows("aspects", 3)
    good, bad = '[{"term": "food", "sentiment": "positive"}]', '[{"term": "soup", "sentiment": "positive"}]'
    told = figures({"m": {"aspects": judge(aspects, rows, Asked({1: [bad, good, "?"]}, 1.0))}}, [aspects], 3)
    task = told["tasks"]["aspects"]
    # gold: none, food, food; right 1, predicted 2, gold 2
    assert task["models"]["m"]["none"]["estimate"] == pytest.approx(0.5)
    said = task["answers"]["m"]
    assert (said["invalid_tuples"], said["predicted_tuples"], said["unreadable_answers"]) == (1, 2, 1)


def test_calibration_error_of_a_hand_worked_case() -> None:
    # bin of 0.9: 0.9 against 1/2; bin of 0.6: 0.6 against 1
    assert calibration_error([0.9, 0.9, 0.6, 0.6], [True, False, True, True]) == pytest.approx((0.4 + 0.4) / 2)
    assert calibration_error([1.0], [True]) == 0.0


def test_the_teacher_needs_a_checkout(checkout: Path) -> None:
    with pytest.raises(UserError):
        run_benchmark(["teacher"], Settings(Path("data")), RuntimeParams(), "", 1, None)
