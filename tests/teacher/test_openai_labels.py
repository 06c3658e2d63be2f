"""Labels asked of a server that weighs them, chooses one, or does neither as it should."""

import json
import math
from typing import Any

import pytest

from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.openai_engine import chosen_label, first_token_likelihood
from compeffdist.teacher.requests import Answer, Request
from tests.teacher.openai_asking import LABELS, ask, chooser, fast_and_bare, question, top_tokens
from tests.teacher.server import Body, Reply, chat_reply, serving

__all__ = ["fast_and_bare"]


def test_label_likelihoods_are_renormalised_over_the_labels() -> None:
    tokens = {"negative": 0.3, "neutral": 0.06, "pos": 0.2, "positive": 0.04, "The": 0.4}
    with serving(lambda body, n: top_tokens(tokens)) as server:
        answers, _ = ask(server.url, [LABELS])
    (body,) = server.bodies
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    got = answers[0].label_logprobs
    assert got is not None
    expected = {"negative": 0.5, "neutral": 0.1, "positive": 0.4}
    assert {label: math.exp(value) for label, value in got.items()} == pytest.approx(expected)
    assert (answers[0].text, answers[0].kind) == ("negative", "first_tokens")


SCALE = Request.likelihood("s", "how much?", tuple(str(n) for n in range(1, 11)))


@pytest.mark.parametrize(
    ("request_", "tokens"),
    [
        pytest.param(LABELS, {"negative": 0.5, "positive": 0.4}, id="a label is not among the likeliest tokens"),
        pytest.param(LABELS, {"ne": 0.5, "negative": 0.1, "neutral": 0.1, "positive": 0.1}, id="a token is shared"),
        pytest.param(SCALE, {str(n): 0.1 for n in range(1, 10)}, id="a label begins another"),
    ],
)
def test_labels_that_first_tokens_cannot_tell_apart_are_chosen(request_: Request, tokens: dict[str, float]) -> None:
    chosen = request_.labels[-1]
    with serving(chooser(chosen, tokens)) as server:
        answers, _ = ask(server.url, [request_])
    # nothing made up for the labels that were not chosen, and both requests are counted
    assert answers[0] == Answer.of_choice(chosen, 14, 4, 6)
    held = server.bodies[1]["response_format"]["json_schema"]["schema"]["properties"]["answer"]
    assert held == {"type": "string", "enum": list(request_.labels)}
    assert server.bodies[1]["temperature"] == 0.0


def test_a_server_without_log_probabilities_is_asked_for_them_once(capsys: pytest.CaptureFixture[str]) -> None:
    requests = [Request.likelihood("s", str(n), LABELS.labels) for n in range(5)]
    with serving(chooser("neutral", None)) as server:
        answers, failures = ask(server.url, requests, concurrency=1)
    assert failures == {}
    assert {answer.text for answer in answers.values()} == {"neutral"}
    assert {answer.kind for answer in answers.values()} == {"chosen"}
    assert sum("logprobs" in body for body in server.bodies) == 1
    assert capsys.readouterr().err.count("gives no log-probabilities") == 1


@pytest.mark.parametrize("refuses", [["logprobs"], ["logprobs", "response_format"]], ids=str)
def test_a_server_that_refuses_what_weighing_needs_is_asked_plainly(refuses: list[str]) -> None:
    requests = [Request.likelihood("s", str(n), LABELS.labels) for n in range(3)]
    with serving(chooser("positive", None, refuses)) as server:
        answers, failures = ask(server.url, requests, concurrency=1)
    assert failures == {}
    assert [answers[n].text for n in range(3)] == ["positive"] * 3
    assert len(server.bodies) == 3 + len(refuses)


def test_a_server_that_refuses_a_single_question_is_not_taken_for_one_that_cannot_weigh() -> None:
    tokens = {"negative": 0.3, "neutral": 0.2, "positive": 0.4}

    def respond(body: Body, n: int) -> Reply:
        too_long = body["messages"][-1]["content"] == "long"
        return Reply({"error": {"message": "too long"}}, status=400) if too_long else top_tokens(tokens)

    with serving(respond) as server:
        answers, failures = ask(
            server.url, [Request.likelihood("s", p, LABELS.labels) for p in ("long", "short")], concurrency=1
        )
    assert "too long" in failures[0]
    assert answers[1].kind == "first_tokens"


def test_a_schema_the_server_refuses_is_tried_once_and_others_still(capsys: pytest.CaptureFixture[str]) -> None:
    def respond(body: Body, n: int) -> Reply:
        if "maxItems" in str(body.get("response_format")):
            return Reply({"error": {"message": "maxItems is not supported"}}, status=400)
        return Reply(chat_reply('{"answer": ["a"]}' if "response_format" in body else '["a"]'))

    bounded, free = '{"maxItems":3,"type":"array"}', '{"type":"array"}'
    with serving(respond) as server:
        answers, failures = ask(
            server.url, [question(str(n), schema=s) for n, s in enumerate((bounded, bounded, free))], concurrency=1
        )
    assert failures == {}
    assert [answers[n].text for n in range(3)] == ['["a"]'] * 3
    assert ["response_format" in body for body in server.bodies] == [True, False, False, True]
    assert capsys.readouterr().err.count("refuses a JSON schema") == 1


def test_an_answer_that_is_no_label_fails_and_is_not_bent_into_one() -> None:
    with serving(chooser("rather good", None)) as server:
        answers, failures = ask(server.url, [LABELS])
    assert answers == {}
    assert "none of the labels" in failures[0]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('{"answer": "neutral"}', "neutral"),
        ("Neutral.", "neutral"),
        ("**neutral**", "neutral"),
        ('"neutral"\n', "neutral"),
        ('{ "answer" : "neutral"\n   \n', "neutral"),
        ('{"answer": "neut', None),
        ("10", None),
        ("It is neutral", None),
        ('{"answer": ["neutral"]}', None),
        ("", None),
    ],
)
def test_a_chosen_label_is_read_strictly(text: str, label: str | None) -> None:
    if label:
        assert chosen_label(text, LABELS.labels) == label
    else:
        with pytest.raises(RequestFailed):
            chosen_label(text, LABELS.labels)


def test_a_shared_token_of_no_weight_does_not_matter() -> None:
    got = first_token_likelihood(("negative", "neutral"), {"n": -12.0, "negative": -0.7, "neutral": -0.8})
    assert got is not None
    assert math.fsum(map(math.exp, got.values())) == pytest.approx(1.0)


@pytest.mark.parametrize("logprobs", [None, {}, {"content": []}, {"content": [{"top_logprobs": []}]}], ids=str)
def test_log_probabilities_that_are_empty_are_none(logprobs: Any) -> None:
    with serving(lambda body, n: Reply(chat_reply("negative", logprobs=logprobs))) as server:
        answers, _ = ask(server.url, [LABELS])
    assert (answers[0].kind, answers[0].text) == ("chosen", "negative")


def test_a_schema_without_an_object_at_its_root_is_wrapped_and_unwrapped() -> None:
    with serving(lambda body, n: Reply(chat_reply('{"answer": ["caf\u00e9"]}'))) as server:
        answers, _ = ask(server.url, [question("x", schema='{"items":{"type":"string"},"type":"array"}')])
    (body,) = server.bodies
    schema = body["response_format"]["json_schema"]["schema"]
    assert (schema["type"], schema["properties"]["answer"]["type"]) == ("object", "array")
    assert answers[0].text == '["café"]'


@pytest.mark.parametrize(
    ("content", "kept"),
    [("half \ud83d of it", None), ('{"answer": ["half \\ud83d"]}', '{"answer": ["half \\ud83d"]}')],
)
def test_half_a_character_is_no_crash(content: str, kept: str | None) -> None:
    with serving(lambda body, n: Reply(chat_reply(content))) as server:
        answers, failures = ask(server.url, [question("x", schema='{"items":{"type":"string"},"type":"array"}')])
    if kept is None:
        assert failures == {0: "server's answer holds half a character"}
    else:
        assert answers[0].text == kept  # as the server wrote it: whoever parses it refuses it


def test_a_label_is_not_decided_by_what_the_likeliest_answer_leaves_over() -> None:
    tokens = {"Positive": 0.98, "negative": 0.0009, "positive": 0.0001, "neutral": 0.00005}
    with serving(chooser("Positive", tokens)) as server:
        answers, failures = ask(server.url, [LABELS])
    assert failures == {}
    assert (answers[0].text, answers[0].kind, answers[0].label_logprobs) == ("positive", "chosen", None)


def test_where_nothing_fitting_is_said_the_request_fails_with_a_reason() -> None:
    tokens = {"I": 0.98, "negative": 0.0009, "positive": 0.0001, "neutral": 0.00005}
    with serving(chooser("I cannot tell", tokens)) as server:
        answers, failures = ask(server.url, [LABELS])
    assert answers == {}
    assert "none of the labels" in failures[0]


@pytest.mark.parametrize("label", ["5*", "n.a.", 'it is "meh"'])
@pytest.mark.parametrize("held", [True, False])
def test_labels_with_punctuation_of_their_own_can_be_chosen(label: str, held: bool) -> None:
    def respond(body: Body, n: int) -> Reply:
        if "response_format" in body and not held:
            return Reply({"error": {"message": "response_format"}}, status=400)
        return Reply(chat_reply(json.dumps({"answer": label}) if held else f"{label}."))

    with serving(respond) as server:
        answers, failures = ask(server.url, [Request.likelihood("s", "which?", ("5*", "n.a.", 'it is "meh"'))])
    assert failures == {}
    assert answers[0].text == label


@pytest.mark.parametrize(
    "content",
    [
        '```json\n{"answer": ["a"]}\n```',
        'Here [it] is: {"answer": ["a"]}',
        '```\n["a"]\n```',
        '<think>["b"]?</think>{"answer": ["a"]}',
    ],
)
def test_json_is_kept_without_what_stands_around_it(content: str) -> None:
    with serving(lambda body, n: Reply(chat_reply(content))) as server:
        answers, _ = ask(server.url, [question("x", schema='{"items":{"type":"string"},"type":"array"}')])
    assert answers[0].text == '["a"]'
