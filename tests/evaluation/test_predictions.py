"""The teacher's answers on evaluation rows, weighed or merely chosen."""

import math
from typing import Any, cast

import pytest

from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import predict_rows, teacher_scorer
from compeffdist.evaluation.tasks import EvaluationRow
from compeffdist.params import EvaluationParams, EvaluationTask
from compeffdist.teacher.requests import CHOSEN, Answer, Request
from tests.fakes import TEACHER, FakeTeacher

TASK = EvaluationTask(name="t", location="vader-tweets", labels=["bad", "good"], rows=2, subject="tweet")
ROWS = [
    EvaluationRow(task="t", text=text, label="good", source_row="1", licence="MIT") for text in ("so fine", "so dull")
]


def predict(reply: Any) -> dict[str, list[float]]:
    scorer = teacher_scorer(cast(Any, FakeTeacher(reply)), TEACHER)
    predictions = predict_rows(ROWS, EvaluationParams(tasks=[TASK]), "teacher", "model_1", scorer)
    texts = {row.id: row.text for row in ROWS}
    return {texts[p.row_id]: [*p.probabilities, p.predicted == "good"] for p in predictions}


def test_a_chosen_label_is_one_hot_beside_weighed_ones() -> None:
    def reply(request: Request) -> Answer:
        if "fine" in request.prompt:
            return Answer("good", None, 1, 0, 1, CHOSEN)
        return Answer.of_labels({"bad": math.log(0.75), "good": math.log(0.25)}, 1, 0, 1)

    assert predict(reply) == {"so fine": [0.0, 1.0, True], "so dull": [pytest.approx(0.75), pytest.approx(0.25), False]}


def test_an_unanswered_row_stops() -> None:
    with pytest.raises(UserError, match="the teacher gave no answer"):
        predict(lambda request: None)
