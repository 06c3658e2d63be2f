"""How requests reach a server and come back: errors in every form, what may pass, proxies, certificates, secrets."""

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.openai_engine import OpenAIEngine
from compeffdist.teacher.requests import Request
from tests.teacher.server import Body, Reply, chat_reply, echo, serving
from tests.teacher.test_openai_engine import LABELS, ask, question, top_tokens


@pytest.fixture(autouse=True)
def _fast_and_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("SSL", "OPENAI_", "COMPEFFDIST_API")):
            monkeypatch.delenv(name)


class Proxy(socketserver.ThreadingTCPServer):
    """Takes down what is sent to it, and answers nothing of use."""

    daemon_threads = True
    seen: list[bytes]

    class Handler(socketserver.BaseRequestHandler):
        server: "Proxy"

        def handle(self) -> None:
            self.server.seen.append(self.request.recv(1000))
            self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def proxy() -> Iterator[Proxy]:
    """A proxy on a free port."""
    with Proxy(("127.0.0.1", 0), Proxy.Handler) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def free_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


# ---------------------------------------------------------------- this machine


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.5", "0.0.0.0"])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_server_on_this_machine_is_asked_past_the_proxy(
    name: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy() as outside, serving() as server:
        monkeypatch.setenv(name, f"http://127.0.0.1:{outside.server_address[1]}")
        server_address = server.url.replace("127.0.0.1", host)
        if host == "127.0.0.5":  # bound to 127.0.0.1: nobody is there, and the proxy is not asked either
            with pytest.raises(UserError, match="connection refused"):
                ask(server_address, [question("one")])
        else:
            answers, _ = ask(server_address, [question("one")])
            assert answers[0].text == "echo: one"
    assert outside.seen == []


def test_a_server_elsewhere_is_asked_through_the_proxy_which_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy() as outside:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{outside.server_address[1]}")
        with pytest.raises(UserError):
            ask("http://teacher.invalid/v1", [question("one")] * 40, retries=0)
        assert outside.seen
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{free_address()}")
        with pytest.raises(
            UserError,
            match=r"teacher.invalid/v1: cannot reach .*connection refused through the proxy that HTTP_PROXY names",
        ) as caught:
            ask("http://teacher.invalid/v1", [question("one")])
    assert "secret" not in str(caught.value)


BROKEN = {
    "SSL_CERT_FILE": "/nowhere/ca.pem",
    "ALL_PROXY": "socks5://127.0.0.1:1080",
    "HTTPS_PROXY": "http://proxy:port",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_environment_is_one_line_that_names_the_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, BROKEN[name])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"^{name}: ") as caught:
        ask("https://teacher.invalid/v1", [question("one")])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_environment_does_not_keep_from_a_server_on_this_machine(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, BROKEN[name])
    with serving() as server:
        answers, _ = ask(server.url, [question("one")])
    assert answers[0].text == "echo: one"
    # a SOCKS proxy is not broken
    assert capsys.readouterr().err.count(f"warning: {name}: ") == (name != "ALL_PROXY")


@pytest.mark.parametrize("key", ["sk-secret\n", "sk-secret\r", "“sk-secret”", "sk-\tsecret"], ids=ascii)
def test_a_key_that_cannot_be_sent_is_one_line(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPEFFDIST_API_KEY", key)
    with serving() as server, pytest.raises(UserError, match=r"^COMPEFFDIST_API_KEY: the key ") as caught:
        ask(server.url, [question("one")])
    assert "secret" not in str(caught.value)
    assert server.bodies == []


def test_what_the_openai_client_reads_of_the_environment_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = {"OPENAI_ORG_ID": "org", "OPENAI_PROJECT_ID": "“proj”", "OPENAI_CUSTOM_HEADERS": "X-Secret: 1"}
    for name, value in hidden.items():
        monkeypatch.setenv(name, value)
    with serving() as server:
        ask(server.url, [question("one")])
    assert not [
        name for name in server.headers if name.lower() in ("openai-organization", "openai-project", "x-secret")
    ]
    assert {name: os.environ[name] for name in hidden} == hidden


def test_a_certificate_that_is_not_trusted_is_said(tmp_path: Path) -> None:
    with proxy() as plain:  # answers in the clear where encryption is expected
        url = f"https://127.0.0.1:{plain.server_address[1]}/v1"
        with pytest.raises(UserError, match=r"cannot reach .*no encrypted connection"):
            ask(url, [question("one")])


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "refusal",
    [
        {"detail": [{"loc": ["body", "messages"], "msg": "too many"}]},
        {"object": "error", "message": {"detail": [{"loc": ["body", "messages"], "msg": "too many"}]}},
        {"error": "messages: too many"},
    ],
    ids=str,
)
def test_the_reason_of_a_refusal_is_told(refusal: Any) -> None:
    with serving(lambda body, n: Reply(refusal, status=422)) as server:
        _, failures = ask(server.url, [question("one")])
    assert failures == {0: "server refused the request: 422 messages: too many"}
    assert len(server.bodies) == 1


def test_an_error_under_status_200_that_passes_is_tried_again() -> None:
    def respond(body: Body, earlier: int) -> Reply:
        return Reply({"error": {"message": "Overloaded"}}) if earlier < 2 else echo(body, earlier)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("one")])
    assert (answers[0].text, failures) == ("echo: one", {})
    assert len(server.bodies) == 3


def test_an_error_under_status_200_that_stays_fails_the_request_with_its_reason() -> None:
    def respond(body: Body, earlier: int) -> Reply:
        bad = body["messages"][-1]["content"] == "bad"
        return Reply({"error": {"message": "provider is down", "code": 502}}) if bad else echo(body, earlier)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("bad"), question("good")])
    assert answers.keys() == {1}
    assert failures == {0: "server answered 200 with an error in it: provider is down"}
    assert len(server.bodies) == 3 + 1


def test_errors_under_status_200_count_as_trouble() -> None:
    with (
        serving(lambda body, n: Reply({"error": "busy"})) as server,
        pytest.raises(UserError, match=r"16 requests in a row failed, the last with: .*busy; check runtime"),
    ):
        ask(server.url, [question(str(n)) for n in range(200)], retries=0, concurrency=4)
    assert len(server.bodies) < 30


def test_a_refusal_under_status_200_is_not_tried_again() -> None:
    refusal = {"error": {"message": "messages: invalid", "type": "invalid_request_error"}}
    with serving(lambda body, n: Reply(refusal)) as server:
        _, failures = ask(server.url, [question("one")])
    assert failures == {0: "server refused the request: 200 with an error in it: messages: invalid"}
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, {"message": "bad key sk-ours", "code": 401}),
        (200, {"message": "no", "code": "insufficient_quota"}),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
    ],
)
def test_what_no_retry_mends_stops_the_run_whatever_its_status(
    status: int, error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPEFFDIST_API_KEY", "sk-ours")
    with serving(lambda body, n: Reply({"error": error}, status=status)) as server, pytest.raises(UserError) as caught:
        ask(server.url, [question(str(n)) for n in range(50)], retries=0, concurrency=1)
    assert "sk-ours" not in str(caught.value)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [408, 409, 425])
def test_what_may_pass_is_trouble_and_no_refusal(status: int) -> None:
    with serving(lambda body, n: Reply({"error": "wait"}, status=status)) as server:
        _, failures = ask(server.url, [question("one", schema='{"type":"object"}')], retries=0)
    assert failures == {0: f"server answered {status} wait"}
    assert len(server.bodies) == 1  # and not asked again without its schema


def test_a_page_in_place_of_an_answer_is_told() -> None:
    with serving(lambda body, n: Reply(raw=b"<html><title>Log in</title></html>")) as server:
        _, failures = ask(server.url, [question("one")])
    assert failures == {0: "server's answer is not JSON: a web page: Log in"}


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        (
            Reply(raw='{"choices": [{"message": {"content": "café"}, "finish_reason": "stop"}]}'.encode("cp1252")),
            "UTF-8",
        ),
        (Reply(raw=b"{}", headers={"Content-Encoding": "gzip"}), "connection lost"),
    ],
)
def test_an_answer_that_cannot_be_decoded_is_the_matter_of_that_question(reply: Reply, failure: str) -> None:
    with serving(lambda body, n: reply) as server:
        _, failures = ask(server.url, [question("one")])
    assert failure in failures[0]


def test_a_byte_order_mark_is_no_part_of_an_answer() -> None:
    whole = b'\xef\xbb\xbf{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'
    with serving(lambda body, n: Reply(raw=whole)) as server:
        answers, _ = ask(server.url, [question("one")])
    assert answers[0].text == "yes"


def test_a_connection_lost_on_one_question_is_the_matter_of_that_question() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hanging) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _, failures = ask(f"http://127.0.0.1:{server.server_address[1]}/v1", [question("one")], retries=1)
        server.shutdown()
    assert failures[0].startswith("connection lost: ")


class Hanging(socketserver.BaseRequestHandler):
    """Lists no models, and hangs up on questions."""

    def handle(self) -> None:
        if self.request.recv(1000).startswith(b"GET"):
            self.request.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_secrets_in_an_address_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(body: Body, earlier: int) -> Reply:
        return Reply({"error": "user me, password p%40ss-word, p@ss-word, key abc-secret-abc"}, status=400)

    with serving(respond) as server:
        url = server.url.replace("//", "//me:p%40ss-word@") + "?key=abc-secret-abc"
        _, failures = ask(url, [question("one")])
    assert "ss-word" not in failures[0]
    assert "abc-secret" not in failures[0]
    assert "user me" in failures[0]


# ---------------------------------------------------------------- fields that servers refuse


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


def test_what_was_found_out_holds_for_the_whole_run() -> None:
    with serving(refusing("seed")) as server:
        engine = OpenAIEngine(
            SimpleNamespace(served_name="some-model@here"),
            TeacherParams(),
            RuntimeParams(openai_base_url=server.url),
            None,
        )
        for prompt in ("one", "two"):
            engine.answer([question(prompt)], lambda index, answer: None, lambda index, reason: None)
    assert ["seed" in body for body in server.bodies] == [True, False, False]


# ---------------------------------------------------------------- labels


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
