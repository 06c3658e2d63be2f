"""The engine for OpenAI-compatible servers, against a real HTTP server that can misbehave."""

import json
import math
import re
import socket
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.openai_engine import OpenAIEngine, chosen_label, first_token_likelihood
from compeffdist.teacher.requests import Answer, Request
from tests.teacher.server import Body, Reply, chat_reply, echo, serving


@pytest.fixture(autouse=True)
def _fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.delenv("COMPEFFDIST_API_KEY", raising=False)


def question(prompt: str, **changes: Any) -> Request:
    return Request(
        **{"system": "s", "prompt": prompt, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 4} | changes
    )


def ask(url: str, requests: Sequence[Request], **runtime: Any) -> tuple[dict[int, Answer], dict[int, str]]:
    """Answers and failures by index; each index is reported once."""
    answers: dict[int, Answer] = {}
    failures: dict[int, str] = {}
    reported: list[int] = []

    def on_answer(index: int, answer: Answer) -> None:
        reported.append(index)
        answers[index] = answer

    def on_failure(index: int, reason: str) -> None:
        reported.append(index)
        failures[index] = reason

    settings = RuntimeParams(**{"openai_base_url": url, "retries": 2, "request_timeout_seconds": 10.0} | runtime)
    OpenAIEngine(SimpleNamespace(served_name="some-model@here"), TeacherParams(), settings, None).answer(
        requests, on_answer, on_failure
    )
    assert sorted(reported) == list(range(len(requests)))
    return answers, failures


def test_answers_carry_text_and_token_counts() -> None:
    with serving() as server:
        answers, failures = ask(server.url, [question("one"), question("two")])
    assert failures == {}
    assert answers[1] == Answer("echo: two", None, 7, 2, 3, "stop")
    assert answers[0].text == "echo: one"


def test_the_request_reaches_the_server_whole() -> None:
    with serving() as server:
        ask(server.url, [question("one", schema='{"type":"object"}')])
    (body,) = server.bodies
    assert body["model"] == "some-model"
    assert body["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "one"}]
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["seed"]) == (9, 0.5, 0.9, 4)
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_concurrency_is_used_and_bounded() -> None:
    with serving(lambda body, n: Reply(chat_reply("x"), delay=0.05)) as server:
        ask(server.url, [question(str(n)) for n in range(24)], concurrency=4)
    assert 2 <= server.peak <= 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_fault_is_retried(status: int) -> None:
    def respond(body: Body, earlier: int) -> Reply:
        return Reply({"error": "busy"}, status=status) if earlier < 2 else echo(body, earlier)

    with serving(respond) as server:
        answers, _ = ask(server.url, [question("one")])
    assert answers[0].text == "echo: one"
    assert len(server.bodies) == 3


def test_a_lasting_fault_of_one_request_fails_that_request_only() -> None:
    def respond(body: Body, earlier: int) -> Reply:
        bad = body["messages"][-1]["content"] == "bad"
        return Reply({"error": "no"}, status=500) if bad else echo(body, earlier)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("bad"), question("good")])
    assert answers.keys() == {1}
    assert "500" in failures[0]


def test_a_request_the_server_refuses_is_not_retried() -> None:
    with serving(lambda body, n: Reply({"error": {"message": "too long"}}, status=400)) as server:
        _, failures = ask(server.url, [question("one")])
    assert "too long" in failures[0]
    assert len(server.bodies) == 1


def test_a_server_that_hangs_fails_the_request_after_its_retries() -> None:
    def respond(body: Body, earlier: int) -> Reply:
        return Reply(chat_reply("late"), delay=1.5 if body["messages"][-1]["content"] == "slow" else 0)

    with serving(respond) as server:
        answers, failures = ask(
            server.url, [question("slow"), question("quick")], request_timeout_seconds=0.3, retries=1
        )
    assert answers.keys() == {1}
    assert "no answer within 0.3 s" in failures[0]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=b"<html>oops"),
        Reply(raw=b""),
        Reply([1, 2]),
        Reply({}),
        Reply({"choices": []}),
        Reply({"choices": ["x"]}),
        Reply({"choices": [{}]}),
        Reply({"choices": [{"message": "x"}]}),
        Reply(chat_reply(None)),
    ],
    ids=str,
)
def test_garbage_is_a_failure_with_a_reason(reply: Reply) -> None:
    with serving(lambda body, n: reply) as server:
        answers, failures = ask(server.url, [question("one")])
    assert answers == {}
    assert failures[0]


def test_missing_token_counts_are_zero() -> None:
    with serving(lambda body, n: Reply({"choices": chat_reply("x")["choices"]})) as server:
        answers, _ = ask(server.url, [question("one")])
    assert (answers[0].prompt_tokens, answers[0].completion_tokens) == (0, 0)


def test_a_server_that_answers_nothing_is_given_up_early() -> None:
    with (
        serving(lambda body, n: Reply({"error": "down"}, status=503)) as server,
        pytest.raises(UserError, match=r"16 requests in a row failed.*503"),
    ):
        ask(server.url, [question(str(n)) for n in range(200)], retries=0, concurrency=4)
    assert len(server.bodies) < 30


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_wrong_key_or_model_stops_at_once_without_naming_secrets(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPEFFDIST_API_KEY", "sk-very-secret")

    def respond(body: Body, earlier: int) -> Reply:
        return Reply({"error": {"message": "bad key sk-very-secret or no such model"}}, status=status)

    with serving(respond) as server:
        url = server.url.replace("//", "//user:pass-word@")
        shown = re.escape(server.url.replace("//", "//***@"))
        with pytest.raises(UserError, match=rf"^{shown}.*{status}") as caught:
            ask(url, [question(str(n)) for n in range(50)], concurrency=2)
    assert "sk-very-secret" not in str(caught.value)
    assert "pass-word" not in str(caught.value)
    assert len(server.bodies) <= 2


def test_the_key_goes_to_the_server_and_nothing_else_of_the_environment_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COMPEFFDIST_API_KEY", "sk-ours")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    with serving() as server:
        ask(server.url, [question("one")])
    assert server.keys == {"Bearer sk-ours"}


def test_a_key_refused_at_the_door_costs_no_request() -> None:
    with serving() as server:
        server.models_status = 401
        with pytest.raises(UserError, match="401"):
            ask(server.url, [question("one")])
    assert server.bodies == []


def test_a_server_without_a_list_of_models_is_used_all_the_same() -> None:
    with serving() as server:
        server.models_status = 404
        answers, _ = ask(server.url, [question("one")])
    assert answers[0].text == "echo: one"


def test_no_server_is_one_clear_line() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with pytest.raises(UserError, match=rf"{url}: cannot reach the teacher's server; check runtime.openai_base_url"):
        ask(url, [question("one")])


# ---------------------------------------------------------------- labels


def top_tokens(tokens: dict[str, float]) -> Reply:
    entries = [{"token": token, "logprob": math.log(p)} for token, p in tokens.items()]
    return Reply(chat_reply("x", logprobs={"content": [{"token": "x", "top_logprobs": entries}]}))


LABELS = Request.likelihood("s", "which?", ("negative", "neutral", "positive"))


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


def chooser(label: str, tokens: dict[str, float] | None, refuses: Sequence[str] = ()) -> Callable[[Body, int], Reply]:
    """A server that answers with `label`, has these first tokens (None: no log-probabilities) and refuses fields."""

    def respond(body: Body, _: int) -> Reply:
        if refused := [name for name in refuses if name in body]:
            return Reply({"error": {"message": f"{refused[0]} is not supported"}}, status=400)
        if "logprobs" in body:
            return top_tokens(tokens) if tokens else Reply(chat_reply("x"))
        return Reply(chat_reply(f'{{"answer": "{label}"}}' if "response_format" in body else f"{label}."))

    return respond


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


# ---------------------------------------------------------------- how an answer ended


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        *((good, "stop") for good in ("stop", "STOP", "eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE")),
        *((cut, "length") for cut in ("length", "max_tokens", "MAX_TOKENS", "model_length")),
    ],
)
def test_an_answer_that_ended_in_order_is_kept_whatever_the_server_calls_it(said: str, kept: str) -> None:
    with serving(lambda body, n: Reply(chat_reply("fine", finish_reason=said))) as server:
        answers, failures = ask(server.url, [question("x")])
    assert failures == {}
    assert (answers[0].text, answers[0].finish_reason) == ("fine", kept)


BAD_ENDS = ["content_filter", "abort", "error", "tool_calls", "function_call", "insufficient_system_resource", "xyz"]


@pytest.mark.parametrize("finish", BAD_ENDS)
def test_an_answer_that_ended_otherwise_has_its_end_as_the_reason(finish: str) -> None:
    with serving(lambda body, n: Reply(chat_reply('{"answer": "neutral"}', finish_reason=finish))) as server:
        answers, failures = ask(server.url, [question("x"), question("y", schema='{"type":"object"}'), LABELS])
    assert answers == {}
    assert set(failures.values()) == {f"server's answer is not whole: it ended by {finish!r}"}


@pytest.mark.parametrize("finish", [None, ""])
def test_an_answer_that_does_not_say_how_it_ended_is_not_taken_for_whole(finish: str | None) -> None:
    with serving(lambda body, n: Reply(chat_reply("fine", finish_reason=finish))) as server:
        answers, failures = ask(server.url, [question("x")])
    assert answers == {}
    assert "does not say how it ended" in failures[0]


def test_log_probabilities_of_a_filtered_answer_weigh_nothing() -> None:
    def respond(body: Body, n: int) -> Reply:
        reply = top_tokens({"negative": 0.5, "neutral": 0.1, "positive": 0.4})
        reply.value["choices"][0]["finish_reason"] = "content_filter"
        return reply

    with serving(respond) as server:
        answers, failures = ask(server.url, [LABELS])
    assert answers == {}
    assert "content_filter" in failures[0]


def test_what_the_server_says_of_a_fault_is_told() -> None:
    fault = {"finish_reason": "error", "error": {"code": 502, "message": "provider\nis down"}}
    refusal = chat_reply(None) | {"choices": [{"message": {"content": None, "refusal": "I cannot."}}]}

    def respond(body: Body, n: int) -> Reply:
        return Reply(refusal if body["messages"][-1]["content"] == "x" else chat_reply("half an ans", **fault))

    with serving(respond) as server:
        _, failures = ask(server.url, [question("x"), question("y")])
    assert failures[0] == "the teacher refuses to answer: I cannot."
    assert failures[1] == "server's answer is not whole: it ended by 'error': provider is down"


# ---------------------------------------------------------------- labels of users' own, and what decides


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


# ---------------------------------------------------------------- teachers that think first


def thinker(form: str, thinking_tokens: int) -> Callable[[Body, int], Reply]:
    """A server whose model thinks for so many tokens before it answers, and how it writes that."""

    def respond(body: Body, n: int) -> Reply:
        wanted = '{"answer": "positive"}' if "enum" in json.dumps(body) else "fine"
        whole = body["max_tokens"] > thinking_tokens
        thoughts, said = "Is it [negative]? No.", wanted if whole else None
        message: dict[str, Any] = {"content": said}
        if form in ("reasoning_content", "reasoning"):
            message[form] = thoughts
        elif form == "parts":
            parts = [{"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]}]
            message["content"] = [*parts, *([{"type": "text", "text": said}] if said else [])]
        elif form == "hidden":
            message["content"] = said or ""
        else:
            message["content"] = f"<think>{thoughts}" + (f"</think>\n\n{said}" if said else "")
        first = [{"token": "Is", "logprob": -0.1}, {"token": "negative", "logprob": -3.0}]
        weighed = {"logprobs": {"content": [{"token": "Is", "top_logprobs": first}]}} if "logprobs" in body else {}
        reply = chat_reply(None, finish_reason="stop" if whole else "length", **weighed)
        reply["choices"][0]["message"] = message
        return Reply(reply)

    return respond


FORMS = ["reasoning_content", "reasoning", "parts", "block", "hidden"]


@pytest.mark.parametrize("form", FORMS)
def test_a_teacher_that_thinks_first_is_given_room_and_its_answer_is_read(form: str) -> None:
    with serving(thinker(form, 500)) as server:
        answers, failures = ask(server.url, [question("x"), LABELS, question("y")], concurrency=1)
    assert failures == {}
    assert [(answers[n].text, answers[n].finish_reason, answers[n].decided) for n in range(3)] == [
        ("fine", "stop", ""),
        ("positive", "", "chosen"),
        ("fine", "stop", ""),
    ]
    # whatever was asked is paid for, and counted
    assert sum(answer.completion_tokens for answer in answers.values()) == 3 * len(server.bodies)
    # room is found once
    assert sum(body["max_tokens"] == 9 for body in server.bodies) == 1


@pytest.mark.parametrize("form", FORMS)
def test_thoughts_without_end_are_no_answer(form: str) -> None:
    with serving(thinker(form, 10**6)) as server:
        answers, failures = ask(server.url, [question("x"), LABELS], concurrency=1)
    assert answers == {}
    assert set(failures.values()) == {"server's answer was cut before it began: max_tokens went into thoughts"}


@pytest.mark.parametrize(
    ("context", "rooms"), [(2100, [0, 4096, 2048, 2048]), (600, [0, 4096, 2048, 1024, 512, 512]), (400, [])]
)
def test_thoughts_are_given_the_room_that_a_short_context_has(context: int, rooms: list[int]) -> None:
    think = thinker("reasoning_content", 500)

    def respond(body: Body, n: int) -> Reply:
        if body["max_tokens"] > context:
            said = f"This model's maximum context length is {context} tokens. However, you requested more."
            return Reply({"error": {"message": said, "code": 400}}, status=400)
        return think(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("x"), question("y")], concurrency=1)
    if rooms:
        assert [answers[n].text for n in range(2)] == ["fine", "fine"]
        assert [body["max_tokens"] - 9 for body in server.bodies] == rooms  # what fits is asked for from then on
    else:
        assert answers == {}
        assert "before it began" in failures[0]


def test_a_label_cut_behind_long_thoughts_is_not_taken_for_a_shorter_one() -> None:
    scale = Request.likelihood("s", "how much?", tuple(str(number) for number in range(1, 11)))

    def respond(path: str, body: dict[str, Any]) -> Reply:
        return Reply(chat_reply(f"<think>{'hm ' * 99}</think>1", finish_reason="length"))

    with serving(respond) as server:
        answers, failures = ask(server.url, [scale])
    assert answers == {}
    assert "was cut, and a longer label may be meant" in failures[0]


def test_thoughts_are_not_weighed_and_a_label_among_them_decides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def respond(body: Body, n: int) -> Reply:
        if "logprobs" not in body:
            return Reply(chat_reply("<think>negative?</think>positive"))
        reply = top_tokens({"negative": 0.6, "neutral": 0.2, "positive": 0.1})
        reply.value["choices"][0]["message"] = {"content": None, "reasoning_content": "negative"}
        return reply

    with serving(respond) as server:
        answers, _ = ask(server.url, [LABELS, Request.likelihood("s", "and?", LABELS.labels)], concurrency=1)
    assert [(answers[n].text, answers[n].kind) for n in range(2)] == [("positive", "chosen")] * 2
    assert sum("logprobs" in body for body in server.bodies) == 1
    assert "labels are chosen, not weighed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": None, "reasoning_content": "So it is positive."}, "thoughts only"),
        ({"content": "", "reasoning": "positive"}, "thoughts only"),
        ({"content": "<think>positive</think>"}, "thoughts only"),
        ({"content": [{"type": "thinking", "thinking": "positive"}]}, "thoughts only"),
        ({"content": None}, "holds no text"),
        ({"content": {"text": "positive"}}, "holds no text"),
        ({"content": [{"type": "image_url", "image_url": {}}]}, "holds no text"),
    ],
    ids=str,
)
def test_thoughts_are_never_taken_for_the_answer(message: dict[str, Any], reason: str) -> None:
    def respond(body: Body, n: int) -> Reply:
        return Reply(chat_reply(None) | {"choices": [{"message": message, "finish_reason": "stop"}]})

    with serving(respond) as server:
        answers, failures = ask(server.url, [LABELS])
    assert answers == {}
    assert reason in failures[0]


def test_json_that_a_server_put_where_thoughts_go_is_the_answer_it_was_held_to() -> None:
    def respond(body: Body, n: int) -> Reply:
        message = {"content": None, "reasoning_content": '{"answer": "positive"}'}
        return Reply(chat_reply(None) | {"choices": [{"message": message, "finish_reason": "stop"}]})

    with serving(respond) as server:
        answers, failures = ask(server.url, [LABELS, question("free text")])
    assert answers[0].text == "positive"
    assert "thoughts only" in failures[1]


@pytest.mark.parametrize(
    "content",
    [
        ["fi", "ne"],
        [{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}],
        [{"type": "output_text", "text": "fine"}, {"type": "image"}],
        [{"type": "reasoning", "text": "hm"}, {"text": "fine"}],
    ],
)
def test_a_list_of_content_parts_is_their_text(content: list[Any]) -> None:
    with serving(lambda body, n: Reply(chat_reply(content))) as server:  # type: ignore[arg-type]
        answers, _ = ask(server.url, [question("x")])
    assert answers[0].text == "fine"
