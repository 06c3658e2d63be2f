"""What a request may hold: read to the question it asks, or refused in one line, whatever is sent."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.evaluation.predictions import evaluation_prompt
from compeffdist.files import write_json
from compeffdist.params import EvaluationTask, LabelPriorsParams, ServingParams
from compeffdist.records import Instruction
from compeffdist.registry.carrying import tasks_carried
from compeffdist.registry.questions import (
    COLUMNS,
    WHOLE_PROMPT,
    Asked,
    Carried,
    Question,
    ask_closed,
    by_question,
    read_carried,
    read_request,
)
from tests.factories import make_instruction, make_row, make_task
from tests.fakes import SENTIMENT

MOOD = Question("How is it? Answer with exactly one of: good or bad.", ("good", "bad"))
POLARITY = Carried().tasks["overall polarity"]
TASKS = {"overall polarity": POLARITY, "mood": MOOD, "reasons": Question("Why?")}


def read(*rows: dict[str, Any]) -> list[Asked]:
    return read_request(pd.DataFrame(list(rows)), Carried(tasks=TASKS), ServingParams())


def test_each_row_is_read_to_the_question_it_asks() -> None:
    asked = read(
        {"text": "a"},
        {"prompt": "b"},
        {"text": "c", "task": "mood"},
        {"text": "d", "question": "How is it?", "labels": "good, bad"},
        {"text": "e", "task": "reasons", "labels": ""},
    )
    assert [row.question for row in asked] == [POLARITY, WHOLE_PROMPT, MOOD, MOOD, TASKS["reasons"]]
    assert [row.plain for row in asked] == [True, False, False, False, False]
    assert by_question(asked) == {POLARITY: [0], WHOLE_PROMPT: [1], MOOD: [2, 3], TASKS["reasons"]: [4]}
    assert asked[1].question.message("b") == "b"
    assert asked[0].question.message("a\nb") == SENTIMENT.monitored.prompt("a\nb")
    assert TASKS["reasons"].message("") == "Why?\n\nInput: \nOutput:"


def test_a_question_is_asked_in_the_prompt_of_evaluation() -> None:
    task = EvaluationTask(name="t", location="x.jsonl", question="How is it?", labels=["good", "bad"], rows=1)
    row = make_row(text="It rains\nin Rome")
    whole = "How is it? Answer with exactly one of: good or bad."
    for question in ("How is it?", " How\nis it? ", whole):
        assert ask_closed(question, "good,bad").message(row.text) == evaluation_prompt(row, task)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "a", "prompt": "b"}, "row 1: .*not both"),
        ({"text": "  "}, "non-empty"),
        ({"text": "x" * 8001}, "8001 characters, at most 8000"),
        ({"prompt": "x" * 8001}, "at most 8000"),
        ({"other": "x", "text": "a"}, "unknown column 'other'"),
        ({"task": "mood"}, "no column is named text or prompt"),
        ({"prompt": "a", "task": "mood"}, "asked as it is, without task"),
        ({"text": "a", "task": "nope"}, "no task 'nope'; there are overall polarity, mood, reasons"),
        ({"text": "a", "task": "mood", "labels": "a,b"}, "a text goes alone, .*; there are text, labels, task"),
        ({"text": "a", "question": "q"}, "there are text, question"),
        ({"text": "a", "labels": "a,b"}, "there are text, labels"),
        ({"text": "a", "question": "q" * 2001, "labels": "a,b"}, "question has 2001 characters, at most 2000"),
        ({"text": "a", "question": "q", "labels": "a"}, "2 to 32 labels separated by commas, got 1"),
        ({"text": "a", "question": "q", "labels": ",".join(f"l{n}" for n in range(33))}, "got 33"),
        ({"text": "a", "question": "q", "labels": "a,,b"}, "1 to 60 characters"),
        ({"text": "a", "question": "q", "labels": "a," + "b" * 61}, "1 to 60 characters"),
        ({"text": "a", "question": "q", "labels": "a, A"}, "two labels are the same"),
    ],
)
def test_rows_out_of_bounds_are_refused(row: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        read(row)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rows", [0, 1025])
def test_too_many_rows_or_none_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="1 to 1024"):
        read_request(pd.DataFrame({"text": ["x"] * rows}), Carried(tasks=TASKS), ServingParams())


@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=30) | st.none() | st.integers()))
def test_whatever_is_sent_is_read_or_refused(row: dict[str, Any]) -> None:
    try:
        asked = read(row)
    except ValueError:
        return
    assert len(asked) == 1 and asked[0].text.strip()


def instruction(name: str, prompt: str, perspective: str = "", **fields: Any) -> Instruction:
    task = make_task(**({"name": name, "description": prompt, "perspective_id": perspective} | fields))
    return make_instruction(task, prompt=prompt)


def test_a_version_carries_polarity_own_tasks_and_what_it_was_taught_each_by_a_name() -> None:
    own = instruction("mood", MOOD.instruction)
    seed = instruction("overall polarity", POLARITY.instruction, labels=list(POLARITY.labels))
    taught = [
        instruction("mood", "Mood?", "p"),
        instruction("grade", "Grade?", "p", type="scoring", score_range=[1, 3]),
    ]
    never = instruction("never", "Never?", "p")
    free = instruction("why", "Why?", type="structured")
    tasks = tasks_carried([*taught, never, own, seed, free], {item.id for item in taught}, SENTIMENT.monitored)
    assert list(tasks) == ["overall polarity", "mood", "why", "grade", "mood (2)"]
    assert tasks["mood"] == MOOD and tasks["mood (2)"].instruction == "Mood?"
    assert tasks["grade"].labels == ("1", "2", "3") and tasks["why"].labels == ()


def test_what_is_carried_is_read_back_as_it_was_written(tmp_path: Any) -> None:
    priors = {"mood": {"good": 0.75, "bad": 0.25}}
    carried = Carried(TASKS, priors, strength=0.5, least=3, monitored="mood", field="feeling")
    files = carried.to_files(texts=100)
    for name, contents in files.items():
        write_json(tmp_path / name, contents)
    assert read_carried({name: str(tmp_path / name) for name in files}) == carried
    assert list(read_carried({name: str(tmp_path / name) for name in files}).tasks) == list(TASKS)
    assert carried.prior_of(ask_closed("How is it?", "good,bad")) == {"good": 0.75, "bad": 0.25}
    assert carried.prior_of(ask_closed("How is it?", "bad,good")) is None
    assert carried.prior_of(POLARITY) is None
    assert files["label_priors"]["texts"] == 100


def test_a_version_from_before_there_were_domains_is_asked_as_it_was(tmp_path: Any) -> None:
    files = Carried(tasks=TASKS, strength=0.5).to_files(texts=100)
    del files["monitored"]
    for name, contents in files.items():
        write_json(tmp_path / name, contents)
    carried = read_carried({name: str(tmp_path / name) for name in files})
    [asked] = read_request(pd.DataFrame([{"text": "a"}]), carried, ServingParams())
    assert asked.question.message("a") == SENTIMENT.monitored.prompt("a")
    assert (carried.monitored, carried.field) == ("overall polarity", "polarity")


def test_a_text_alone_is_asked_what_the_version_s_domain_asks() -> None:
    urgency = ask_closed("How urgent is it?", "soon,later")
    carried = Carried(tasks=TASKS | {"urgency": urgency}, monitored="urgency", field="urgency")
    rows = [{"text": "a"}, {"text": "a", "task": "mood"}, {"text": "a", "question": "Is it?", "labels": "yes,no"}]
    asked = read_request(pd.DataFrame(rows), carried, ServingParams())
    assert [row.question for row in asked] == [urgency, MOOD, ask_closed("Is it?", "yes,no")]
    assert [row.plain for row in asked] == [True, False, False]


def test_a_version_that_carries_nothing_knows_of_polarity_and_takes_no_prior_out() -> None:
    carried = read_carried({})
    assert list(carried.tasks.values()) == [POLARITY] and carried.strength == 0.0
    assert carried.least == LabelPriorsParams().least
