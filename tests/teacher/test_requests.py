"""Ids of answers cover all that bears on an answer, and nothing else."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.params import TeacherParams
from compeffdist.teacher import requests
from compeffdist.teacher.requests import Answer, Request

BASE = Request("be brief", "How is it?", 16, 0.7, 0.9, 3)
CHANGES = [
    {"system": "be long"},
    {"prompt": "How is it? "},
    {"max_tokens": 17},
    {"temperature": 0.8},
    {"top_p": 0.8},
    {"seed": 4},
    {"schema": '{"type":"object"}'},
    {"labels": ("good", "bad")},
    {"labels": ("bad", "good")},
]


def test_every_setting_of_a_sampled_request_changes_its_key() -> None:
    keys = [dataclasses.replace(BASE, **change).key("model_a") for change in [{}, *CHANGES]]
    assert len(set(keys)) == len(keys)
    assert BASE.key("model_b") not in keys


@pytest.mark.parametrize("change", [{"seed": 4}, {"top_p": 0.5}])
def test_greedy_answers_do_not_depend_on_seed_or_top_p(change: dict[str, float]) -> None:
    greedy = dataclasses.replace(BASE, temperature=0.0)
    assert dataclasses.replace(greedy, **change).key("m") == greedy.key("m")


def test_a_likelihood_key_ignores_how_text_would_be_generated() -> None:
    request = Request.likelihood("s", "p", ("a", "b"))
    assert dataclasses.replace(request, max_tokens=9, temperature=1.0, seed=8).key("m") == request.key("m")


def test_a_new_grammar_buys_answers_under_a_schema_again_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    under_schema = dataclasses.replace(BASE, schema='{"type":"object"}')
    before = [under_schema.key("m"), dataclasses.replace(BASE, schema="").key("m")]
    monkeypatch.setattr(requests, "SCHEMA_PROTOCOL", requests.SCHEMA_PROTOCOL + 1)
    after = [under_schema.key("m"), dataclasses.replace(BASE, schema="").key("m")]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]


def test_the_decoding_id_is_shared_by_prompts_and_differs_between_settings() -> None:
    assert dataclasses.replace(BASE, prompt="other").decoding_id == BASE.decoding_id
    assert dataclasses.replace(BASE, max_tokens=17).decoding_id != BASE.decoding_id


@given(st.text(), st.text(), st.text(), st.text())
def test_text_cannot_move_between_system_and_prompt_unnoticed(a: str, b: str, c: str, d: str) -> None:
    one, other = Request(a, b, 1, 0.0, 1.0, 0), Request(c, d, 1, 0.0, 1.0, 0)
    assert (one.key("m") == other.key("m")) == ((a, b) == (c, d))


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("a", "a")},
        {"labels": ("a", "")},
        {"max_tokens": 0},
        {"schema": '{"type": "object"}'},
        {"schema": '{"type":"object"}', "labels": ("a", "b")},
    ],
)
def test_contradictory_requests_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        dataclasses.replace(BASE, **change)


WEIGHED = Answer.of_labels({"good": -0.1, "bad": -2.4}, prompt_tokens=5, cached_tokens=1, calls=2)


@pytest.mark.parametrize(
    ("answer", "stored"),
    [
        (
            WEIGHED,
            '{"cached_tokens":1,"completion_tokens":2,"finish_reason":"labels","label_logprobs":{"bad":-2.4,"good":-0.1},'
            '"prompt_tokens":5,"text":"good"}',
        ),
        (
            Answer.of_choice("good", 5, 1, 2),
            '{"cached_tokens":1,"completion_tokens":2,"finish_reason":"chosen","label_logprobs":null,"prompt_tokens":5,'
            '"text":"good"}',
        ),
        (
            Answer("labels", None, 5, 1, 2, "length"),
            '{"cached_tokens":1,"completion_tokens":2,"finish_reason":"length","label_logprobs":null,"prompt_tokens":5,'
            '"text":"labels"}',
        ),
    ],
)
def test_answers_are_stored_in_the_form_of_every_version(answer: Answer, stored: str) -> None:
    assert answer.to_json() == stored
    assert Answer.from_json(stored) == answer


def test_how_a_label_was_decided_is_not_how_a_text_ended() -> None:
    read = Answer.from_json(WEIGHED.to_json())
    assert (read.decided, read.finish_reason, read.kind, read.ended) == ("labels", "", "labels", True)
    text = Answer("x", None, 1, 0, 1, "stop")
    assert (text.decided, text.kind, text.ended) == ("", "generated", True)


def test_of_two_equally_likely_labels_the_earlier_is_said() -> None:
    assert Answer.of_labels({"z": -0.7, "a": -0.7}, 0, 0, 1).text == "z"


def test_a_generation_is_decoded_as_the_teacher_params_say() -> None:
    teacher = TeacherParams(temperature=0.7, top_p=0.9)
    request = Request.generation("Be brief.", "Why?", teacher, 32, seed=7, schema={"type": "object", "enum": []})
    assert request == Request("Be brief.", "Why?", 32, 0.7, 0.9, 7, schema='{"enum":[],"type":"object"}')
    assert Request.generation("Be brief.", "Why?", teacher, 32, seed=7).schema == ""
