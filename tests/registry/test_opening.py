"""Models by whatever a person calls them, and `compeffdist evaluate` from arguments to figures."""

import json
from pathlib import Path

import pytest

from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import evaluation_prompt
from compeffdist.evaluation.rows import load_evaluation_rows
from compeffdist.evaluation.standalone import read_tasks
from compeffdist.params import RegistryParams, RuntimeParams
from compeffdist.record_files import read_records
from compeffdist.records import Prediction
from compeffdist.registry.register import register_student
from compeffdist.registry.weights import open_model
from compeffdist.student.loading import load_student, student_id
from compeffdist.student.prediction import label_logprobs
from tests.fakes import SYSTEM

RUNTIME = RuntimeParams(device="cpu")


@pytest.fixture
def name(student_folder: Path, base_folder: Path) -> str:
    name = f"opening-{student_folder.parent.name}"
    register_student(student_folder, base_folder, RegistryParams(model_name=name, experiment="tests"), {})
    return name


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    rows = [{"text": f"the film was {word} {n}", "label": word} for word in ("great", "dreadful") for n in range(3)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_a_version_is_opened_by_number_and_by_alias(name: str, student_folder: Path) -> None:
    for reference in (f"models:/{name}@candidate", f"models:/{name}/1"):
        with open_model(reference, RUNTIME) as model:
            assert student_id(model.folder) == student_id(student_folder)
            assert (model.base is not None) == (model.folder / "adapter_config.json").exists()


def test_a_model_that_is_not_there_is_one_line(name: str, tmp_path: Path) -> None:
    for reference, expected in (
        (f"models:/{name}@champion", "there is no such version .aliases: candidate"),
        (f"models:/{name}-not@candidate", "there is no such version .aliases: none"),
        (f"models:/{name}/77", "has no version 77; there are 1"),
        ("models:/3", "expected models:/NAME/VERSION or models:/NAME@ALIAS"),
        ("api:gpt@there", "behind an API cannot be asked here"),
        ("models/student", "'models/student': there is no such folder; dvc repro makes it"),
    ):
        with pytest.raises(UserError, match=expected), open_model(reference, RUNTIME):
            pass


@pytest.mark.parametrize("student_folder", ["lora"], indirect=True)  # full weights need no base
def test_an_adapter_needs_its_base(student_folder: Path, base_folder: Path) -> None:
    unnamed = open_model(str(student_folder), RUNTIME)
    with pytest.raises(UserError, match="name the model it was trained on with --base"), unnamed:
        pass
    with open_model(f"path:{student_folder}", RUNTIME, str(base_folder)) as model:
        assert model.id == student_id(student_folder) and model.base == base_folder


def test_evaluate_asks_with_the_pipeline_s_prompt_and_label_rule(
    name: str, student_folder: Path, base_folder: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = labelled.with_name("answers.jsonl")
    models = [f"models:/{name}@candidate", str(base_folder)]
    arguments = ["evaluate", "--tasks", str(labelled), "--question", "How was it?", "--device", "cpu"]
    main([*arguments, "--model", models[0], "--model", models[1], "--out", str(out), "--prior", "none", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert list(report["models"]) == models and report["tasks"]["mine"]["rows"] == 6
    assert report["tasks"]["mine"]["prompt"] == "How was it? Answer with exactly one of: dreadful or great."

    [task] = read_tasks(labelled, {"question": "How was it?"})
    rows = {row.id: row for row in load_evaluation_rows(task, 42, Path("unused"))}
    model, tokenizer = load_student(student_folder, "cpu", base=base_folder)
    answers = [answer for answer in read_records(out, Prediction) if answer.system == models[0]]
    prompts = [evaluation_prompt(rows[answer.row_id], task) for answer in answers]
    for answer, expected in zip(
        answers, label_logprobs(model, tokenizer, prompts, task.labels, system=SYSTEM), strict=True
    ):
        assert answer.predicted == max(task.labels, key=lambda label: expected[label])

    main([*arguments, "--model", models[1]])
    assert "| mine |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "a", "--model", "a"], "the same model is named twice"),
        (["--model", "a", "--out", "x.txt"], "must end in .jsonl or .parquet"),
        (["--model", "a", "--label-field", "stars"], "no column 'stars'"),
        (["--model", "a", "--labels", "great"], "labels: List should have at least 2 items"),
    ],
)
def test_a_wrong_argument_is_one_line(
    labelled: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--tasks", str(labelled), *arguments])
    assert left.value.code == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
