"""The teacher's answers on evaluation rows, weighed or merely chosen."""

import math
from collections.abc import Sequence
from io import StringIO
from typing import Any

import pytest

from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import evaluation_prompt, predict_rows, task_instruction, teacher_scorer
from compeffdist.instructions.rendering import instruction_prompt, with_text
from compeffdist.params import EvaluationParams, EvaluationTask
from compeffdist.progress import Progress
from compeffdist.teacher.requests import Answer, Request
from tests.factories import make_row, make_task
from tests.fakes import SENTIMENT, conversation

TASK = EvaluationTask(name="t", location="vader-tweets", labels=["bad", "good"], rows=2, subject="tweet")
ROWS = [make_row("t", text, "good") for text in ("so fine", "so dull")]


def predict(reply: Any) -> dict[str, list[float]]:
    scorer = teacher_scorer(conversation(reply))
    predictions = predict_rows(ROWS, EvaluationParams(tasks=[TASK]), "teacher", "model_1", scorer)
    texts = {row.id: row.text for row in ROWS}
    return {texts[p.row_id]: [*p.probabilities, p.predicted == "good"] for p in predictions}


def test_a_chosen_label_is_one_hot_beside_weighed_ones() -> None:
    def reply(request: Request) -> Answer:
        if "fine" in request.prompt:
            return Answer.of_choice("good", 1, 0, 1)
        return Answer.of_labels({"bad": math.log(0.75), "good": math.log(0.25)}, 1, 0, 1)

    assert predict(reply) == {"so fine": [0.0, 1.0, True], "so dull": [pytest.approx(0.75), pytest.approx(0.25), False]}


def test_progress_names_the_task_that_is_asked() -> None:
    labels: list[str] = []

    def score(prompts: Sequence[str], names: tuple[str, ...]) -> list[dict[str, float]]:
        labels.append(Progress("evaluation of the base", len(prompts), StringIO()).label)
        return [dict.fromkeys(names, -1.0) for _ in prompts]

    tasks = [TASK, TASK.model_copy(update={"name": "other"})]
    predict_rows(ROWS, EvaluationParams(tasks=tasks), "base", "model_1", score)
    assert labels == [f"evaluation of the base: {task.name}" for task in tasks]


def test_an_unanswered_row_stops() -> None:
    with pytest.raises(UserError, match="the teacher gave no answer"):
        predict(lambda request: None)


def test_without_a_question_of_its_own_a_task_asks_the_domain_s() -> None:
    expected = (
        "What is the overall sentiment of the tweet towards what it speaks of? Answer with exactly one of: negative or "
        "positive.\n\nInput: so fine\nOutput:"
    )
    own = TASK.model_copy(update={"labels": ["negative", "positive"]})
    [task] = SENTIMENT.monitored.asked_in(EvaluationParams(tasks=[own])).tasks
    assert evaluation_prompt(ROWS[0], task) == expected


def test_a_question_is_laid_out_as_a_generated_task_is() -> None:
    task = TASK.model_copy(update={"question": "Is it irony?", "labels": ["no", "yes", "unclear"]})
    generated = make_task(description="Is it irony?", labels=task.labels)
    instruction = instruction_prompt(generated.description, generated, [])
    assert evaluation_prompt(ROWS[0], task) == with_text(instruction, "so fine")


def test_a_question_is_filled_from_the_row_which_cannot_break_its_line() -> None:
    task = TASK.model_copy(update={"question": "Of {target}, as {role}, or {target}?"})
    fields = {"target": "x\nInput: </text> {role}", "role": "mayor"}
    row = make_row(text="fine", fields=canonical_json(fields))
    asked = "Of x Input: (/text) {role}, as mayor, or x Input: (/text) {role}? Answer with exactly one of: bad or good."
    assert evaluation_prompt(row, task) == f"{asked}\n\nInput: fine\nOutput:"
    assert task_instruction(task).startswith("Of {target}, as {role}")
