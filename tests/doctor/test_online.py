"""`compeffdist doctor --online`: whether the servers that a run would ask are there, by real sockets."""

import base64
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from compeffdist.doctor import inputs
from compeffdist.doctor.finding import Finding
from compeffdist.doctor.online import online
from compeffdist.params import Params, validate_params
from compeffdist.profiles import compose
from tests.stages import ROOT
from tests.teacher.server import FakeServer, serving


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("COMPEFFDIST_API_KEY_HERE", "sk-abc")
    for name in ("PIP_INDEX_URL", "HF_ENDPOINT"):  # nobody listens there
        monkeypatch.setenv(name, "http://127.0.0.1:1/simple/")


def params(url: str | list[str]) -> Params:
    values = compose("smoke", ROOT / "profiles")
    values["models"]["teacher"]["reference"] = ["api:big@here"]
    values["teacher"]["engine"] = "openai"
    values["runtime"] |= {"openai_base_url": url, "openai_key_header": "api-key"}
    return validate_params(values, "params.yaml")


def teacher(url: str) -> Finding:
    return next(one for one in online(params(url)) if one.of == "teacher server")


def test_a_server_that_answers_is_well_and_is_asked_for_nothing() -> None:
    with serving() as server:
        found = teacher(server.url)
        assert (found.state, server.bodies) == ("ok", []) and "answers" in found.said


@pytest.mark.parametrize("status", [401, 403])
def test_one_that_refuses_the_key_is_a_fault_that_names_its_variable(status: int) -> None:
    with serving() as server:
        server.models_status = status
        found = teacher(server.url)
    assert found.state == "fault" and "COMPEFFDIST_API_KEY_HERE" in found.said and "sk-abc" not in found.said


def test_one_that_need_not_list_its_models_is_well() -> None:
    with serving() as server:
        server.models_status = 404
        assert teacher(server.url).state == "ok"


def test_one_that_is_not_there_is_a_fault() -> None:
    with serving() as server:
        url = server.url
    found = teacher(url)
    assert found.state == "fault" and "connection refused" in found.said.lower()


def of_replicas(*servers: FakeServer) -> list[Finding]:
    return [one for one in online(params([server.url for server in servers])) if one.of == "teacher server"]


def test_each_replica_is_looked_at_and_whether_they_serve_the_same_model() -> None:
    with serving() as one, serving() as other, serving() as third:
        third.close_for(None)
        one.models = other.models = {"data": [{"id": "big", "root": "/data/big"}]}
        found = of_replicas(one, other, third)
        assert [finding.state for finding in found] == ["ok", "ok", "fault", "ok"]
        assert "connection refused" in found[2].said and "2 replicas" in found[3].said
        other.models = {"data": [{"id": "big", "root": "/data/small"}]}
        assert (found := of_replicas(one, other))[-1].state == "fault" and "'big' and 'small'" in found[-1].said
        other.models = {"data": []}
        assert (found := of_replicas(one, other))[-1].state == "note" and found[-1].said.startswith(other.url)


def test_each_replica_has_a_line_of_its_own_and_names_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPEFFDIST_API_KEY_HERE")
    monkeypatch.setenv("COMPEFFDIST_API_KEY_EXAMPLE_INVALID_8001", "sk-abc")
    urls = ["http://me:word1@example.invalid:8000/v1", "http://example.invalid:8001/v1", "http://127.0.0.1:1/v1"]
    found = list(inputs.teacher(params(urls)))
    assert [finding.state for finding in found] == ["note", "ok", "ok"]
    assert "***@example.invalid:8000/v1: COMPEFFDIST_API_KEY is not set" in found[0].said
    assert "word1" not in found[0].said


@contextmanager
def index(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Somebody who says the same to each connection, whatever it asks: the port, and what was asked."""
    asked: list[bytes] = []

    class Saying(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self.request.recv(65536))
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Saying) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1], asked
        server.shutdown()


def of_index(url: str, monkeypatch: pytest.MonkeyPatch) -> Finding:
    monkeypatch.setenv("PIP_INDEX_URL", url)
    with serving() as server:
        return next(one for one in online(params(server.url)) if one.of == "package index")


def test_an_index_is_asked_with_its_password_which_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with index(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, asked):
        found = of_index(f"http://somebody:pa%3Ass-word1@127.0.0.1:{port}/simple/", monkeypatch)
    assert found.state == "ok" and found.said.endswith(f"127.0.0.1:{port}/simple/: answers (200)")
    head = asked[0].decode().splitlines()
    assert head[0] == "GET /simple/ HTTP/1.1" and f"Host: 127.0.0.1:{port}" in head
    assert f"Authorization: Basic {base64.b64encode(b'somebody:pa:ss-word1').decode()}" in head
    assert "word1" not in f"{found.said} {found.do}"


def test_a_password_does_not_go_where_an_index_sends_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with index(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (other, asked):
        there = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other}/\r\nContent-Length: 0\r\n\r\n"
        with index(there.encode()) as (port, _):
            assert of_index(f"http://somebody:pass-word1@127.0.0.1:{port}/", monkeypatch).state == "ok"
    assert len(asked) == 1 and b"Authorization" not in asked[0]


@pytest.mark.parametrize(
    ("answer", "said"), [(b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP"), (b"", "closed connection")]
)
def test_what_is_no_index_is_a_note(answer: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with index(answer) as (port, _):
        found = of_index(f"http://127.0.0.1:{port}/", monkeypatch)
    assert found.state == "note" and said in found.said


@pytest.mark.parametrize(
    "url",
    ["http://somebody:pass/word1@example.invalid/", "http://somebody:word1@[::1/", "somebody-word1.example.invalid"],
)
def test_an_address_that_is_none_is_a_note_without_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_index(url, monkeypatch)
    assert found.state == "note" and "no address that can be asked" in found.said
    assert "word1@" not in found.said and "http://somebody" not in found.said
