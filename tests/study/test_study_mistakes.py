"""`compeffdist study mistakes` on a small run with real weights: scored as in the pipeline, and no teacher asked."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.artefacts import BASE, EVALUATION, TEACHER, TEACHER_PREDICTIONS, WARM_UP
from compeffdist.cli.main import main
from compeffdist.evaluation.predictions import evaluation_prompt
from compeffdist.evaluation.priors import take_out
from compeffdist.files import read_json, write_json
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.models import cache_folder, resolve_model
from compeffdist.params import ModelParams, load_params
from compeffdist.profiles import compose
from compeffdist.records import EvaluationRow
from compeffdist.student.loading import load_student
from compeffdist.study.gold import read_answers, score_answers
from tests.factories import make_prediction, make_row
from tests.fakes import SYSTEM, put_domains
from tests.stages import ROOT

TASKS = [
    {"name": "films", "location": "movie-verdicts", "question": "Is it good?", "labels": ["good", "bad"]},
    {"name": "moods", "location": "films.csv", "question": "Which mood?", "labels": ["calm", "angry", "sad"]},
]
ROWS = 8
"""Of each task."""


@pytest.fixture
def run(tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[EvaluationRow]:
    """A run whose teacher is sure in one task, and in half of the rows of the other wrong and unsure. There is no
    teacher: neither an identity nor a store."""
    monkeypatch.chdir(tmp_path)
    raw = compose("smoke", ROOT / "profiles")
    raw["runtime"]["cache"] = str(tmp_path / "cache")
    raw["evaluation"] = {"bootstrap": 50, "tasks": TASKS}
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    put_domains()
    rows, answers = [], []
    for task in TASKS:
        labels = task["labels"]
        for number in range(ROWS):
            row = make_row(str(task["name"]), f"{task['name']} {number}", labels[number % len(labels)])
            likely = 0.4 if number % 2 and len(labels) == 3 else 0.9
            said = labels[(number + (likely == 0.4)) % len(labels)]
            weighed = [likely if label == said else (1 - likely) / (len(labels) - 1) for label in labels]
            rows.append(row)
            answers.append(make_prediction(row, "teacher", said, probabilities=weighed))
    EVALUATION.write(rows)
    params = load_params()
    TEACHER_PREDICTIONS.write(take_out(answers, params.evaluation.tasks, params.label_priors.strength))
    reference = ModelParams(reference=[f"path:{base_folder}"], licence="Apache-2.0")
    BASE.write(resolve_model("student", reference, cache_folder(str(tmp_path / "cache"))).to_row())
    shutil.copytree(base_folder, WARM_UP)
    write_json(Path(WARM_UP) / "student.json", {"system_prompt": SYSTEM})
    assert not Path(TEACHER).exists()
    return rows


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    main(["study", "mistakes", "--json", *arguments])
    return json.loads(capsys.readouterr().out)


def test_everything_is_told_of_every_row_and_nothing_is_asked(
    run: list[EvaluationRow], capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys)
    assert found["records"] == {"in": 16, "judged": 16, "left_out": {}}
    own = found["readings"]["calibrated"]
    assert own["wrong"]["tasks"]["films"]["wrong"]["estimate"] == 0.0
    given = found["readings"]["as_given"]
    assert given["wrong"]["tasks"]["moods"]["wrong"]["estimate"] == 0.5
    assert given["auroc"]["margin, as_given"]["tasks"]["moods"]["estimate"] == 1.0
    assert own["floor"]["0.5"].keys() == {"0.1", "0.2", "0.3"}
    assert found == read_json(Path("report/mistakes.json")) and "moods 3" not in json.dumps(found)
    assert not Path(TEACHER).exists() and not Path(".compeffdist/answers.sqlite").exists()
    assert told(capsys) == found and told(capsys, "--seed", "7")["seed"] == 7


def test_an_answer_is_as_hard_as_the_warm_up_says_of_its_prompt(run: list[EvaluationRow]) -> None:
    import torch

    params = load_params()
    scored, _ = score_answers(read_answers(params), params)
    model, tokenizer = load_student(Path(WARM_UP), "cpu")
    tasks = {task.name: task for task in params.evaluation.tasks}
    rows = {row.id: row for row in run}
    predictions = {one.row_id: one.predicted for one in TEACHER_PREDICTIONS.read()}
    for one in scored["calibrated"]:
        row = rows[one.row_id]
        prompt = encode_prompt(tokenizer, SYSTEM, evaluation_prompt(row, tasks[row.task]))
        response = encode_response(tokenizer, predictions[row.id], end=False)
        with torch.no_grad():
            logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].float()
        losses = torch.nn.functional.cross_entropy(logits, torch.tensor(response))
        assert one.difficulty["perplexity"] == pytest.approx(float(losses.exp()), rel=0.02)  # bfloat16, in batches
        assert one.wrong == (predictions[row.id] != row.label)


def test_the_tables_say_what_was_found(run: list[EvaluationRow], capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "mistakes"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("| films ") and "| 8 " in line for line in lines)
    assert "16 gold rows: judged 16, left out none" in lines and lines[-1] == "report/mistakes.json"
    assert any(line.startswith("answers as given: wrong 25.0") for line in lines)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["study", "mistakes", *arguments])
    error = capsys.readouterr().err
    assert left.value.code == 1 and error.startswith("error: ") and error.count("\n") == 1
    assert not Path("report").exists()
    return error


def test_mistakes_of_the_user_are_one_line(run: list[EvaluationRow], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--out: a.html: the name must end in .json" in fails(capsys, "--out", "a.html")
    answers = TEACHER_PREDICTIONS.read()
    TEACHER_PREDICTIONS.write(answers[1:])
    assert f"{TEACHER_PREDICTIONS}: {answers[0].row_id} has no answer" in fails(capsys)
    TEACHER_PREDICTIONS.write([*answers, make_prediction(make_row("films", "another"), "teacher")])
    assert "is to no row of data/evaluation.jsonl as evaluation.tasks of params.yaml has it" in fails(capsys)
    other = next(label for label in ("good", "bad") if label != answers[0].predicted)
    TEACHER_PREDICTIONS.write([dataclasses.replace(answers[0], id="", predicted=other), *answers[1:]])
    assert "was answered under another label_priors.strength" in fails(capsys)
    TEACHER_PREDICTIONS.write(answers)
    shutil.rmtree(WARM_UP)
    assert "models/warmup" in fails(capsys)
