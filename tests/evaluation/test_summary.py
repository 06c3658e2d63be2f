"""The evaluation's figures and table: paired on the same rows, whole or refused."""

import math
from collections.abc import Sequence

import pytest

from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import predict_rows, teacher_scorer
from compeffdist.evaluation.summary import SYSTEMS, summarise
from compeffdist.evaluation.table import evaluation_table, registration_line, verdict_line
from compeffdist.params import EvaluationParams, EvaluationTask
from compeffdist.records import Prediction
from compeffdist.teacher.requests import Answer, Request
from tests.factories import make_row
from tests.fakes import conversation

LABELS = ["negative", "neutral", "positive"]
PARAMS = EvaluationParams(
    tasks=[
        EvaluationTask(name=name, location="x.jsonl", labels=LABELS, rows=30, subject="tweet") for name in ("a", "b")
    ],
    bootstrap=200,
)
ROWS = [make_row(task, f"{task} text {n}", LABELS[n % 3]) for task in ("a", "b") for n in range(30)]


def scorer(right: int):  # type: ignore[no-untyped-def]
    """A system that gets the first `right` of each three rows' labels right, and says neutral otherwise."""

    def score(prompts: Sequence[str], labels: tuple[str, ...]) -> list[dict[str, float]]:
        rows = []
        for prompt in prompts:
            number = int(prompt.split("text ")[-1].split("\n")[0])
            best = LABELS[number % 3] if number % 3 < right else "neutral"
            rows.append({label: math.log(0.8 if label == best else 0.1) for label in labels})
        return rows

    return score


def predictions(right: int, system: str) -> list[Prediction]:
    return predict_rows(ROWS, PARAMS, system, f"model_{system}", scorer(right))


def test_a_prediction_keeps_the_whole_distribution_in_declared_order() -> None:
    first = predictions(3, "student")[0]
    assert sum(first.probabilities) == pytest.approx(1.0)
    assert LABELS[first.probabilities.index(max(first.probabilities))] == first.predicted == first.gold


def test_figures_are_those_of_the_predictions() -> None:
    systems = {system: predictions(right, system) for system, right in zip(SYSTEMS, (3, 0, 2), strict=True)}
    summary = summarise(systems, PARAMS, seed=1)
    assert summary["mean"]["macro_f1"]["teacher"]["estimate"] == 1.0
    # negative and neutral right, positive called neutral: F1 1, 2/3, 0
    assert summary["tasks"]["a"]["macro_f1"]["student"]["estimate"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert summary["tasks"]["a"]["accuracy"]["student"]["estimate"] == pytest.approx(2 / 3)
    gain = summary["mean"]["student_minus_base"]
    assert 0 < gain["low"] <= gain["estimate"] <= gain["high"]
    assert summary["headline"]["gain_over_base"] == gain["estimate"]
    table = evaluation_table(summary)
    assert table.splitlines()[-1].startswith("| **mean**")
    assert "| 100.0 " in table


def test_a_system_that_answered_other_rows_is_refused() -> None:
    systems = {system: predictions(2, system) for system in SYSTEMS}
    systems["teacher"] = systems["teacher"][1:]
    with pytest.raises(UserError, match="same"):
        summarise(systems, PARAMS, seed=1)


def test_an_unanswered_row_stops_the_teachers_evaluation() -> None:
    def reply(request: Request) -> Answer | None:
        if "text 7\n" in request.prompt:
            return None
        return Answer.of_labels({label: math.log(1 / 3) for label in request.labels}, 1, 0, 1)

    with pytest.raises(UserError, match=r"text 7.*timed out.*run again"):
        predict_rows(ROWS, PARAMS, "teacher", "t", teacher_scorer(conversation(reply)))


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.02, 0.1, "is not shown to be better than its base"), (-0.2, -0.1, "is worse than its base"), (0.01, 0.1, "")],
)
def test_a_student_that_is_not_better_is_said_to_be_none(low: float, high: float, said: str) -> None:
    gain = {"estimate": (low + high) / 2, "low": low, "high": high}
    line = verdict_line({"mean": {"student_minus_base": gain}})
    assert said in line and bool(line) == bool(said)


def test_the_registered_version_is_named() -> None:
    line = registration_line({"model_name": "student", "version": 3, "alias": "candidate"})
    assert line == "registered: student version 3, alias candidate"
    line = registration_line({"model_name": "student", "version": 3, "alias": ""})
    assert line.startswith("registered: student version 3, without alias candidate: it did not pass gate student")
