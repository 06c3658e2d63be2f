"""Promotion against a real `mlflow server` that keeps database and artifacts to itself."""

import base64
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import ClassVar

import pytest

from compeffdist.errors import UserError
from compeffdist.lineage.purge import Holding, purge
from compeffdist.lineage.repository import Repository
from compeffdist.params import Params
from compeffdist.promotion.history import read_history
from compeffdist.promotion.promote import promote, rollback
from compeffdist.record_files import write_records
from compeffdist.records import EvaluationRow
from compeffdist.registry.artifacts import find_version, verify_version
from compeffdist.registry.register import register_student
from compeffdist.registry.tracking import open_tracking
from tests.promotion.mlflow_server import MlflowServer, running_server
from tests.promotion.racing import race
from tests.promotion.versions import (
    BASE_RIGHT,
    attachments_of,
    audit_clean,
    evaluation_rows,
    make_version,
    predictions,
)

pytestmark = pytest.mark.pipeline

Aliases = Callable[[], dict[str, int]]
SECRET = "shared with who is told"
WEBHOOKS = {
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
    "MLFLOW_WEBHOOK_CACHE_TTL": "1",
    # what a server refuses to call by itself: a listener on this machine, without TLS
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
}
"""Of the server's environment."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, f"sqlite:///{folder}/mlflow.db", WEBHOOKS) as running:
        yield running


@pytest.fixture(autouse=True)
def at_server(server: MlflowServer, tracking: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)


@pytest.fixture
def audit(params: Params) -> Callable[[int], list[str]]:
    return lambda version: verify_version(open_tracking(), params.registry.model_name, version)


def test_a_real_student_is_promoted_replaced_and_returned_to(
    params: Params,
    aliases: Aliases,
    audit: Callable[[int], list[str]],
    student_folder: Path,
    base_folder: Path,
) -> None:
    rows = evaluation_rows()
    answers = [*predictions(rows, "base", "b", BASE_RIGHT), *predictions(rows, "student", "s", BASE_RIGHT)]
    attachments = attachments_of(rows, answers)
    made = register_student(student_folder, base_folder, params.registry, {"gates": "passed"}, attachments=attachments)
    assert audit(made.version) == []
    assert promote(made.version, params, audit, override="its predictions are made up").entry is not None
    # other rows: the champion is fetched from the server and asked about them
    rows = evaluation_rows(" anew")
    write_records(Path("data/evaluation.jsonl"), EvaluationRow, rows)
    second = make_version(params, {"films": 40, "tweets": 40}, rows=rows)
    assert promote(second, params, audit).reasons == []
    assert aliases() == {"candidate": made.version, "champion": second, "former-champion": made.version}
    assert rollback(params, audit).reasons == []
    assert aliases() == {"candidate": made.version, "champion": made.version}
    assert read_history(params).problem == ""


def test_a_flipped_byte_on_the_server_is_found(
    params: Params,
    server: MlflowServer,
    audit: Callable[[int], list[str]],
    student_folder: Path,
    base_folder: Path,
) -> None:
    rows = evaluation_rows()
    answers = [*predictions(rows, "base", "b", BASE_RIGHT), *predictions(rows, "student", "s", BASE_RIGHT)]
    attachments = attachments_of(rows, answers)
    before = set(server.files.rglob("*"))
    made = register_student(student_folder, base_folder, params.registry, {}, attachments=attachments)
    files = [path for path in server.files.rglob("*") if path.is_file() and path not in before]
    # fetching every file over HTTP takes a second, so one of each kind stands for all (test_artifacts has them all)
    chosen = {path.suffix: path for path in sorted(files) if path.stat().st_size}
    planted = found = 0
    for path in chosen.values():
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        planted, found = planted + 1, found + any(path.name in problem for problem in audit(made.version))
        path.write_bytes(whole)
    print(f"{found} of {planted} planted faults found on the server ({student_folder.parent.name})")
    assert found == planted >= 6 and audit(made.version) == []


def test_a_purge_takes_a_version_and_its_files_off_the_server(
    params: Params, server: MlflowServer, student_folder: Path, base_folder: Path
) -> None:
    before = set(server.files.rglob("*.safetensors"))
    made = register_student(student_folder, base_folder, params.registry, {})
    assert set(server.files.rglob("*.safetensors")) > before
    held = Holding("model version", f"models:/{params.registry.model_name}/{made.version}", "trained on it")
    assert purge(Repository(), [held]) == [held]
    assert set(server.files.rglob("*.safetensors")) == before
    with pytest.raises(UserError, match="has no version 1; there are none"):
        find_version(open_tracking(), params.registry.model_name, 1)


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(params: Params, tmp_path: Path) -> None:
    rounds = 6
    for _ in range(2 * rounds):
        make_version(params, {"films": 34, "tweets": 34})
    outcomes = race(params, tmp_path, rounds)
    print(f"races on a server: {outcomes}")
    assert outcomes == [["told", "won"]] * rounds


class Listener(BaseHTTPRequestHandler):
    """Keeps what it is told."""

    told: ClassVar[Queue[tuple[Message, bytes]]] = Queue()

    def do_POST(self) -> None:
        self.told.put((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_promotion_is_told_by_a_webhook_of_mlflow_s_as_docs_say(params: Params) -> None:
    name = params.registry.model_name
    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        client = open_tracking()
        url = f"http://127.0.0.1:{listening.server_port}/"
        hook = client.create_webhook("champion", url, ["model_version_alias.created"], secret=SECRET)
        try:
            version = make_version(params, {"films": 34, "tweets": 34})
            assert promote(version, params, audit_clean).entry is not None
            headers, body = Listener.told.get(timeout=120)
        finally:
            client.delete_webhook(hook.webhook_id)
            listening.shutdown()
    event = json.loads(body)
    assert (event["entity"], event["action"]) == ("model_version_alias", "created")
    assert event["data"] == {"name": name, "alias": "champion", "version": str(version)}
    signed = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
    assert headers["X-MLflow-Signature"] == f"v1,{digest}"


def test_an_accepted_and_a_refused_candidate(params: Params, aliases: Aliases) -> None:
    for right in (34, 38, 30):
        make_version(params, {"films": right, "tweets": right})
    assert [promote(version, params, audit_clean).entry is not None for version in (1, 2, 3)] == [True, True, False]
    assert aliases() == {"champion": 2, "former-champion": 1}
