"""What a server refuses of a request, in whatever words, is done without from then on."""

from pathlib import Path
from typing import Any

import pytest

from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.processes import DVC_STAGE
from compeffdist.teacher import found_out
from compeffdist.teacher.replicated_engine import open_servers
from compeffdist.teacher.requests import Request
from tests.teacher.openai_asking import CARD, LABELS, ask, engine_of, fast_and_bare, question, top_tokens
from tests.teacher.server import Body, Reply, chat_reply, echo, serving

__all__ = ["fast_and_bare"]


def refusing(*refuses: str, told: str = "{} is not supported", status: int = 400) -> Any:
    """A server that refuses fields (`temperature=0`: a value of one), naming the first it finds."""

    def respond(body: Body, earlier: int) -> Reply:
        for refused in refuses:
            name, _, value = refused.partition("=")
            if name in body and (not value or body[name] == float(value)):
                return Reply({"error": {"message": told.format(name)}}, status=status)
        return echo(body, earlier)

    return respond


TOLD = {
    "OpenAI": "Unrecognized request argument supplied: {}",
    "Groq": "property '{}' is unsupported",
    "Go": 'json: unknown field "{}"',
    "Pydantic": "{}: Extra inputs are not permitted",
    "Google": 'Invalid JSON payload received. Unknown name "{}": Cannot find field.',
}


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
@pytest.mark.parametrize("field", ["seed", "temperature", "top_p"])
def test_a_field_that_a_server_refuses_is_left_out_from_then_on(
    field: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(refusing(field, told=told)) as server:
        answers, failures = ask(server.url, [question(str(n)) for n in range(4)], concurrency=1)
    assert failures == {}
    assert [answers[n].text for n in range(4)] == [f"echo: {n}" for n in range(4)]
    assert [field in body for body in server.bodies] == [True, False, False, False, False]
    assert {name for body in server.bodies for name in body} >= {"seed", "temperature", "top_p", "max_tokens"} - {field}
    assert capsys.readouterr().err.count(f"{server.url} refuses {field}") == 1


REASONING = (
    "Unsupported parameter: '{}' is not supported with this model. Use 'max_completion_tokens' instead.",
    "max_tokens is deprecated in favor of max_completion_tokens, which must be used",
    "{}: Extra inputs are not permitted",
)


@pytest.mark.parametrize("told", REASONING)
def test_a_server_that_wants_max_completion_tokens_is_given_them(told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(refusing("max_tokens", told=told)) as server:
        answers, _ = ask(server.url, [question("one"), question("two")], concurrency=1)
    assert answers.keys() == {0, 1}
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 9, 9]
    assert not any("max_tokens" in body for body in server.bodies[1:])
    assert capsys.readouterr().err.count("wants max_completion_tokens in place of max_tokens") == 1


def test_a_server_that_refuses_much_is_asked_without_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    refuses = ("max_tokens", "temperature=0", "top_p", "seed", "response_format")
    requests = [question(str(n), temperature=0.0, schema='{"type":"object"}') for n in range(3)]
    with serving(refusing(*refuses)) as server:
        answers, failures = ask(server.url, requests, concurrency=1)
    assert failures == {}
    assert set(server.bodies[-1]) == {"model", "messages", "max_completion_tokens"}
    assert answers[2].text == "echo: 2"
    # all but the schema are found out anew without the schema, as nothing was taken with it
    assert len(server.bodies) == 3 + 5 + 4
    said = capsys.readouterr().err
    assert "refuses temperature 0: asked without it, so it decodes by its own default" in said
    assert len(said.splitlines()) == 5


def test_temperature_0_is_left_out_where_it_is_refused_and_no_other() -> None:
    told = (
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported."
    )
    requests = [question(str(n), temperature=t) for n, t in enumerate((0.0, 0.5, 0.0))]
    with serving(refusing("temperature=0", told=told)) as server:
        answers, _ = ask(server.url, requests, concurrency=1)
    assert answers.keys() == {0, 1, 2}
    assert [body.get("temperature") for body in server.bodies] == [0.0, None, 0.5, None]


@pytest.mark.parametrize(
    "told",
    [
        "`temperature` has to be a strictly positive float",
        "temperature must be greater than 0",
        "temperature: Input should be > 0",
    ],
)
def test_temperature_0_is_nearly_0_where_a_server_wants_more_than_that(
    told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(refusing("temperature=0", told=told)) as server:
        answers, failures = ask(server.url, [question(str(n), temperature=0.0) for n in range(2)], concurrency=1)
    assert (answers.keys(), failures) == ({0, 1}, {})
    assert [body["temperature"] for body in server.bodies] == [0.0, 0.01, 0.01]
    assert "refuses temperature 0: asked with 0.01" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"max_tokens": 9}, "'max_tokens' or 'max_completion_tokens' is too large: 9. Maximum context length is 8."),
        ({"max_tokens": 9}, "max_tokens must be at least 16"),
        ({"temperature": 1.5}, "temperature must be between 0 and 1"),
        ({"top_p": 0.5}, "top_p: Input should be greater than 0.9"),
    ],
)
def test_a_value_out_of_range_is_no_refusal_of_its_field(changes: dict[str, Any], told: str) -> None:
    with serving(lambda body, n: Reply({"error": told}, status=400)) as server:
        _, failures = ask(server.url, [question("one", **changes)])
    assert failures == {0: f"server refused the request: 400 {told}"}
    assert len(server.bodies) == 1


def test_what_a_server_repeats_of_the_question_names_no_field() -> None:
    def respond(body: Body, earlier: int) -> Reply:
        return Reply({"error": f"moderated: {body['messages'][-1]['content']}"}, status=400)

    with serving(respond) as server:
        ask(server.url, [question("the temperature of the seed")])
    assert len(server.bodies) == 1


def test_nothing_is_remembered_of_a_change_that_did_not_help(capsys: pytest.CaptureFixture[str]) -> None:
    def respond(body: Body, earlier: int) -> Reply:
        bad = body["messages"][-1]["content"] == "bad"
        return Reply({"error": "the seed of evil"}, status=400) if bad else echo(body, earlier)

    with serving(respond) as server:
        _, failures = ask(server.url, [question("bad"), question("good")], concurrency=1)
    assert failures.keys() == {0}
    assert ["seed" in body for body in server.bodies] == [True, False, True]
    assert capsys.readouterr().err == ""


def test_requests_in_flight_at_once_find_it_out_each_and_it_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(refusing("seed")) as server:
        answers, _ = ask(server.url, [question(str(n)) for n in range(30)], concurrency=10)
    assert len(answers) == 30
    assert 31 <= len(server.bodies) <= 40
    assert capsys.readouterr().err.count("refuses seed") == 1


def stage_asks(url: str | list[str], store: Path, prompt: str) -> None:
    """A stage of the run: a process has an engine."""
    engine = open_servers(CARD, TeacherParams(), RuntimeParams(openai_base_url=url, store=str(store)), None)
    engine.answer([question(prompt)], lambda index, answer: None, lambda index, reason: None)


def test_what_a_stage_found_out_the_next_stages_of_the_run_know_and_another_run_finds_out_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "answers.sqlite"
    monkeypatch.setenv(DVC_STAGE, "collect_responses")
    with serving(refusing("seed")) as server:
        for prompt in ("one", "two"):
            stage_asks(server.url, store, prompt)
        assert ["seed" in body for body in server.bodies] == [True, False, False]
        monkeypatch.setattr(found_out, "run_process", lambda: 1)
        stage_asks(server.url, store, "three")
        assert ["seed" in body for body in server.bodies[3:]] == [True, False]
        (tmp_path / found_out.FILE).write_text("{")
        stage_asks(server.url, store, "four")
        assert ["seed" in body for body in server.bodies[5:]] == [True, False]
    assert capsys.readouterr().err.count("refuses seed") == 3


def test_what_one_of_several_servers_refuses_is_known_to_the_next_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DVC_STAGE, "collect_responses")
    with serving(refusing("seed")) as one, serving(echo) as other:
        for prompt in ("one", "two", "three", "four"):
            stage_asks([one.url, other.url], tmp_path / "answers.sqlite", prompt)
    assert sum("seed" in body for body in one.bodies) <= 1
    assert all("seed" in body for body in other.bodies)


def test_outside_of_a_run_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DVC_STAGE, raising=False)
    with serving(refusing("seed")) as server:
        stage_asks(server.url, tmp_path / "answers.sqlite", "one")
    assert list(tmp_path.iterdir()) == []


def test_what_was_found_out_holds_for_all_that_an_engine_asks() -> None:
    with serving(refusing("seed")) as server:
        engine = engine_of(RuntimeParams(openai_base_url=server.url))
        for prompt in ("one", "two"):
            engine.answer([question(prompt)], lambda index, answer: None, lambda index, reason: None)
    assert ["seed" in body for body in server.bodies] == [True, False, False]


@pytest.mark.parametrize("status", [400, 403, 422, 500])
def test_log_probabilities_that_are_refused_with_whatever_status_are_done_without(
    status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def respond(body: Body, earlier: int) -> Reply:
        if "logprobs" in body:
            told = "You are not allowed to request logprobs from this model"
            return Reply({"error": {"message": told, "param": None, "code": None}}, status=status)
        return Reply(chat_reply('{"answer": "neutral"}'))

    with serving(respond) as server:
        answers, failures = ask(server.url, [LABELS, other("second")], concurrency=1, retries=0)
    assert failures == {}
    assert [(answers[n].text, answers[n].kind) for n in range(2)] == [("neutral", "chosen")] * 2
    assert sum("logprobs" in body for body in server.bodies) == 1
    assert capsys.readouterr().err.count("gives no log-probabilities") == 1


@pytest.mark.parametrize(
    "told",
    [
        "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 5, but got 20 instead.",
        "top_logprobs: Input should be less than or equal to 5",
        "top_logprobs must be between 0 and 5",
    ],
)
def test_a_server_that_gives_fewer_log_probabilities_is_asked_for_those(
    told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def respond(body: Body, earlier: int) -> Reply:
        if body["top_logprobs"] > 5:
            return Reply({"error": {"message": told}}, status=400)
        return top_tokens({"negative": 0.5, "neutral": 0.3, "positive": 0.2})

    with serving(respond) as server:
        answers, _ = ask(server.url, [LABELS, other("second")], concurrency=1)
    assert [answers[n].kind for n in range(2)] == ["first_tokens"] * 2
    assert [body["top_logprobs"] for body in server.bodies] == [20, 5, 5]
    assert capsys.readouterr().err.count("allows top_logprobs up to 5") == 1


def test_a_schema_refused_as_not_allowed_is_done_without() -> None:
    with serving(refusing("response_format", told="json_schema is not available on your plan", status=403)) as server:
        answers, failures = ask(server.url, [question("x", schema='{"type":"object"}')])
    assert (answers[0].text, failures) == ("echo: x", {})


def test_the_key_of_an_answer_is_of_the_question_as_it_was_meant() -> None:
    request = question("one", temperature=0.0)
    key = request.key("model_1")
    with serving(refusing("temperature", "max_tokens", "seed")) as server:
        ask(server.url, [request])
    assert request.key("model_1") == key
    assert question("one", temperature=0.0).key("model_1") == key


def other(prompt: str) -> Request:
    return Request.likelihood("s", prompt, LABELS.labels)
