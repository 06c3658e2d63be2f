"""Evaluation of any files: what tasks are read, what a prior changes, and that figures are the pipeline's."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.evaluation.bootstrap import Predictions, difference_interval
from compeffdist.evaluation.metrics import macro_f1
from compeffdist.evaluation.rows import load_evaluation_rows
from compeffdist.evaluation.standalone import asked_tasks, compare_models, decided, read_tasks, report_lines
from compeffdist.params import EvaluationParams, EvaluationTask
from compeffdist.records import Prediction
from tests.factories import make_prediction, make_row
from tests.fakes import SENTIMENT

LABELS = ["joy", "anger"]
TASK = """
- name: feelings
  location: mine.csv
  question: Which emotion does the writer show?
  labels: [joy, anger]
  label_map: {0: joy, 1: anger}
"""


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("text;label\n" + "".join(f"text number {n};{n % 2}\n" for n in range(20)), encoding="utf-8-sig")
    return path


def error(source: Path, given: Mapping[str, Any] = {}) -> str:
    with pytest.raises(UserError) as caught:
        read_tasks(source, given)
    assert str(source) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_files_lie_beside_the_file_of_tasks(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = labelled.with_name("tasks.yaml")
    tasks.write_text(TASK)
    for folder, source in ((labelled.parent, Path("tasks.yaml")), (Path("/"), tasks)):
        monkeypatch.chdir(folder)
        [task] = read_tasks(source, {})
        rows = load_evaluation_rows(task, 1, Path("unused"))
        assert len(rows) == 20 and {row.label for row in rows} == set(LABELS)


def test_what_is_not_beside_them_lies_where_params_say(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(labelled.parent)
    Path("data/sources").mkdir(parents=True)
    labelled.rename("data/sources/mine.csv")
    Path("params.yaml").write_text("evaluation:\n  tasks:\n" + TASK.replace("\n", "\n  "))
    [task] = read_tasks(Path("params.yaml"), {})
    assert task.location == "data/sources/mine.csv"


def test_a_labelled_file_is_a_task_of_its_own(labelled: Path) -> None:
    [task] = read_tasks(labelled, {"question": "Which?", "rows": 4})
    assert (task.name, task.labels, task.question) == ("mine", ["0", "1"], "Which?")
    assert len(load_evaluation_rows(task, 1, Path("unused"))) == 4
    [task] = read_tasks(labelled, {"labels": ["1", "0"]})
    assert task.labels == ["1", "0"]


def test_what_cannot_be_a_task_is_one_line(labelled: Path) -> None:
    tasks = labelled.with_name("tasks.yaml")
    tasks.write_text("tasks: 3")
    assert "expected a list of evaluation tasks" in error(tasks)
    tasks.write_text(TASK + "  colour: red\n")
    assert "0: colour: unknown key" in error(tasks)
    tasks.write_text(TASK + TASK)
    assert "two share a name" in error(tasks)
    tasks.write_text(TASK)
    assert "which say themselves what --text-field says" in error(tasks, {"text_field": "x"})
    assert "no column 'stars' (--label-field); there are: text, label" in error(labelled, {"label_field": "stars"})
    assert "20 different values in 'text'" not in error(labelled.with_name("none.csv"))
    labelled.write_text("text,label\n" + "".join(f"t,{n}\n" for n in range(30)))
    assert "30 different values in 'label': name the labels with --labels" in error(labelled)
    assert "cannot be read" in error(labelled.with_name("none.yaml"))


def test_labels_that_do_not_answer_the_domain_s_question_are_told_by_their_file(labelled: Path) -> None:
    tasks = labelled.with_name("tasks.yaml")
    tasks.write_text(TASK.replace("Which emotion does the writer show?", "''"))
    told = r"has no question, so that the domain's is asked, which is not answered with '{}' \(negative, .*of its own"
    for source, name, label, last in ((tasks, "feelings", "joy", ""), (labelled, "mine", "0", r" \(--question\)")):
        with pytest.raises(UserError, match=f"^{source}: '{name}' {told.format(label)}{last}$"):
            asked_tasks(source, {}, SENTIMENT.monitored)
    tasks.write_text(TASK)
    assert asked_tasks(tasks, {}, SENTIMENT.monitored).tasks == read_tasks(tasks, {})


def answer(row: int, gold: str, joy: float, system: str = "a") -> Prediction:
    asked, said = make_row("feelings", f"text {row}", gold), "joy" if joy >= 0.5 else "anger"
    return make_prediction(asked, system, said, probabilities=[joy, 1 - joy])


PARAMS = EvaluationParams(tasks=[EvaluationTask(name="feelings", location="x.csv", labels=LABELS)], bootstrap=200)
# joy whatever the text, and a little more of it where it is right
BIASED = [answer(n, LABELS[n % 2], 0.95 if n % 2 == 0 else 0.7) for n in range(40)]
EVEN = [answer(n, LABELS[n % 2], 0.9 if n % 3 else 0.2, "b") for n in range(40)]


def test_a_prior_is_what_the_texts_are_answered_on_average_and_leaves_likelihoods_alone() -> None:
    made = decided(BIASED, PARAMS.tasks, "batch")
    mean = (sum(p.probabilities[0] for p in BIASED) + 2) / 44
    for one, other in zip(BIASED, made, strict=True):
        joy, anger = one.probabilities
        assert other.predicted == ("joy" if joy / mean >= anger / (1 - mean) else "anger") == one.gold
        assert other.probabilities == one.probabilities and other.id == one.id
    assert decided(BIASED, PARAMS.tasks, "none") == BIASED


def test_a_label_that_is_merely_chosen_stays() -> None:
    chosen = [answer(n, "joy", 1.0) for n in range(5)]
    assert [p.predicted for p in decided(chosen, PARAMS.tasks, "batch")] == ["joy"] * 5


def test_figures_are_those_of_the_metrics_with_and_without_a_prior() -> None:
    report = compare_models({"a": BIASED, "b": EVEN}, PARAMS, "batch", 7)
    task = report["tasks"]["feelings"]
    assert task["gold"] == {"joy": 20, "anger": 20}
    raw = task["models"]["a"]["none"]
    gold = [p.gold for p in BIASED]
    assert raw["macro_f1"]["estimate"] == pytest.approx(macro_f1(gold, ["joy"] * 40, LABELS))
    assert raw["said"] == {"joy": 1.0, "anger": 0.0}
    assert task["models"]["a"]["batch"]["macro_f1"]["estimate"] == 1.0
    pairs = [
        {"feelings": Predictions(LABELS, {p.row_id: p.gold for p in own}, {p.row_id: p.predicted for p in own})}
        for own in (BIASED, EVEN)
    ]
    expected = difference_interval(pairs[0], pairs[1], "macro_f1", 200, 0.95, 7)
    assert task["differences"]["b"]["none"] == expected.__dict__
    assert math.isclose(report["mean"]["differences"]["b"]["none"]["estimate"], expected.estimate)


def test_the_table_says_who_said_what_and_how_they_differ() -> None:
    report = compare_models({"a": BIASED, "b": EVEN}, PARAMS, "none", 7)
    lines = report_lines(report)
    assert "feelings" in lines[2] and "joy 100%, anger 0%" in lines[2]
    assert any(line.startswith("a less b, macro-F1") for line in lines)
    assert lines[-1].startswith("labels by likelihood as it is")
    alone = report_lines(compare_models({"pypi:x==1!m#sha256=" + "0" * 64: BIASED}, PARAMS, "batch", 7))
    assert "sha256" not in alone[2] and not any("less" in line for line in alone)


def test_one_model_under_two_names_is_no_comparison() -> None:
    with pytest.raises(UserError, match="of one, two two are the same model"):
        compare_models({"one": BIASED, "two": BIASED}, PARAMS, "none", 7)
