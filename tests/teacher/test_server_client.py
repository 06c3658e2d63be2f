"""How requests reach a server and come back: errors in every form, what may pass, proxies, certificates, secrets."""

import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from compeffdist.errors import UserError
from tests.teacher.openai_asking import ask, fast_and_bare, question
from tests.teacher.server import Body, Reply, chat_reply, echo, serving

__all__ = ["fast_and_bare"]


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


NO_ANSWERS = {
    "no choices": {"choices": []},
    "paid for": chat_reply("x") | {"choices": []},
    "no choice": {"choices": ["x"]},
    "nothing": {},
    "a list": ["x"],
}


@pytest.mark.parametrize("value", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_holds_no_answer_counts_as_trouble(value: Any) -> None:
    with (
        serving(lambda body, n: Reply(value)) as server,
        pytest.raises(UserError, match=r"16 requests in a row failed, the last with: server's answer "),
    ):
        ask(server.url, [question(str(n)) for n in range(200)], retries=0, concurrency=4)
    assert len(server.bodies) < 30


def test_what_holds_no_answer_teaches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A form was tried, and who did not answer has not taken it."""

    def respond(body: Body, n: int) -> Reply:
        if body["messages"][-1]["content"] == "odd":
            refusal = Reply({"error": "seed is not supported"}, status=400)
            return refusal if "seed" in body else Reply({"choices": []})
        return echo(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("odd"), question("one")], concurrency=1, retries=0)
    assert (answers.keys(), failures) == ({1}, {0: "server's answer holds no choices"})
    assert "seed" in server.bodies[-1] and capsys.readouterr().err == ""


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
