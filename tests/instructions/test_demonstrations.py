"""Demonstrations: balanced over outputs, checked, attached by id; instructions show k of them."""

import json
from typing import Any

from compeffdist.instructions.demonstrations import (
    build_instructions,
    reference_texts,
    shown_demonstrations,
    wanted_outputs,
    write_demonstrations,
)
from compeffdist.params import DemonstrationsParams
from compeffdist.records import Demonstration, Task, Text
from compeffdist.teacher.requests import Request
from tests.fakes import TEACHER, FakeTeacher

TEXTS = [Text(text=f"real text {n}", domain="d", source="s", source_row=str(n), licence="MIT") for n in range(5)]
CLOSED = Task(
    perspective_id="p",
    name="tone",
    description="Name the tone.",
    type="closed_classification",
    labels=["a", "b", "c"],
)
SPANS = Task(
    perspective_id="p",
    name="triggers",
    description="List triggers.",
    type="extraction",
    json_schema='{"items":{"type":"string"},"type":"array"}',
    exact_spans=True,
)


SEEN: list[str] = []


def params(**other: Any) -> DemonstrationsParams:
    return DemonstrationsParams(**({"calls": 3, "per_task": 32, "shown": 2} | other))


def answer(request: Request) -> str:
    """Instances with the outputs the schema fixes, or a span of the input where it fixes none."""
    instances = {}
    for number, (name, schema) in enumerate(json.loads(request.schema)["properties"].items()):
        output = schema["properties"]["output"].get("const", ["glorious"] if number else ["absent"])
        instances[name] = {"input": f"a glorious day, {name} of {len(SEEN)}", "output": output}
    SEEN.append(request.prompt)
    return json.dumps(instances)


def test_outputs_asked_for_go_round_the_label_set() -> None:
    assert [wanted_outputs(CLOSED, call) for call in range(3)] == [["a", "b"], ["c", "a"], ["b", "c"]]


def test_the_ends_of_a_scale_come_first() -> None:
    scale = Task(perspective_id="p", name="n", description="d", type="scoring", score_range=[1, 5])
    assert wanted_outputs(scale, 0) == ["1", "5"]
    assert wanted_outputs(scale, 1) == ["2", "3"]


def test_every_instance_asked_for_is_a_demonstration_or_a_reject() -> None:
    kept, rejects = write_demonstrations([CLOSED, SPANS], TEXTS, params(), TEACHER, FakeTeacher(answer), 1)
    assert len(kept) + len(rejects) == 2 * 3 * 2
    assert {reject.reason for reject in rejects} == {"span_not_in_text"}
    assert {d.output for d in kept if d.task_id == CLOSED.id} == {"a", "b", "c"}
    assert all(len(d.reference_text_ids) == 2 for d in kept)


def test_no_more_than_per_task_are_kept() -> None:
    kept, rejects = write_demonstrations([CLOSED], TEXTS, params(per_task=4), TEACHER, FakeTeacher(answer), 1)
    assert len(kept) == 4
    assert [reject.reason for reject in rejects] == ["over_per_task"] * 2


def test_repeated_instances_count_once() -> None:
    same = json.dumps({f"instance_{n}": {"input": "the same text", "output": ["same"]} for n in (1, 2)})
    kept, rejects = write_demonstrations([SPANS], TEXTS, params(), TEACHER, FakeTeacher(lambda _: same), 1)
    assert len(kept) == 1
    assert [reject.reason for reject in rejects] == ["duplicate"] * 5


def test_a_lost_answer_costs_its_own_task_only() -> None:
    teacher = FakeTeacher(lambda request: None if "Name the tone" in request.prompt else answer(request))
    kept, rejects = write_demonstrations([CLOSED, SPANS], TEXTS, params(), TEACHER, teacher, 1)
    assert {d.task_id for d in kept} == {SPANS.id}
    assert {r.record_id for r in rejects if r.reason == "no_answer"} == {CLOSED.id}


def test_an_instance_that_copies_a_reference_is_refused() -> None:
    def copying(request: Request) -> str:
        copied = request.prompt.split("\n- ")[1].split("\n")[0]
        fresh = {"input": "a text of its own", "output": []}
        return json.dumps({"instance_1": {"input": copied, "output": []}, "instance_2": fresh})

    _, rejects = write_demonstrations([SPANS], TEXTS, params(calls=1), TEACHER, FakeTeacher(copying), 1)
    assert [reject.reason for reject in rejects] == ["copies_reference"]


def test_references_do_not_depend_on_the_order_of_texts() -> None:
    assert reference_texts(TEXTS, "t", 0, 1) == reference_texts(TEXTS[::-1], "t", 0, 1)


def a_demonstration(text: str, output: str) -> Demonstration:
    return Demonstration(task_id=CLOSED.id, input=text, output=output, answer_id="a", reference_text_ids=[])


def test_shown_demonstrations_differ_in_output_where_they_can() -> None:
    pool = [a_demonstration(f"{output}{n}", output) for output in "ab" for n in range(9)]
    shown = shown_demonstrations(CLOSED, pool[:-8], 2, seed=7)
    assert {demonstration.output for demonstration in shown} == {"a", "b"}


def test_an_instruction_holds_definition_format_and_k_demonstrations() -> None:
    pool = [
        a_demonstration("one text", "a"),
        a_demonstration("two text", "b"),
        a_demonstration("three text", "c"),
    ]
    (instruction,) = build_instructions([CLOSED], pool, params(), 1)
    assert instruction.prompt.startswith("Name the tone. Answer with exactly one of: a, b or c.")
    assert instruction.prompt.count("Input: ") == len(instruction.demonstration_ids) == 2


def test_a_task_without_demonstrations_still_becomes_an_instruction() -> None:
    (instruction,) = build_instructions([SPANS], [], params(), 1)
    assert "Input:" not in instruction.prompt
    assert "copied exactly" in instruction.prompt
