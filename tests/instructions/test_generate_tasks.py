"""From perspectives to tasks: types are explicit, definitions checked, near-duplicates dropped, all accounted."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from compeffdist.domain import filled
from compeffdist.instructions.generate_tasks import (
    build_task,
    drop_near_duplicates,
    generate_tasks,
    tasks_asked,
)
from compeffdist.instructions.own_tasks import seed_task
from compeffdist.instructions.task_questions import FORMS, Idea, definition_question, ideas_question
from compeffdist.params import TasksParams
from compeffdist.teacher.parsing import BadAnswer
from compeffdist.teacher.requests import Answer, Request
from tests.factories import make_attribute, make_perspective, make_task
from tests.fakes import SENTIMENT, FakeTeacher, conversation

TONE = make_perspective("tone")


def idea(kind: str) -> Idea:
    return Idea(TONE, "Tone finder", "Find the tone.", kind)


def params(**other: Any) -> TasksParams:
    return TasksParams(**({"per_perspective": 2, "analysis_per_perspective": 1} | other))


def distinct(texts: Any) -> Any:
    return np.eye(len(texts))


DEFINITIONS: dict[str, dict[str, Any]] = {
    "closed_classification": {"labels": ["Warm.", "cold", "cool"]},
    "open_classification": {},
    "scoring": {"lowest": 1, "highest": 5.0},  # to a schema 5.0 is a whole number, too
    "extraction": {"verbatim": True},
    "structured": {"fields": [{"field": "Main Tone", "type": "string"}, {"field": "mixed", "type": "boolean"}]},
}


def answer(request: Request) -> str:
    """What a good teacher says, read off the schema it is given."""
    properties = json.loads(request.schema)["properties"]
    if "prompts" in properties:
        return json.dumps({"prompts": ["Explain the tone of this text."]})
    if "task_1" in properties:
        return json.dumps({key: {"name": f"Side {key}.", "purpose": "Do it."} for key in properties})
    asked = {kind: filled(form.answered_by, subject="text") for kind, form in FORMS.items()}
    kind = next(kind for kind in DEFINITIONS if f"answered by {asked[kind]}, so" in request.prompt)
    return json.dumps({"description": f"Do the {kind} as told.", **DEFINITIONS[kind]})


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_definition_becomes_a_task_of_its_type(kind: str) -> None:
    task = build_task(idea(kind), {"description": "Say  it in full.", **DEFINITIONS[kind]}, SENTIMENT, False)
    assert (task.type, task.description) == (kind, "Say it in full.")
    assert task.labels == (["warm", "cold", "cool"] if kind == "closed_classification" else [])
    assert [str(end) for end in task.score_range] == (["1", "5"] if kind == "scoring" else [])
    assert bool(task.json_schema) == (kind in ("extraction", "structured"))
    assert task.exact_spans == (kind == "extraction")


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        *(("text", "a text"), ("ticket", "a ticket"), ("airline message", "an airline message"), ("email", "an email")),
        *(("update", "an update"), ("urgent call", "an urgent call"), ("utterance", "an utterance")),
        *(("unidentified user", "an unidentified user"), ("hour's log", "an hour's log"), ("Opinion", "an Opinion")),
        *(("user review", "a user review"), ("unit report", "a unit report"), ("university text", "a university text")),
        *(("one-line note", "a one-line note"), ("EU debate", "an EU debate"), ("UK review", "a UK review")),
        *(("European text", "a European text"), ("hotel review", "a hotel review"), ("unique text", "a unique text")),
    ],
)
def test_the_subject_has_the_article_of_its_sound(subject: str, said: str) -> None:
    domain = SENTIMENT.model_copy(update={"monitored": SENTIMENT.monitored.model_copy(update={"subject": subject})})
    prompt, _ = definition_question(idea("closed_classification"), domain)
    assert f'"none", for {said} that shows nothing of it.' in prompt


def test_fields_become_a_closed_schema() -> None:
    task = build_task(
        idea("structured"), {"description": "Fill in all fields.", **DEFINITIONS["structured"]}, SENTIMENT, False
    )
    schema = json.loads(task.json_schema)
    assert schema["required"] == ["main_tone", "mixed"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("kind", "definition", "reason"),
    [
        ("closed_classification", {"description": "Say it in full.", "labels": ["Warm", " warm."]}, "bad_label_set"),
        ("closed_classification", {"description": "Say it in full.", "labels": ["warm", "..."]}, "bad_label_set"),
        (
            "closed_classification",
            {"description": "Say it in full.", "labels": ["Good", "mixed", "bad"]},
            "monitored_again",
        ),
        ("open_classification", {"description": "Compare text 1 with text 2."}, "compares_texts"),
        ("open_classification", {"description": "Tone."}, "no_description"),
        (
            "structured",
            {"description": "Fill in all fields.", "fields": [{"field": "a b", "type": "list"}] * 2},
            "bad_fields",
        ),
    ],
)
def test_an_unusable_definition_has_a_reason(kind: str, definition: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadAnswer) as bad:
        build_task(idea(kind), definition, SENTIMENT, True)
    assert bad.value.reason == reason


def test_polarity_may_be_asked_where_the_seed_task_does_not() -> None:
    definition = {"description": "Say it in full.", "labels": ["good", "mixed", "bad"]}
    assert build_task(idea("closed_classification"), definition, SENTIMENT, False).labels == ["good", "mixed", "bad"]


def test_an_idea_is_of_the_type_it_was_asked_for_in_whatever_order_it_comes() -> None:
    kinds = ["closed_classification", "scoring", "extraction"]
    asked = params(per_perspective=12, analysis_per_perspective=0, types=kinds)

    def numbered(request: Request) -> str:
        properties = json.loads(request.schema)["properties"]
        if "task_1" not in properties:
            return answer(request)
        return json.dumps({key: {"name": f"side {key}", "purpose": "Do it."} for key in properties})

    attribute = make_attribute("tone")
    teacher = FakeTeacher(numbered)
    tasks, _ = generate_tasks([TONE], {attribute.id: attribute}, asked, SENTIMENT, teacher.talk(), distinct)
    assert {task.name: task.type for task in tasks} == {
        f"side task_{number}": kinds[(number - 1) % 3] for number in range(1, 13)
    }


def test_every_task_asked_for_is_a_task_or_a_reject() -> None:
    perspectives = [TONE, make_perspective("humour")]
    attributes = {a.id: a for a in (make_attribute("tone"), make_attribute("humour"))}
    teacher = FakeTeacher(answer)
    tasks, rejects = generate_tasks(perspectives, attributes, params(), SENTIMENT, teacher.talk(), distinct)
    assert tasks_asked(perspectives, params()) == len(tasks) + len(rejects) == 6
    assert [task.type for task in tasks] == [
        "closed_classification",
        "open_classification",
        "scoring",
        "extraction",
        "analysis",
        "analysis",
    ]
    assert all(json.loads(request.schema) for request in teacher.asked)


@given(st.lists(st.sampled_from(["good", "lost", "rubbish", "nameless", "label", "repeated"]), min_size=9, max_size=9))
@hypothesis_settings(max_examples=60, deadline=None)
def test_whatever_the_teacher_says_tasks_and_rejects_are_as_many_as_were_asked(faults: list[str]) -> None:
    waiting = iter(faults)

    def reply(request: Request) -> str | None:
        fault = next(waiting, "good")
        said = json.loads(answer(request))
        if fault == "nameless" and "task_1" in said:
            said["task_1"]["name"] = "Choose one label"
        if fault == "label" and "labels" in said:
            said["labels"] = ["option a", "option b", "choose"]
        if fault == "repeated" and "prompts" in said:
            said["prompts"] *= 2
        return {"lost": None, "rubbish": "no JSON"}.get(fault, json.dumps(said))

    wanted = params(seed_task=True)
    perspectives = [TONE, make_perspective("humour")]
    tasks, rejects = generate_tasks(perspectives, {}, wanted, SENTIMENT, conversation(reply), distinct)
    # an analysis answer is refused by its schema if it holds more prompts than were asked for
    assert tasks_asked(perspectives, wanted) == len(tasks) + len(rejects)


def test_a_lost_answer_rejects_every_task_it_would_have_given() -> None:
    tasks, rejects = generate_tasks([TONE], {}, params(), SENTIMENT, conversation(lambda _: None), distinct)
    assert tasks == []
    assert [reject.reason for reject in rejects] == ["no_answer"] * 3
    assert len({reject.id for reject in rejects}) == 3


def test_an_answer_that_a_filter_ended_rejects_them_too() -> None:
    def filtered(request: Request) -> Answer:
        return Answer(answer(request), None, 1, 0, 1, "content_filter")

    tasks, rejects = generate_tasks([TONE], {}, params(), SENTIMENT, conversation(filtered), distinct)
    assert tasks == []
    assert [reject.reason for reject in rejects] == ["unparsable"] * 3
    assert all("ended early, by 'content_filter'" in reject.detail for reject in rejects)


def test_a_name_that_says_only_how_a_task_is_answered_names_nothing() -> None:
    def reply(request: Request) -> str:
        said = json.loads(answer(request))
        if "task_1" in said:
            said["task_1"]["name"] = "Choose one label from a small fixed set"
        return json.dumps(said)

    tasks, rejects = generate_tasks([TONE], {}, params(), SENTIMENT, conversation(reply), distinct)
    assert [reject.reason for reject in rejects] == ["name_says_nothing"]
    assert tasks[0].name == "side task_2"


def test_each_task_of_a_perspective_is_asked_for_another_side() -> None:
    prompt, schema = ideas_question(
        make_perspective("humour"), {}, ["closed_classification", "scoring", "closed_classification"], SENTIMENT
    )
    assert list(schema["properties"]) == ["task_1", "task_2", "task_3"]
    sides = [line.split(";")[0].split("about ")[1] for line in prompt.splitlines() if line.startswith("task_")]
    assert len(set(sides)) == 3


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_the_example_of_the_prompt_is_no_task(kind: str) -> None:
    example = SENTIMENT.tasks.types[kind].definition
    with pytest.raises(BadAnswer) as bad:
        build_task(idea(kind), example.model_dump(exclude_none=True), SENTIMENT, False)
    assert bad.value.reason == "copies_example"


def test_types_take_turns_across_perspectives() -> None:
    wanted = params(types=["scoring", "closed_classification", "closed_classification"], analysis_per_perspective=0)
    perspectives = [make_perspective(name) for name in ("a", "b", "c")]
    tasks, _ = generate_tasks(perspectives, {}, wanted, SENTIMENT, conversation(answer), distinct)
    assert [task.type for task in tasks].count("scoring") == 2


def test_the_later_of_two_near_duplicates_of_a_type_is_dropped_with_the_id_it_repeats() -> None:
    tasks = [
        make_task(kind, name=name) for name, kind in zip("abc", ("extraction", "scoring", "extraction"), strict=True)
    ]
    kept, rejects = drop_near_duplicates(tasks, lambda texts: np.ones((len(texts), 1)), 0.9)
    assert kept == tasks[:2]
    assert [(r.record_id, r.reason) for r in rejects] == [(tasks[2].id, "near_duplicate")]
    assert tasks[0].id in rejects[0].detail


def test_a_task_of_any_type_as_similar_to_the_seed_task_is_dropped() -> None:
    scoring = make_task("scoring", name="sentiment")
    kept, rejects = drop_near_duplicates(
        [seed_task(SENTIMENT.monitored), scoring], lambda texts: np.ones((len(texts), 1)), 0.9
    )
    assert kept == [seed_task(SENTIMENT.monitored)]
    assert "overall polarity" in rejects[0].detail


def test_the_seed_task_comes_first_and_is_the_polarity_question() -> None:
    seeded = params(seed_task=True, analysis_per_perspective=0)
    tasks, _ = generate_tasks([TONE], {}, seeded, SENTIMENT, conversation(answer), distinct)
    assert tasks[0] == seed_task(SENTIMENT.monitored)
    assert tasks[0].labels == ["negative", "neutral", "positive"]


def test_a_difference_of_the_last_bits_decides_no_near_duplicate() -> None:
    """Two tasks exactly at the bound, and two as near to a third, under embeddings that differ by 1e-6."""
    names = ("first", "second", "third", "between")
    tasks = [make_task("scoring", name=name, description=name) for name in names]
    angles = np.array([0.0, np.arccos(0.92), 2.0, 1.0 + np.arccos(0.92) / 2])
    outcomes = set()
    for seed in range(10):
        turned = angles + np.random.default_rng(seed).normal(scale=1e-6, size=4)
        vectors = np.stack([np.cos(turned), np.sin(turned)], axis=1)
        kept, rejects = drop_near_duplicates(tasks, lambda texts, vectors=vectors: vectors, 0.92)
        outcomes.add((tuple(task.name for task in kept), tuple(reject.detail for reject in rejects)))
    assert len(outcomes) == 1
    assert next(iter(outcomes))[0] == ("first", "third", "between")
