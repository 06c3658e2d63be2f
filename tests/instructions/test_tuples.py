"""Answers that are lists of tuples: asked as a benchmark asks for them, held against the text they are copied from."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from compeffdist.benchmark.tasks import BenchmarkTask
from compeffdist.instructions.answers import check_answer
from compeffdist.instructions.own_tasks import own_task
from compeffdist.instructions.rendering import instruction_prompt
from compeffdist.params import OwnTask, ResponsesParams
from compeffdist.teacher.parsing import BadAnswer
from compeffdist.triplets.collect_responses import response_question
from tests.factories import make_instruction, make_text

PARTS: list[dict[str, Any]] = [
    {"name": "target", "from_text": True, "may_be_absent": True, "about": "what it is about"},
    {"name": "opinion", "from_text": True},
    {"name": "sentiment", "values": ["negative", "positive"]},
]
QUESTION = "Which opinions does the review hold?"
OWN = OwnTask(name="opinions", question=QUESTION, tuples=PARTS)
TASK = own_task(OWN)
TEXT = "The pizza was great, but what a wait."


def said(*tuples: tuple[str, str, str]) -> str:
    return json.dumps([dict(zip(("target", "opinion", "sentiment"), one, strict=True)) for one in tuples])


def checked(answer: str) -> str:
    return check_answer(TASK, TASK.name, TASK.description, TEXT, answer)


def test_the_prompt_is_that_of_a_benchmark_task_with_its_question_and_fields() -> None:
    asked = BenchmarkTask(name="b", family="f", question=QUESTION, fields=PARTS)
    assert instruction_prompt(TASK.description, TASK, []) == asked.instruction(None)
    assert asked.instruction(None) == (
        'Which opinions does the review hold? Answer with a JSON list of objects with "target" (what it is about, '
        'copied exactly from the text, or NULL), "opinion" (copied exactly from the text) and "sentiment" (one of '
        "negative or positive); an empty list if there is none."
    )


def test_the_schema_keeps_the_order_of_the_parts_and_the_answer_has_room() -> None:
    assert list(json.loads(TASK.json_schema)["items"]["properties"]) == ["target", "opinion", "sentiment"]
    params = ResponsesParams(max_tokens=8, tuple_tokens=150)
    lists = OwnTask(name="words", question="Which words?", fields={"words": "list"})
    longest = [
        response_question("p", make_instruction(own_task(own)), make_text(TEXT), params).max_tokens
        for own in (OWN, lists)
    ]
    assert longest == [150, 8]


def test_an_answer_is_kept_as_it_is_said_each_tuple_once() -> None:
    pizza, wait = ("pizza", "great", "positive"), ("NULL", "what a wait", "negative")
    assert checked(said(pizza, wait, pizza)) == said(pizza, wait)
    assert checked("[]") == "[]"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said(("pasta", "great", "positive")), "span_not_in_text"),
        (said(("pizza", "...", "positive")), "wordless_span"),
        (said(("pizza", "great", "mixed")), "schema_violation"),
        ('[{"target": "pizza"}]', "schema_violation"),
        ('["pizza"]', "schema_violation"),
    ],
)
def test_what_is_no_answer_is_refused(answer: str, reason: str) -> None:
    with pytest.raises(BadAnswer) as refused:
        checked(answer)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ([{"name": "a"}], "either values or from_text"),
        ([{"name": "a", "from_text": True, "values": ["x"]}], "either values or from_text"),
        ([{"name": "a", "from_text": True}] * 2, "two parts have the same name"),
    ],
)
def test_parts_that_cannot_be_asked_for_are_refused(parts: list[dict[str, Any]], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        OwnTask(name="o", question="Which?", tuples=parts)
