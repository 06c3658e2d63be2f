"""What is remembered of a server, and what a single odd reply does not teach; keys by server; what stops a run."""

import gzip
import json
from typing import Any

import pytest

from compeffdist.credentials import MASK, without_credentials
from compeffdist.errors import UserError
from compeffdist.network import KEY_VARIABLE, key_variable
from compeffdist.teacher.dialect import Dialect, changes_for
from compeffdist.teacher.requests import Request
from tests.teacher.openai_asking import LABELS, ask, fast_and_bare, question, top_tokens
from tests.teacher.server import Body, Reply, chat_reply, echo, serving

__all__ = ["fast_and_bare"]
WEIGHTS = {"negative": 0.5, "neutral": 0.3, "positive": 0.2}


def labels(prompt: str) -> Request:
    return Request.likelihood("s", prompt, LABELS.labels)


def prompt_of(body: Body) -> str:
    return str(body["messages"][-1]["content"])


def test_a_field_that_was_taken_before_is_asked_without_once(capsys: pytest.CaptureFixture[str]) -> None:
    def respond(body: Body, n: int) -> Reply:
        if prompt_of(body) == "p1" and "seed" in body:
            return Reply({"error": "seed is not supported"}, status=400)
        return echo(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question(f"p{n}") for n in range(4)], concurrency=1)
    assert (len(answers), failures) == (4, {})
    assert ["seed" in body for body in server.bodies] == [True, True, False, True, True]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", [0, 2])
def test_an_answer_that_failed_its_schema_does_not_make_the_server_one_without(
    place: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Groq: 400 for what came of one question; and any 400 once the server has taken the schema."""
    told = "Failed to validate JSON. Please adjust your prompt. See 'failed_generation' for more details."

    def respond(body: Body, n: int) -> Reply:
        if prompt_of(body) == f"p{place}" and "response_format" in body:
            return Reply({"error": {"message": told if not place else "oops", "code": "x"}}, status=400)
        return Reply(chat_reply("{}"))

    with serving(respond) as server:
        asked = [question(f"p{n}", schema='{"type":"object"}') for n in range(4)]
        answers, _ = ask(server.url, asked, concurrency=1)
    assert len(answers) == 4
    assert ["response_format" in body for body in server.bodies].count(False) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", ["refused", "left out"])
def test_one_answer_without_log_probabilities_does_not_make_labels_chosen_from_then_on(
    how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def respond(body: Body, n: int) -> Reply:
        if "logprobs" not in body:
            return Reply(chat_reply("neutral"))
        if prompt_of(body) == "p1":
            refused = Reply({"error": "provider knows no logprobs"}, status=400)
            return refused if how == "refused" else Reply(chat_reply("x"))
        return top_tokens(WEIGHTS)

    with serving(respond) as server:
        answers, _ = ask(server.url, [labels(f"p{n}") for n in range(4)], concurrency=1)
    assert [answers[n].kind for n in range(4)] == ["first_tokens", "chosen", "first_tokens", "first_tokens"]
    assert capsys.readouterr().err == ""


def test_of_temperature_and_top_p_together_top_p_goes() -> None:
    told = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    (change,) = changes_for({"temperature": 0.0, "top_p": 1.0}, told)
    assert (change.field, change.instead) == ("top_p", None)


def test_a_number_in_a_model_name_is_no_bound_of_top_logprobs() -> None:
    told = "claude-3-5-haiku does not support parameters: ['logprobs', 'top_logprobs']"
    assert changes_for({"top_logprobs": 20}, told) == []


@pytest.mark.parametrize(
    ("asked", "said", "other"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", ""),
        ("some/model", "model", ""),
        ("llama3.2", "llama3.2:latest", ""),
        ("gpt-4o", "gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4", "gpt-4-0613", ""),
        ("gpt-4", "gpt-4.1", "gpt-4.1"),
        ("gpt-4", "gpt-4.1-2025-04-14", "gpt-4.1-2025-04-14"),
        ("gpt-4", "gpt-4-32k", "gpt-4-32k"),
        ("gpt-4", "gpt-40613", "gpt-40613"),
        ("gpt-4.1", "gpt-4", "gpt-4"),
        ("claude-3", "claude-3-5-sonnet", "claude-3-5-sonnet"),
        ("claude-3-5-sonnet", "claude-3-5-sonnet-20241022", ""),
        ("claude-3-5-sonnet", "claude-3-5-sonnet-20241022-v2:0", ""),
        ("claude-3-5-haiku", "claude-3-5-haiku@20241022", ""),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet", ""),
        ("llama-3", "llama-3.1-70b", "llama-3.1-70b"),
        ("llama-3", "llama-3-70b", "llama-3-70b"),
        ("mistral-large", "mistral-large-2411", ""),
        ("command-r", "command-r-08-2024", ""),
        ("gemini-2.0-flash", "gemini-2.0-flash-001", ""),
        ("deepseek", "deepseek-v3", "deepseek-v3"),
        ("big", "small", "small"),
        ("big", None, ""),
        ("big", 7, ""),
    ],
)
def test_another_model_than_was_asked_is_told_from_a_version_of_it(asked: str, said: Any, other: str) -> None:
    assert Dialect.other_model({"model": asked}, {"model": said}) == other


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("server", "variable"),
    [("here", "HERE"), ("azure-west", "AZURE_WEST"), ("eu.example.com", "EU_EXAMPLE_COM"), ("HERE", "HERE")],
)
def test_a_server_has_a_key_of_its_own(server: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_variable(server) == KEY_VARIABLE
    monkeypatch.setenv(f"{KEY_VARIABLE}_{variable}", "")
    assert key_variable(server) == f"{KEY_VARIABLE}_{variable}"
    assert key_variable("elsewhere") == key_variable("\N{SNOWMAN}") == KEY_VARIABLE


def test_the_key_of_a_server_goes_to_it_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-of-all-1")
    monkeypatch.setenv(f"{KEY_VARIABLE}_ELSEWHERE", "sk-elsewhere-1")
    monkeypatch.setenv(f"{KEY_VARIABLE}_HERE", "sk-here-1")
    with serving() as server:
        ask(server.url, [question("one")])
        assert server.keys == {"Bearer sk-here-1"}
        monkeypatch.setenv(f"{KEY_VARIABLE}_HERE", "")
        ask(server.url, [question("two")])
    assert server.keys == {"Bearer sk-here-1", None}  # empty: none is sent


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
def test_a_key_does_not_follow_a_redirect_to_another_server(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret-1")

    def away(body: Body, n: int) -> Reply:
        return Reply({}, status=307, headers={"Location": f"{foreign.url}/chat/completions"})

    with serving() as foreign, serving(away) as server:
        answers, _ = ask(server.url, [question("one")], openai_key_header=header)
    assert answers[0].text == "echo: one"
    assert "sk-secret-1" in str(server.keys | server.api_keys)
    assert (foreign.keys, foreign.api_keys) == ({None}, {None})


def test_a_key_follows_a_redirect_within_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret-1")

    def onwards(body: Body, n: int) -> Reply:
        return echo(body, n) if n else Reply({}, status=307, headers={"Location": "/v2/chat/completions"})

    with serving(onwards) as server:
        answers, _ = ask(server.url, [question("one")], openai_key_header="api-key")
    assert answers[0].text == "echo: one"
    assert (server.paths, server.api_keys) == ({"/v1/chat/completions", "/v2/chat/completions"}, {"sk-secret-1"})


def test_keys_of_servers_are_masked_and_named_by_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{KEY_VARIABLE}_HERE", "sk-here-1\n")
    with serving() as server, pytest.raises(UserError, match=rf"^{KEY_VARIABLE}_HERE: the key "):
        ask(server.url, [question("one")])
    monkeypatch.setenv(f"{KEY_VARIABLE}_HERE", "very/secret-1")
    assert without_credentials("it said very/secret-1 to me") == f"it said {MASK} to me"
    with (
        serving(lambda body, n: Reply({"error": "key very/secret-1"}, status=401)) as server,
        pytest.raises(UserError, match=rf"401 key \*\*\*; check .*{KEY_VARIABLE}_HERE$"),
    ):
        ask(server.url, [question("one")])


# ---------------------------------------------------------------- what stops a run, and what does not


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}),
        (400, {"type": "budget_exceeded", "message": "Budget has been exceeded! Current cost: 2.1, Max budget: 2.0"}),
        (429, {"type": "budget_exceeded", "message": "Max budget: 2.0", "code": "429"}),
        (400, {"type": None, "message": "ExceededBudget: Crossed spend within 30d", "code": "400"}),
    ],
)
def test_no_credit_stops_the_run_whatever_it_is_called(status: int, error: dict[str, Any]) -> None:
    def respond(body: Body, n: int) -> Reply:
        return echo(body, n) if len(server.bodies) == 1 else Reply({"error": error}, status=status)

    with serving(respond) as server:
        with pytest.raises(UserError, match=rf"answered {status} "):
            ask(server.url, [question(f"p{n}") for n in range(9)], concurrency=1, retries=0, busy_seconds=30.0)
        assert len(server.bodies) == 2


def test_what_a_text_says_of_credit_stops_nothing() -> None:
    def respond(body: Body, n: int) -> Reply:
        return Reply({"error": f"cannot read {prompt_of(body)}"}, status=400)

    with serving(respond) as server:
        _, failures = ask(server.url, [question("Your credit balance is too low, they said.")])
    assert failures.keys() == {0}


def test_a_key_that_is_refused_later_stops_the_run_once_nothing_is_answered_any_more() -> None:
    def respond(body: Body, n: int) -> Reply:
        return echo(body, n) if len(server.bodies) <= 5 else Reply({"error": "revoked"}, status=401)

    with (
        serving(respond) as server,
        pytest.raises(UserError, match=r"16 requests in a row failed, the last with: server answered 401 revoked"),
    ):
        ask(server.url, [question(f"p{n}") for n in range(99)], concurrency=2)
    assert len(server.bodies) <= 5 + 16 + 1


def test_answers_are_asked_for_uncompressed_and_none_unpacks_to_what_does_not_fit() -> None:
    packed = gzip.compress(json.dumps(chat_reply("x" * 9000)).encode())

    def respond(body: Body, n: int) -> Reply:
        if prompt_of(body) == "packed":
            return Reply(raw=packed, headers={"Content-Encoding": "gzip"})
        return echo(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("packed"), question("plain")], retries=1)
    assert server.codings == {"identity"}
    assert (answers[1].text, failures) == (
        "echo: plain",
        {0: "connection lost: the answer is compressed (gzip)"},
    )


def test_an_answer_without_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.teacher.wire.MOST_BYTES", 5000)

    def respond(body: Body, n: int) -> Reply:
        return Reply(chat_reply("x" * 9000)) if prompt_of(body) == "long" else echo(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("long"), question("short")], retries=1)
    assert (answers[1].text, failures) == (
        "echo: short",
        {0: "connection lost: the answer has more than 5000 bytes"},
    )
