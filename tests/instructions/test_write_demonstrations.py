"""Demonstrations: balanced over outputs, checked, attached by id; instructions show k of them."""

import json
import math
from typing import Any

import pytest

from compeffdist.instructions.write_demonstrations import (
    INSTANCES,
    STAGE,
    References,
    build_instructions,
    shown_demonstrations,
    subjects,
    wanted_outputs,
    write_demonstrations,
)
from compeffdist.params import DemonstrationsParams
from compeffdist.seeds import stage_seed
from compeffdist.teacher.requests import Answer, Request
from tests.factories import make_demonstration, make_task, make_text
from tests.fakes import SENTIMENT, FakeTeacher, conversation

TEXTS = [make_text(f"real text {n}") for n in range(5)]
CLOSED = make_task(name="tone", description="Name the tone.", labels=["a", "b", "c"])
SPANS = make_task("extraction", name="triggers", description="List triggers.")
SUBJECTS = SENTIMENT.demonstrations.subjects
SEEN: list[str] = []


def params(**other: Any) -> DemonstrationsParams:
    return DemonstrationsParams(**({"calls": 3, "per_task": 32, "shown": 2} | other))


def answer(request: Request) -> Any:
    """Instances that say the aim they were written for, which is what the teacher finds when asked blind."""
    if request.labels:
        right = next(label for label in request.labels if f"all {label} day" in request.prompt)
        return likeliest(request, right)
    instances = {}
    for number, (name, schema) in enumerate(json.loads(request.schema)["properties"].items()):
        aim = schema["properties"].get("aim", {}).get("const")
        said = {"input": f"all {aim} day, glorious {name} of {len(SEEN)}"}
        instances[name] = said | ({"aim": aim} if aim else {"output": ["glorious"] if number else ["absent"]})
    SEEN.append(request.prompt)
    return json.dumps(instances)


def likeliest(request: Request, right: str) -> Answer:
    others = len(request.labels) - 1
    return Answer.of_labels({x: math.log(0.8 if x == right else 0.2 / others) for x in request.labels}, 1, 0, 1)


def test_outputs_asked_for_go_round_the_label_set() -> None:
    assert [wanted_outputs(CLOSED, call) for call in range(3)] == [["a", "b"], ["c", "a"], ["b", "c"]]


def test_the_ends_of_a_scale_come_first() -> None:
    scale = make_task("scoring")
    assert wanted_outputs(scale, 0) == ["1", "5"]
    assert wanted_outputs(scale, 1) == ["2", "3"]


def test_every_instance_asked_for_is_a_demonstration_or_a_reject() -> None:
    kept, rejects = write_demonstrations(
        [CLOSED, SPANS], TEXTS, params(), SENTIMENT.demonstrations, conversation(answer)
    )
    assert len(kept) + len(rejects) == 2 * 3 * 2
    assert {reject.reason for reject in rejects} == {"span_not_in_text"}
    assert {d.output for d in kept if d.task_id == CLOSED.id} == {"a", "b", "c"}
    assert all(len(d.reference_text_ids) == 2 for d in kept)


def test_an_answer_that_a_filter_ended_gives_no_demonstration() -> None:
    def filtered(request: Request) -> Any:
        given = answer(request)
        return given if request.labels else Answer(given, None, 1, 0, 1, "content_filter")

    kept, rejects = write_demonstrations([SPANS], TEXTS, params(), SENTIMENT.demonstrations, conversation(filtered))
    assert kept == []
    assert {reject.reason for reject in rejects} == {"unparsable"}


def test_no_more_than_per_task_are_kept() -> None:
    kept, rejects = write_demonstrations(
        [CLOSED], TEXTS, params(per_task=4), SENTIMENT.demonstrations, conversation(answer)
    )
    assert len(kept) == 4
    assert [reject.reason for reject in rejects] == ["over_per_task"] * 2


def test_repeated_instances_count_once() -> None:
    same = json.dumps({f"instance_{n}": {"input": "the same text", "output": ["same"]} for n in (1, 2)})
    kept, rejects = write_demonstrations(
        [SPANS], TEXTS, params(), SENTIMENT.demonstrations, conversation(lambda _: same)
    )
    assert len(kept) == 1
    assert [reject.reason for reject in rejects] == ["duplicate"] * 5


def test_one_text_cannot_demonstrate_two_labels() -> None:
    def same_text(request: Request) -> Any:
        if request.labels:
            return likeliest(request, "a")
        properties = json.loads(request.schema)["properties"]
        return json.dumps(
            {
                name: {"aim": schema["properties"]["aim"]["const"], "input": "The same text!"}
                for name, schema in properties.items()
            }
        )

    kept, rejects = write_demonstrations(
        [CLOSED], TEXTS, params(calls=1), SENTIMENT.demonstrations, conversation(same_text)
    )
    assert [demonstration.output for demonstration in kept] == ["a"]
    assert [reject.reason for reject in rejects] == ["duplicate"]


def test_an_output_that_the_teacher_asked_blind_finds_unlikely_is_refused() -> None:
    def contrary(request: Request) -> Any:
        return likeliest(request, "c") if request.labels else answer(request)

    teacher = FakeTeacher(contrary)
    kept, rejects = write_demonstrations([CLOSED], TEXTS, params(), SENTIMENT.demonstrations, teacher.talk())
    assert {d.output for d in kept} == {"c"}
    assert {reject.reason for reject in rejects} == {"not_upheld"}
    assert len(kept) + len(rejects) == 6
    blind = next(request for request in teacher.asked if request.labels)
    assert blind.labels == ("a", "b", "c")
    assert "aim" not in blind.prompt


def test_a_server_that_only_chooses_upholds_what_it_chooses() -> None:
    def choosing(request: Request) -> Any:
        return Answer.of_choice("c", 1, 0, 1) if request.labels else answer(request)

    kept, rejects = write_demonstrations([CLOSED], TEXTS, params(), SENTIMENT.demonstrations, conversation(choosing))
    assert [d.output for d in kept] == ["c", "c"]
    assert [reject.reason for reject in rejects] == ["not_upheld"] * 4


@pytest.mark.parametrize(
    ("output", "reason"),
    [([], "empty"), (["..."], "wordless_span"), (["sushi"], "span_not_in_text"), (["day"] * 9, "unparsable")],
)
def test_outputs_are_held_to_what_is_asked_of_responses(output: list[str], reason: str) -> None:
    spans = make_task("extraction", json_schema='{"items":{"type":"string"},"maxItems":5,"type":"array"}')
    said = json.dumps({f"instance_{n}": {"input": f"a day of {n}", "output": output} for n in (1, 2)})
    kept, rejects = write_demonstrations(
        [spans], TEXTS, params(calls=1), SENTIMENT.demonstrations, conversation(lambda _: said)
    )
    assert kept == []
    assert [reject.reason for reject in rejects] == [reason] * 2


def test_a_text_cut_short_by_its_limit_is_refused() -> None:
    def long(request: Request) -> str:
        cut, whole = ("a day " * 40)[:180], ("a day " * 40)[:170] + "it was."
        inputs = {"instance_1": cut, "instance_2": whole}
        return json.dumps({name: {"input": text, "output": ["day"]} for name, text in inputs.items()})

    kept, rejects = write_demonstrations([SPANS], TEXTS, params(calls=1), SENTIMENT.demonstrations, conversation(long))
    assert [reject.reason for reject in rejects] == ["truncated"]
    assert kept[0].input.endswith("it was.")


@pytest.mark.parametrize("text", [" " * 180, "... !!! " * 22])
def test_a_text_without_words_is_refused(text: str) -> None:
    said = json.dumps({f"instance_{n}": {"input": text, "output": ["day"]} for n in (1, 2)})
    kept, rejects = write_demonstrations(
        [SPANS], TEXTS, params(calls=1), SENTIMENT.demonstrations, conversation(lambda _: said)
    )
    assert kept == []
    assert [reject.reason for reject in rejects] == ["wordless"] * 2


def test_every_instance_has_a_subject_of_its_own() -> None:
    asked = [subject for call in range(3) for subject in subjects(SUBJECTS, "task", call, 1)]
    assert len(set(asked)) == 3 * INSTANCES
    teacher = FakeTeacher(answer)
    write_demonstrations([CLOSED], TEXTS, params(calls=1), SENTIMENT.demonstrations, teacher.talk(STAGE))
    assert all(
        f"about {subject}; the right answer is: " in teacher.asked[0].prompt
        for subject in subjects(SUBJECTS, CLOSED.id, 0, stage_seed(1, STAGE))
    )


def test_a_lost_answer_costs_its_own_task_only() -> None:
    teacher = FakeTeacher(lambda request: None if "Name the tone" in request.prompt else answer(request))
    kept, rejects = write_demonstrations([CLOSED, SPANS], TEXTS, params(), SENTIMENT.demonstrations, teacher.talk())
    assert {d.task_id for d in kept} == {SPANS.id}
    assert {r.record_id for r in rejects if r.reason == "no_answer"} == {CLOSED.id}


def test_an_instance_that_copies_a_reference_is_refused() -> None:
    def copying(request: Request) -> str:
        copied = request.prompt.split("\n- ")[1].split("\n")[0]
        fresh = {"input": "a text of its own", "output": ["own"]}
        return json.dumps({"instance_1": {"input": copied, "output": ["text"]}, "instance_2": fresh})

    teacher = FakeTeacher(copying)
    _, [reject] = write_demonstrations([SPANS], TEXTS, params(calls=1), SENTIMENT.demonstrations, teacher.talk())
    copied = next(text for text in TEXTS if f"\n- {text.text}\n" in teacher.asked[0].prompt)
    assert (reject.reason, reject.detail) == ("copies_reference", f"call 0.1: {copied.id}")
    assert copied.text not in reject.detail


def test_references_do_not_depend_on_the_order_of_texts() -> None:
    assert References(TEXTS, 1).of_call("t", 0) == References(TEXTS[::-1], 1).of_call("t", 0)


def test_references_are_distinct_and_a_text_more_changes_few_calls() -> None:
    many = [make_text(f"t {n}") for n in range(200)]
    before, after = References(many[1:], 1), References(many, 1)
    calls = [(str(task), call) for task in range(20) for call in range(16)]
    assert all(len({text.id for text in before.of_call(*call)}) == INSTANCES for call in calls)
    assert sum(before.of_call(*call) != after.of_call(*call) for call in calls) < len(calls) / 20
    assert len({text.id for call in calls for text in before.of_call(*call)}) > 150
    assert References(TEXTS[:1], 1).of_call("t", 0) == TEXTS[:1]


def test_shown_demonstrations_differ_in_output_where_they_can() -> None:
    pool = [make_demonstration(CLOSED, f"{output}{n}", output=output) for output in "ab" for n in range(9)]
    shown = shown_demonstrations(CLOSED, pool[:-8], 2, seed=7)
    assert {demonstration.output for demonstration in shown} == {"a", "b"}


def test_an_instruction_holds_definition_format_and_k_demonstrations() -> None:
    pool = [
        make_demonstration(CLOSED, "one text", output="a"),
        make_demonstration(CLOSED, "two text", output="b"),
        make_demonstration(CLOSED, "three text", output="c"),
    ]
    (instruction,) = build_instructions([CLOSED], pool, params(), 1)
    assert instruction.prompt.startswith("Name the tone. Answer with exactly one of: a, b or c.")
    assert instruction.prompt.count("Input: ") == len(instruction.demonstration_ids) == 2


def test_a_task_without_demonstrations_still_becomes_an_instruction() -> None:
    (instruction,) = build_instructions([SPANS], [], params(), 1)
    assert "Input:" not in instruction.prompt
    assert "copied exactly" in instruction.prompt
