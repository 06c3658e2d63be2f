"""From perspectives to tasks: types are explicit, definitions checked, near-duplicates dropped, all accounted."""

import json
from typing import Any

import numpy as np
import pytest

from compeffdist.instructions.tasks import (
    TYPE_MEANINGS,
    Idea,
    build_task,
    clean_label,
    drop_near_duplicates,
    generate_tasks,
    polarity_task,
)
from compeffdist.params import TasksParams
from compeffdist.records import Attribute, Perspective, Task
from compeffdist.teacher.requests import Request
from tests.fakes import TEACHER, FakeTeacher


def perspective(name: str = "tone") -> Perspective:
    attribute = an_attribute(name)
    return Perspective(
        member_ids=[attribute.id],
        member_names=[name],
        member_counts=[3],
        exemplar=name,
        total_count=3,
        coherence=1.0,
    )


def an_attribute(name: str = "tone") -> Attribute:
    return Attribute(name=name, count=3, text_count=3, raw_names=[name], descriptions=[f"the {name} of the text."])


def idea(kind: str) -> Idea:
    return Idea(perspective(), "Tone finder", "Find the tone.", kind)


def params(**other: Any) -> TasksParams:
    return TasksParams(**({"per_perspective": 2, "analysis_per_perspective": 1} | other))


def distinct(texts: Any) -> Any:
    return np.eye(len(texts))


DEFINITIONS: dict[str, dict[str, Any]] = {
    "closed_classification": {"labels": ["Warm.", "cold"]},
    "open_classification": {},
    "scoring": {"lowest": 1, "highest": 5},
    "extraction": {"verbatim": True},
    "structured": {"fields": [{"field": "Main Tone", "type": "string"}, {"field": "mixed", "type": "boolean"}]},
}


def answer(request: Request) -> str:
    """What a good teacher says, read off the schema it is given."""
    properties = json.loads(request.schema)["properties"]
    if "prompts" in properties:
        return json.dumps({"prompts": ["Explain the tone of this text."]})
    if "tasks" in properties:
        count = properties["tasks"]["minItems"]
        return json.dumps({"tasks": [{"name": f"task {n}", "purpose": "do it"} for n in range(count)]})
    kind = next(kind for kind in DEFINITIONS if f"this task of {TYPE_MEANINGS[kind]}," in request.prompt)
    return json.dumps({"description": f"Do the {kind}.", **DEFINITIONS[kind]})


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_a_definition_becomes_a_task_of_its_type(kind: str) -> None:
    task = build_task(idea(kind), {"description": "Say  it.", **DEFINITIONS[kind]})
    assert (task.type, task.description) == (kind, "Say it.")
    assert task.labels == (["warm", "cold"] if kind == "closed_classification" else [])
    assert task.score_range == ([1, 5] if kind == "scoring" else [])
    assert bool(task.json_schema) == (kind in ("extraction", "structured"))
    assert task.exact_spans == (kind == "extraction")


def test_fields_become_a_closed_schema() -> None:
    task = build_task(idea("structured"), {"description": "Fill in.", **DEFINITIONS["structured"]})
    schema = json.loads(task.json_schema)
    assert schema["required"] == ["main_tone", "mixed"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("kind", "definition", "reason"),
    [
        ("closed_classification", {"description": "Say it.", "labels": ["Warm", " warm."]}, "bad_label_set"),
        ("closed_classification", {"description": "Say it.", "labels": ["warm", "..."]}, "bad_label_set"),
        ("open_classification", {"description": "Compare text 1 with text 2."}, "compares_texts"),
        (
            "structured",
            {"description": "Fill.", "fields": [{"field": "a b", "type": "list"}] * 2},
            "bad_fields",
        ),
    ],
)
def test_an_unusable_definition_has_a_reason(kind: str, definition: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build_task(idea(kind), definition)


def test_every_candidate_is_a_task_or_a_reject() -> None:
    perspectives = [perspective("tone"), perspective("humour")]
    attributes = {a.id: a for a in (an_attribute("tone"), an_attribute("humour"))}
    teacher = FakeTeacher(answer)
    tasks, rejects, candidates = generate_tasks(perspectives, attributes, params(), TEACHER, teacher, distinct, 1)
    assert candidates == len(tasks) + len(rejects) == 6
    assert [task.type for task in tasks] == [
        "closed_classification",
        "open_classification",
        "scoring",
        "extraction",
        "analysis",
        "analysis",
    ]
    assert all(json.loads(request.schema) for request in teacher.asked)


@pytest.mark.parametrize(("reply", "reason"), [(None, "no_answer"), ("no JSON here", "unparsable")])
def test_a_teacher_that_fails_everywhere_gives_rejects_and_no_task(reply: str | None, reason: str) -> None:
    teacher = FakeTeacher(lambda request: reply)
    tasks, rejects, candidates = generate_tasks([perspective()], {}, params(), TEACHER, teacher, distinct, 1)
    assert (tasks, candidates) == ([], 2)
    assert [reject.reason for reject in rejects] == [reason] * 2


def test_types_take_turns_across_perspectives() -> None:
    wanted = params(types=["scoring", "closed_classification", "closed_classification"], analysis_per_perspective=0)
    perspectives = [perspective(name) for name in ("a", "b", "c")]
    tasks, _, _ = generate_tasks(perspectives, {}, wanted, TEACHER, FakeTeacher(answer), distinct, 1)
    assert [task.type for task in tasks].count("scoring") == 2


def test_the_later_of_two_near_duplicates_of_a_type_is_dropped_with_the_id_it_repeats() -> None:
    def task(name: str, kind: str) -> Task:
        return Task(perspective_id="p", name=name, description="d", type=kind)

    tasks = [task("a", "extraction"), task("b", "scoring"), task("c", "extraction")]
    kept, rejects = drop_near_duplicates(tasks, lambda texts: np.ones((len(texts), 1)), 0.9)
    assert kept == tasks[:2]
    assert [(r.record_id, r.reason) for r in rejects] == [(tasks[2].id, "near_duplicate")]
    assert tasks[0].id in rejects[0].detail


def test_labels_are_compared_without_case_and_punctuation() -> None:
    assert clean_label(' "Very\n Positive." ') == "very positive"


def test_the_seed_task_comes_first_and_is_the_polarity_question() -> None:
    seeded = params(seed_polarity_task=True, analysis_per_perspective=0)
    tasks, _, _ = generate_tasks([perspective()], {}, seeded, TEACHER, FakeTeacher(answer), distinct, 1)
    assert tasks[0] == polarity_task()
    assert tasks[0].labels == ["negative", "neutral", "positive"]
