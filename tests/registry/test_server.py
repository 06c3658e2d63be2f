"""An MLflow server that is not there, goes away, or must not be asked through a proxy: one line, and soon."""

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from compeffdist.errors import UserError, run_guarded
from compeffdist.registry import server as server_module
from compeffdist.registry.asking import ask_model, tasks_of
from compeffdist.registry.server import PATIENCE, expect_server
from compeffdist.registry.tracking import open_tracking, store_errors
from compeffdist.registry.weights import named_version

Answer = Callable[[str], tuple[int, bytes]]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("MLFLOW_HTTP", "MLFLOW_TRACKING", "REQUESTS_", "CURL_")):
            monkeypatch.delenv(name)
    # set for each test, so that none leaves them behind
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    for name in PATIENCE:
        monkeypatch.setenv(name, "0")


class Answering(ThreadingHTTPServer):
    """Answers each path as it is told to, and keeps the paths."""

    daemon_threads = True
    asked: list[str]
    answer: Answer

    class Handler(BaseHTTPRequestHandler):
        server: "Answering"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.server.asked.append(self.path)
            status, body = self.server.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET


def empty(_: str) -> tuple[int, bytes]:
    """What a new MLflow server answers to searches."""
    return 200, b"{}"


@contextmanager
def answering(answer: Answer = empty) -> Iterator[Answering]:
    """A server on a free port."""
    server = Answering(("127.0.0.1", 0), Answering.Handler)
    server.asked, server.answer = [], answer
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def address_of(server: Answering) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def nobody() -> str:
    """HOST:PORT where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_store_that_is_not_there_is_one_line(scheme: str, nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # MLflow's own patience, as a user has it
    for name in PATIENCE:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:pass-word@{nobody}/db")
    with pytest.raises(UserError, match=_not_there(scheme, nobody)):
        open_tracking()


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql"])
def test_a_database_that_is_not_there_is_one_line(scheme: str, nobody: str) -> None:
    # asked itself: that no driver is installed here is said before
    with pytest.raises(UserError, match=_not_there(scheme, nobody)):
        expect_server(f"{scheme}://me:pass-word@{nobody}/db")


def _not_there(scheme: str, place: str) -> str:
    why = "cannot be reached (connection refused); see MLFLOW_TRACKING_URI"
    return f"^{re.escape(f'MLflow store {scheme}://***@{place}/db: {why}')}$"


def test_an_unknown_host_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nobody.invalid:5000")
    with pytest.raises(UserError, match="unknown host name"):
        open_tracking()


def test_a_server_that_takes_connections_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UserError, match="no answer in time"):
            open_tracking()


def test_a_server_that_is_there_is_asked_and_mlflow_waits_less(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PATIENCE:
        monkeypatch.delenv(name)
    with answering() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address_of(server))
        assert open_tracking().search_experiments() == []
    assert server.asked[0] == "/health"
    assert {name: os.environ[name] for name in PATIENCE} == PATIENCE


def test_a_user_s_own_patience_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with answering() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address_of(server))
        open_tracking()
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


def test_a_server_that_answers_errors_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(lambda path: (403, b'{"error_code": "PERMISSION_DENIED", "message": "not yours"}')) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address_of(server))
        with pytest.raises(UserError, match=r"PERMISSION_DENIED: not yours.*MLFLOW_TRACKING_URI"):
            open_tracking()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
def test_a_server_on_this_machine_is_asked_past_the_proxy(
    name: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering() as proxy, answering() as server:
        monkeypatch.setenv(name, address_of(proxy))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address_of(server).replace("127.0.0.1", host))
        open_tracking()
    assert server.asked
    assert proxy.asked == []


def test_a_server_elsewhere_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    with answering() as proxy:
        monkeypatch.setenv("HTTP_PROXY", address_of(proxy))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.invalid:5000")
        open_tracking()
        assert proxy.asked
    monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@{nobody}")
    with pytest.raises(UserError, match=r"connection refused through the proxy that HTTP_PROXY names") as caught:
        open_tracking()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_TOKEN", "secret\n"),
        ("MLFLOW_TRACKING_TOKEN", "“secret”"),
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", "/nowhere/ca.pem"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem"),
        ("HTTPS_PROXY", "http://proxy:port"),
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "many"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "2m"),
    ],
    ids=ascii,
)
def test_a_broken_environment_is_one_line_that_names_the_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.invalid")
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=rf"^{name}: ") as caught:
        open_tracking()
    assert "secret" not in str(caught.value)


def gone(act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server go away once the store is open, then act."""
    server = Answering(("127.0.0.1", 0), Answering.Handler)
    server.asked = []

    def leave_after_opening(path: str) -> tuple[int, bytes]:
        if "health" not in path:
            threading.Thread(target=server.shutdown).start()
            server.socket.close()
        return 200, b"{}"

    server.answer = leave_after_opening
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address_of(server))
    try:
        act()
    finally:
        server.server_close()


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda: tasks_of("models:/student@candidate"), id="tasks"),
        pytest.param(lambda: list(ask_model("models:/student@candidate", [{"text": "x"}])), id="ask"),
        pytest.param(lambda: named_version(open_tracking(), "models:/student@champion"), id="version by alias"),
    ],
)
def test_a_server_that_goes_away_is_not_one_that_has_nothing(
    act: Callable[[], object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"^MLflow store http://127.0.0.1:\d+: cannot be reached any more \("):
        gone(act, monkeypatch)


def test_wherever_a_command_loses_the_server_it_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        open_tracking().search_experiments()

    with pytest.raises(SystemExit) as stop:
        gone(lambda: run_guarded(command), monkeypatch)
    said = capsys.readouterr().err
    assert stop.value.code == 1
    assert said.startswith("error: http://127.0.0.1:")
    assert "cannot be reached any more" in said
    assert said.count("\n") == 1


def test_what_a_store_refuses_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowException

    with pytest.raises(UserError, match="no such thing"), store_errors():
        raise MlflowException("no such thing")
