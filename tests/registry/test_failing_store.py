"""A look-up in the registry that failed is told from one that found nothing."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.versions import read_versions
from compeffdist.registry.asking import ask_model, tasks_of
from compeffdist.registry.tracking import may_write, open_registry
from compeffdist.registry.weights import named_version

VERSION = {"name": "student", "version": "1", "creation_timestamp": 1, "run_id": "r", "source": "s3://bucket/x"}


class Handler(BaseHTTPRequestHandler):
    """A tracking server that lists experiments and versions, and may not say more."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def _answer(self) -> None:
        place = self.path.partition("?")[0].rpartition("mlflow/")[2]
        found: dict[str, object] | None = {
            "experiments/search": {"experiments": []},
            "model-versions/search": {"model_versions": [VERSION]},
            "model-versions/get": {"model_version": VERSION},
            "model-versions/get-download-uri": {"artifact_uri": "s3://bucket/x"},
        }.get(place)
        refused = {"error_code": "PERMISSION_DENIED", "message": "not for you"}
        body = json.dumps(refused if found is None else found).encode()
        self.send_response(403 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{running.server_port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        yield
        running.shutdown()


def test_aliases_that_cannot_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not for you") as stop:
        read_versions(Repository(tmp_path), "student")
    assert "secret" not in str(stop.value)


@pytest.mark.parametrize("uri", ["models:/student@candidate", "models:/student@champion"])
def test_an_alias_that_cannot_be_looked_up_is_not_said_to_be_missing(uri: str) -> None:
    for ask in (
        lambda: named_version(open_registry(), uri),
        lambda: list(ask_model(uri, [{"text": "fine"}])),
        lambda: tasks_of(uri),
    ):
        with pytest.raises(UserError, match="not for you") as stop:
            ask()
        assert "no such version" not in str(stop.value) and "there is no registered model" not in str(stop.value)


def test_a_run_that_cannot_be_looked_up_is_not_taken_for_another_store_s() -> None:
    from mlflow import MlflowException

    with pytest.raises(MlflowException, match="not for you"):
        may_write(open_registry(), "r")
