"""Which label is meant: labels are users' own, and nothing is decided on next to nothing."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.label_reading import chosen_label, first_token_candidates, first_token_likelihood

ODD = ("5*", "4*", "n.a.", 'it is "meh"', "A/B", "*", "(mixed)", "“so”", "Very  Good", "caf\u00e9", "C++", "-1")


@pytest.mark.parametrize("label", ODD)
@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "{}.",
        " {}\n",
        '"{}"',
        "**{}**",
        "`{}`",
        "“{}”",
        "“{}.”",
        "<think>Is it 4*? n.a.?</think>\n{}",
        "Not n.a.\n</think>{}",
    ],
)
def test_every_label_can_be_said_as_it_is(label: str, written: str) -> None:
    assert chosen_label(written.format(label), ODD) == label


@pytest.mark.parametrize("label", ODD)
@pytest.mark.parametrize(
    "around", ["JSON", "```json\nJSON\n```", "Answer [1]: JSON", "<think>[hm] {}</think>JSON", "  JSON\n"]
)
def test_every_label_can_be_said_in_json(label: str, around: str) -> None:
    for said in (label, label.upper(), f'"{label}"'):
        assert chosen_label(around.replace("JSON", json.dumps({"answer": said})), ODD) == label


@pytest.mark.parametrize("label", ODD)
def test_a_label_cut_before_its_closing_brace_is_whole(label: str) -> None:
    assert chosen_label(json.dumps({"answer": label})[:-1] + "  \n", ODD) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("1", None),
        ("**1", None),
        ("<think>One of ten.</think>\n1", None),
        ("10", "10"),
        ("very good", None),
        ("Very good", None),
        ("very good indeed", "very good indeed"),
        ('"1"', "1"),
        ("**1**", "1"),
        ('{"answer": "1"', "1"),
        ('{"answer": "very good"  \n', "very good"),
        ("2", "2"),
    ],
)
def test_what_was_cut_is_no_label_that_a_longer_one_begins_with(text: str, label: str | None) -> None:
    """Thoughts may take the room that an answer was given."""
    labels = ("1", "2", "10", "very good", "very good indeed")
    if label is None:
        assert chosen_label(text, labels) in labels
        with pytest.raises(RequestFailed, match="was cut, and a longer label may be meant"):
            chosen_label(text, labels, cut=True)
    else:
        assert chosen_label(text, labels, cut=True) == label


@pytest.mark.parametrize(
    ("text", "labels", "label"),
    [
        ("5", ("5", "5*"), "5"),
        ("5*", ("5", "5*"), "5*"),
        ("**5**", ("5", "5*"), "5"),
        ("5", ("5*", "4*"), "5*"),
        ("5", ("5*", "5**"), None),
        ("n.a", ("n.a.", "yes"), "n.a."),
        ("N.A.", ("n.a.", "yes"), "n.a."),
        ("very good", ("Very  Good", "bad"), "Very  Good"),
        ("cafe\u0301", ("caf\u00e9", "bar"), "caf\u00e9"),
        ("...", ("*", "good"), None),
        ("", ("*", "good"), None),
        ("GOOD", ("Good", "good"), None),
        ("good", ("Good", "good"), "good"),
        ('{"answer": 5}', ("5", "4"), "5"),
        ('{"answer": "5"} or {"answer": "4"}', ("5", "4"), None),
        ('{"answer": 0.5}', ("0.5", "1"), "0.5"),
        ("1.50", ("1.50", "2.00"), "1.50"),
        ("1e5", ("1e5", "2e5"), "1e5"),
        ("-0", ("-0", "+0"), "-0"),
        ('"5"', ("5", '"5"'), '"5"'),
        ("<think>", ("<think>", "x"), "<think>"),
        ("<think>good</think>", ("good", "bad"), None),
        ("<think>good", ("good", "bad"), None),
    ],
)
def test_a_label_is_taken_only_where_one_is_meant(text: str, labels: tuple[str, ...], label: str | None) -> None:
    if label is None:
        with pytest.raises(RequestFailed, match="none of the labels"):
            chosen_label(text, labels)
    else:
        assert chosen_label(text, labels) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('{"answer": "positive", "confidence": 0.9}', "positive"),
        ('{"label": "Positive."}', "positive"),
        ('{"sentiment": "negative", "reason": "it is not positive at all"}', "negative"),
        ('```json\n{"label": "positive", "why": "not negative"}\n```', "positive"),
        ('<think>negative?</think>{"label": "positive"}', "positive"),
        ('Here it is: {"label": "positive"}. Positive, as I said.', "positive"),
        ('{"label": "positive", "label": "positive"}', "positive"),
        ('{"label": "positive", "label": "negative"}', None),
        ('{"text": "positive", "label": "negative"}', None),
        ('{"label": "positive", "sentiment": "positive"}', None),
        ('{"answer": "unsure", "label": "positive"}', None),
        ('{"answer": ["positive"], "label": "positive"}', None),
        ('{"label": ["positive"]}', None),
        ('{"answer": {"label": "positive"}}', None),
        ('{"positive": 0.9, "negative": 0.1}', None),
        ('{"confidence": 0.9}', None),
        ('The word {"text": "positive"} is negative.', None),
        ('{"label": "positive"} or {"label": "negative"}', None),
        ('{"label": "positive"', None),
    ],
)
def test_a_label_under_another_key_is_taken_only_where_one_is_meant(text: str, label: str | None) -> None:
    if label is None:
        with pytest.raises(RequestFailed, match=r"none of the labels|2 texts that are labels"):
            chosen_label(text, ("positive", "negative"))
    else:
        assert chosen_label(text, ("positive", "negative")) == label


def test_numbers_of_an_object_are_not_taken_for_labels() -> None:
    with pytest.raises(RequestFailed):
        chosen_label('{"rating": 5, "confidence": 1}', ("1", "5"))
    assert chosen_label('{"rating": "5", "confidence": 1}', ("1", "5")) == "5"


@given(st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=5, unique_by=lambda s: s.strip()))
def test_whatever_the_labels_each_is_read_as_itself(labels: list[str]) -> None:
    labels = [label for label in labels if label.strip()]
    for label in labels:
        assert chosen_label(json.dumps({"answer": label}), labels) == label


# ---------------------------------------------------------------- first tokens


def weighed(labels: tuple[str, ...], **tokens: float) -> dict[str, float] | None:
    got = first_token_likelihood(labels, {token: math.log(p) for token, p in tokens.items()})
    return got and {label: math.exp(value) for label, value in got.items()}


TWO = ("positive", "negative")


@pytest.mark.parametrize(
    "tokens",
    [
        {"Positive": 0.98, "negative": 0.0009, "positive": 0.0001},
        {"The": 0.95, "negative": 0.03, "positive": 0.01},
        {"Positive": 0.5, "negative": 0.3, "positive": 0.1},
        {" positive": 0.5, "negative": 0.3, "positive": 0.1},
        {"\u0120positive": 0.5, "negative": 0.3, "positive": 0.1},
        {"**Positive": 0.5, "negative": 0.3, "positive": 0.1},
        {"Pos": 0.5, "negative": 0.3, "positive": 0.1},
    ],
    ids=str,
)
def test_no_label_is_decided_on_what_is_left_over(tokens: dict[str, float]) -> None:
    assert weighed(TWO, **tokens) is None


@pytest.mark.parametrize(
    ("tokens", "negative"),
    [
        ({"negative": 0.6, "positive": 0.4}, 0.6),
        ({"negative": 0.06, "positive": 0.06, "The": 0.8}, 0.5),
        ({"negative": 0.5, "positive": 0.3, "Positive": 0.1}, 0.625),
        ({"negative": 0.4, "positive": 0.1, "Negative": 0.5}, 0.8),
        ({"neg": 0.4, "negative": 0.1, "positive": 0.5}, 0.5),
    ],
    ids=str,
)
def test_likelihoods_that_rest_on_enough_are_those_of_the_labels_tokens(
    tokens: dict[str, float], negative: float
) -> None:
    got = weighed(TWO, **tokens)
    assert got is not None
    assert got["negative"] == pytest.approx(negative)


def choice(tokens: list[tuple[Any, Any]], **message: Any) -> dict[str, Any]:
    entries = [{"token": token, "logprob": p} for token, p in tokens]
    first = {"token": tokens[0][0] if tokens else "", "top_logprobs": entries}
    return {"message": {"content": None, **message}, "logprobs": {"content": [first]}}


def test_tokens_that_read_alike_are_added_up_and_one_named_twice_is_not() -> None:
    got = first_token_candidates(choice([("a", math.log(0.3)), ("a", math.log(0.2)), ("b", -1.5), ("b", -1.5)]))
    assert {token: math.exp(p) for token, p in got.items()} == pytest.approx({"a": 0.5, "b": math.exp(-1.5)})


@pytest.mark.parametrize(
    "reply",
    [
        choice([]),
        choice([("positive", 25.3), ("negative", 11.0)]),
        choice([("positive", 1e6)]),
        choice([("positive", -(10**400))]),
        choice([("positive", -0.01), ("negative", -0.02)]),
        choice([("positive", float("nan")), ("negative", None), (3, -1.0)]),
        choice([("Okay", -0.1), ("positive", -2.5)], reasoning_content="Okay"),
        choice([("Okay", -0.1), ("positive", -2.5)], reasoning="Okay"),
        choice([("<think>", -0.1), ("positive", -2.5)]),
        choice([("positive", -0.1)], content="<think>"),
        choice([("positive", -0.1)], content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
        {"logprobs": {"content": [{"top_logprobs": "x"}]}},
        {"logprobs": {"content": {}}},
    ],
    ids=str,
)
def test_what_are_no_log_probabilities_of_an_answer_are_none(reply: dict[str, Any]) -> None:
    assert first_token_candidates(reply) == {}
