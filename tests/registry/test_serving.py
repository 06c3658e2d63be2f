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
from pathlib import Path
from typing import Any

import pytest

from compeffdist.params import RegistryParams
from compeffdist.registry.questions import Carried, ask_closed
from compeffdist.registry.register import CANDIDATE, register_student

START_SECONDS = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(port: int, rows: list[dict[str, Any]], params: dict[str, Any] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        data=json.dumps({"dataframe_records": rows} | ({"params": params} if params else {})).encode(),
        headers={"Content-Type": "application/json"},
    )
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


@pytest.mark.pipeline
def test_a_served_student_answers_and_refuses_what_is_out_of_bounds(student_folder: Path, base_folder: Path) -> None:
    name = f"served-{student_folder.parent.name}"
    tasks = {**Carried().tasks, "mood": ask_closed("How is it?", "good,bad")}
    files = Carried(tasks=tasks, priors={"mood": {"good": 0.9, "bad": 0.1}}, strength=1.0).to_files(1)
    settings = RegistryParams(model_name=name, experiment="tests")
    register_student(student_folder, base_folder, settings, {}, carried=files)
    port = free_port()
    command = ["serve", "-m", f"models:/{name}@{CANDIDATE}", "--env-manager", "local", "--port", str(port)]
    scripts = Path(sys.executable).parent  # MLflow starts uvicorn by name
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PATH": f"{scripts}:{os.environ['PATH']}"}
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
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
