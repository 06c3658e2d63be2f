"""One reader for JSON in answers: tolerant of what stands around a value, and of nothing in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.teacher.parsing import parse_json, without_thoughts

LIST: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
OBJECT: dict[str, Any] = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
MOOD = '{"mood": "good"}'


@pytest.mark.parametrize(
    "answer",
    [
        MOOD,
        f"```json\n{MOOD}\n```",
        f"```\n{MOOD}```",
        f"Sure! Here it is:\n```json\n{MOOD}\n```\nIs that {{fine}}?",
        f"[Note] as asked: {MOOD}",
        f"See [1] and (a) {{braces}}: {MOOD} [end]",
        f"The text [sic] says {{x}}. {MOOD} That is {{my}} answer [1, 2].",
        f":-[ I'd say {MOOD} :-}}",
        f'[1, "a"] does not fit; {MOOD} does',
        f"<think>It is [bad] or {{good}}, {{'mood': 'bad'}}…</think>\n{MOOD}",
        f'<think>{{"mood": "bad"}}? No.</think>{MOOD}',
        f'Okay, {{"mood": "bad"}} is wrong.\n</think>\n\n{MOOD}',
        f"[THINK]{{a}}[/THINK]{MOOD}",
        f"<think>a</think><think>b</think>\n```json\n{MOOD}\n```",
        f"◁think▷[◁/think▷{MOOD}",
        f"<|channel|>analysis<|message|>It {{is}}<|end|><|start|>assistant<|channel|>final<|message|>{MOOD}",
        f"{MOOD}\n{MOOD}",
        f"\ufeff{MOOD}",
    ],
)
def test_what_stands_around_a_value_is_passed_over(answer: str) -> None:
    assert parse_json(answer, OBJECT) == {"mood": "good"}


@pytest.mark.parametrize(
    "answer",
    [
        '["a", "b"]',
        '{"answer": ["a", "b"]}',
        '```json\n{"answer": ["a", "b"]}\n```',
        '```json\n["a", "b"]\n```',
        'Spans [two]: {"answer": ["a", "b"]}',
        '<think>[“a”]</think>{"answer": ["a", "b"]}',
    ],
)
def test_a_value_that_is_no_object_may_stand_in_one(answer: str) -> None:
    assert parse_json(answer, LIST) == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "no JSON"),
        ("I would say good.", "no JSON"),
        ("[see above]", "invalid JSON"),
        ('{"mood": "good"', "invalid JSON"),
        ('[{"mood": "good"}, {"mood": "b', "invalid JSON"),
        ('{"first": {"mood": "good"}, "second": {"mo', "invalid JSON"),
        ('{"text": "say {\\"x\\": 1} {"mood": "good"}', "invalid JSON"),
        ("{'mood': 'good'}", "invalid JSON"),
        ('{"mood": "meh"}', "mood: 'meh' is not one of"),
        ('Well: {"mood": "meh"}', "mood: 'meh' is not one of"),
        ('{"mood": "good"} or rather {"mood": "bad"}', "2 different JSON values in the answer fit"),
        ('```\n{"mood": "good"}\n```\n```\n{"mood": "bad"}\n```', "2 different JSON values in the answer fit"),
        (f"<think>{MOOD}</think>", "thoughts only"),
        (f"<think>{MOOD}", "thoughts only"),
        ('{"answer": {"mood": "good"}}', "'mood' is a required property"),
        ('{"mood": "good", "note": "\\ud83d"}', "half a character"),
    ],
)
def test_no_value_is_guessed_from_a_broken_answer(answer: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        parse_json(answer, OBJECT)
    assert "\n" not in str(caught.value)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), max_size=4))
def test_marks_and_fences_inside_strings_are_text(spans: list[str]) -> None:
    hostile = [*spans, "a </think> b", "<think>", "```json", "[1]", "{"]
    assert parse_json(json.dumps(hostile), LIST) == hostile
    assert without_thoughts(json.dumps(hostile)) == json.dumps(hostile)


@given(st.text(max_size=60), st.sampled_from(["[", "{", "]", "<think>", "</think>", "```", '"', "\\"]))
def test_no_answer_breaks_the_reader(text: str, piece: str) -> None:
    for answer in (text, piece + text, text + piece + text, piece * 3 + text):
        try:
            value = parse_json(answer, LIST)
        except ValueError:
            continue
        assert isinstance(value, list)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("positive", "positive"),
        ("  positive\n", "  positive\n"),
        ("<think>It is bad.\n</think>\n\npositive", "positive"),
        ("<think></think>positive", "positive"),
        ("<THINK>x</THINK>positive", "positive"),
        ("\n<thinking>x</thinking> positive", "positive"),
        ("It is bad.</think>\npositive", "positive"),
        ("<think>no end", ""),
        ("<think>all</think>", ""),
        ("I think <think> is a tag", "I think <think> is a tag"),
        ("a < b and c > d", "a < b and c > d"),
    ],
)
def test_thoughts_are_no_part_of_an_answer(text: str, spoken: str) -> None:
    assert without_thoughts(text) == spoken


@pytest.mark.parametrize(
    "answer",
    [
        '{"mood": "good", "mood": "bad"}',
        'Well: {"mood": "bad", "mood": "good"}',
        '{"mood": "good", "why": [{"a": 1, "a": 2}]}',
    ],
)
def test_a_key_that_is_given_two_values_is_no_answer(answer: str) -> None:
    with pytest.raises(ValueError, match="has a key twice"):
        parse_json(answer, OBJECT)
    assert parse_json('{"mood": "good", "mood": "good"}', OBJECT) == {"mood": "good"}


def test_thoughts_inside_thoughts_end_with_the_outer_ones() -> None:
    assert without_thoughts("<think>a <think>b</think> c</think>positive") == "positive"
    assert without_thoughts("<think>b</think>a </think> b") == "a </think> b"
