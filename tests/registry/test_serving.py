"""`mlflow models serve` on a registered student, as a user would call it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from compeffdist.params import RegistryParams, ServingParams
from compeffdist.registry.bounds import to_file
from compeffdist.registry.questions import Carried, ask_closed
from compeffdist.registry.register import CANDIDATE, register_student

START_SECONDS = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(port: int, rows: list[dict[str, Any]], params: dict[str, Any] | None = None) -> tuple[int, Any]:
    return send(port, json.dumps({"dataframe_records": rows} | ({"params": params} if params else {})).encode())


def send(port: int, body: bytes, kind: str = "application/json") -> tuple[int, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", data=body, headers={"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_until_up(process: "subprocess.Popen[bytes]", port: int, path: str = "ping") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server left"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError("the server did not come up")


def told_in_one_line(port: int) -> None:
    """Nothing of paths, of tracebacks, of what was sent; and statuses that clients understand."""
    secret = "what nobody else should read"
    faults = [
        (400, "not JSON", send(port, f'{{"dataframe_records": [{{"text": "{secret}"'.encode())),
        (400, "nested too deeply", send(port, b'{"instances":' + b"[" * 100_000)),
        (400, "must be a string", post(port, [{"text": {secret: [1]}}])),
        (400, "unknown column", post(port, [{"text": secret, "taks": "mood"}])),
        (400, "no task", post(port, [{"text": secret, "task": "nope"}])),
        (413, "more than 2000 tokens", post(port, [{"text": f"{secret} {n}" * 20} for n in range(30)])),
        (413, "expected 1 to 1024 rows", post(port, [{"text": "a"}] * 1025)),
        (413, "4000000 bytes", send(port, b" " * 4_000_001)),
        (415, "expected application/json", send(port, b"PAR1", "application/vnd.apache.parquet")),
    ]
    for expected, told, (status, answer) in faults:
        assert (status, told in answer) == (expected, True), (expected, told, answer)
        assert set(json.loads(answer)) == {"error_code", "message"} and "\n" not in json.loads(answer)["message"]
        assert not [word for word in (secret, "Traceback", ".py", str(Path.home())) if word in answer]
    assert send(port, b"text\nfine\n", "text/csv")[0] == 200
    assert post(port, [{"text": "gr\ud83deat"}])[0] == 200


def told_to_come_back(port: int) -> None:
    """One is answered and one waits, as the server's environment has it; the others are told so at once."""
    rows = [{"prompt": f"say something {number}"} for number in range(5)]
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: post(port, rows), range(12)))
    statuses = [status for status, _ in answers]
    assert set(statuses) == {200, 503} and statuses.count(200) >= 2
    assert "serving.waiting" in next(answer for status, answer in answers if status == 503)
    assert post(port, rows[:1])[0] == 200


@pytest.mark.pipeline
def test_a_served_student_answers_and_refuses_what_is_out_of_bounds(student_folder: Path, base_folder: Path) -> None:
    name = f"served-{student_folder.parent.name}"
    tasks = {**Carried().tasks, "mood": ask_closed("How is it?", "good,bad")}
    files = Carried(tasks=tasks, priors={"mood": {"good": 0.9, "bad": 0.1}}, strength=1.0).to_files(1)
    settings = RegistryParams(model_name=name, experiment="tests")
    bounds = to_file(ServingParams(tokens=2000, waiting=9))
    register_student(student_folder, base_folder, settings, {}, carried=files | bounds)
    port = free_port()
    command = ["serve", "-m", f"models:/{name}@{CANDIDATE}", "--env-manager", "local", "--port", str(port)]
    scripts = Path(sys.executable).parent  # MLflow starts uvicorn by name
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PATH": f"{scripts}:{os.environ['PATH']}"}
    environment["COMPEFFDIST_SERVING_WAITING"] = "1"
    environment["COMPEFFDIST_SERVING_SECONDS"] = "600"  # however busy this machine is
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", *command], env=environment, start_new_session=True
    )
    try:
        wait_until_up(process, port)
        status, answer = post(port, [{"text": "the film was great"}, {"text": "dreadful"}])
        assert status == 200
        assert [set(row) for row in answer["predictions"]] == [{"label", "polarity", "probabilities", "prior"}] * 2
        rows = [
            {"text": "great", "task": "mood"},
            {"text": "great", "question": "Day?", "labels": "day, night"},
            {"prompt": "say something"},
        ]
        status, answer = post(port, rows)
        assert status == 200
        mood, day, said = answer["predictions"]
        assert (mood["prior"], day["prior"], set(said)) == ("version", "neutral", {"answer"})
        assert set(day["probabilities"]) == {"day", "night"}
        status, answer = post(port, rows[:1], {"prior_strength": 0})
        assert status == 200 and answer["predictions"][0]["prior"] == "none"
        assert answer["predictions"][0]["probabilities"]["good"] > mood["probabilities"]["good"]
        assert post(port, rows[:1], {"prior_strength": 7})[0] == 400
        assert post(port, [{"text": "a", "task": "nope"}])[0] == 400
        assert post(port, [{"text": "x" * 9000}])[0] == 400
        assert post(port, [{"text": "a", "prompt": "b"}])[0] == 400
        status, answer = post(port, [{"review": "the film was great"}])
        assert status == 400 and "no column is named text or prompt" in answer
        status, answer = post(port, [{"prompt": "say something"}])
        assert status == 200 and isinstance(answer["predictions"][0]["answer"], str)
        told_in_one_line(port)
        told_to_come_back(port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
