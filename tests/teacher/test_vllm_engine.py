"""The vLLM engine with a real server and real weights: what it answers, and that nothing of it is left behind."""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compeffdist.credentials import KEY_VARIABLE
from compeffdist.errors import UserError
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.processes import process_id
from compeffdist.teacher.chat import TOO_LONG
from compeffdist.teacher.openai_engine import OpenAIEngine
from compeffdist.teacher.requests import CHOSEN, FIRST_TOKENS, Answer, Request
from compeffdist.teacher.transformers_engine import TransformersEngine
from compeffdist.teacher.vllm_engine import SERVED_NAME, VllmEngine
from compeffdist.teacher.vllm_replicas import VllmReplicas
from compeffdist.teacher.vllm_supervisor import attach
from tests.eventually import eventually

pytestmark = pytest.mark.engine

SCHEMA = '{"properties":{"mood":{"enum":["good","bad"]}},"required":["mood"],"type":"object"}'
LABELS = ("negative", "neutral", "positive", "very negative", "very positive", "very")
TEACHER = TeacherParams(engine="vllm", max_model_len=512)
RUNTIME = RuntimeParams(engine_memory_gib=0.5, max_num_seqs=8)
IDENTITY: Any = SimpleNamespace(dtype="bfloat16", served_name=f"{SERVED_NAME}@here")
REQUESTS = [
    Request("You are brief.", "What is the capital of France?", 12, 0.0, 1.0, 0),
    Request("You are brief.", "The film was great. How does the writer feel?", 30, 0.0, 1.0, 0, schema=SCHEMA),
    Request.likelihood("You are brief.", "I love this phone. The sentiment is", LABELS),
    Request("You are brief.", "word " * 600, 12, 0.0, 1.0, 0),
    Request("You are brief.", "Write a sentence.", 12, 1.0, 0.9, 7),
]

# Opens an engine, answers, says so, and waits: a stage that can be killed.
STAGE = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.requests import Request
from compeffdist.teacher.vllm_engine import SERVED_NAME, VllmEngine
from compeffdist.teacher.vllm_supervisor import attach
runtime = RuntimeParams(engine_memory_gib=0.5, max_num_seqs=8)
identity = SimpleNamespace(dtype="bfloat16")
engine = VllmEngine(identity, TeacherParams(max_model_len=512), runtime, Path(sys.argv[1]))
engine.answer([Request("s", "hi", 2, 0.0, 1.0, 0)], print, print)
print("answered", flush=True)
time.sleep(600)
"""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder of its own, whose servers are gone at the end."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    left = server_processes(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def server_processes(folder: Path) -> list[int]:
    """Live processes that work in `folder`, the test itself apart: supervisor, API server, engine core, workers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and process_id(int(entry.name)):
            try:
                if (entry / "cwd").resolve() == folder.resolve():
                    found.append(int(entry.name))
            except OSError:
                continue
    return sorted(found)


def sockets_and_folders() -> set[Path]:
    """What a server leaves in the folder for temporary files, if it does."""
    folder = Path(tempfile.gettempdir())
    return {path for path in folder.iterdir() if path.is_socket() or path.name.startswith("compeffdist-")}


def ask(engine: VllmEngine | TransformersEngine | OpenAIEngine, requests: list[Request]) -> dict[int, Answer | str]:
    got: dict[int, Answer | str] = {}
    engine.answer(requests, got.__setitem__, got.__setitem__)
    assert sorted(got) == list(range(len(requests)))
    return got


def test_a_server_that_ray_places_answers_as_one_does(workplace: Path, real_folder: Path) -> None:
    by_ray = VllmReplicas(IDENTITY, TEACHER, RUNTIME.model_copy(update={"executor": "ray"}), real_folder)
    placed = ask(by_ray, REQUESTS[:4])
    end(by_ray)
    assert eventually(lambda: not server_processes(workplace), seconds=60.0)
    one = VllmEngine(IDENTITY, TEACHER, RUNTIME, real_folder)
    alone = ask(one, REQUESTS[:4])
    end(one)
    assert eventually(lambda: not server_processes(workplace), seconds=60.0)
    assert {index: getattr(answer, "text", answer) for index, answer in placed.items()} == {
        index: getattr(answer, "text", answer) for index, answer in alone.items()
    }


def end(engine: VllmEngine) -> None:
    state = engine.files.read_state()
    assert state is not None
    os.kill(state.supervisor.pid, signal.SIGTERM)


def test_answers_agree_with_the_model_run_in_process(
    workplace: Path, real_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sockets_and_folders()
    engine = VllmEngine(IDENTITY, TEACHER, RUNTIME, real_folder)
    got = ask(engine, REQUESTS)
    expected = ask(TransformersEngine(IDENTITY, TEACHER, RUNTIME, real_folder), REQUESTS[:4])
    mood, labels, reference = got[1], got[2], expected[2]
    assert isinstance(mood, Answer)
    assert json.loads(mood.text)["mood"] in ("good", "bad")
    assert isinstance(labels, Answer)
    assert isinstance(reference, Answer)
    assert labels.label_logprobs == pytest.approx(reference.label_logprobs, abs=0.15)
    assert math.fsum(map(math.exp, (labels.label_logprobs or {}).values())) == pytest.approx(1.0)
    assert got[3] == expected[3] == TOO_LONG
    for index in (0, 1, 2):
        ours, other = got[index], expected[index]
        assert isinstance(ours, Answer)
        assert isinstance(other, Answer)
        assert ours.prompt_tokens == other.prompt_tokens

    # a second engine, as the next stage has, finds the same server; the same seed gives the same sample
    second = VllmEngine(IDENTITY, TEACHER, RUNTIME, real_folder)
    again = ask(second, [REQUESTS[4]])[0]
    assert (engine.starts, second.starts) == (1, 0)
    assert isinstance(again, Answer)
    assert again.text == getattr(got[4], "text", None)

    check_openai_engine(engine, monkeypatch)
    end(engine)
    assert eventually(lambda: not server_processes(workplace), seconds=60.0)
    assert eventually(lambda: sockets_and_folders() == before, seconds=60.0)


ONE_WORD = "Is it Positive, Negative or Neutral? I love this phone. Answer with one word."
PLAIN_REQUESTS = [
    Request("You are brief.", "Say hello.", 12, 0.8, 1.0, 7),
    Request("You are brief.", "How does the writer feel? The film was great.", 30, 0.0, 1.0, 0, schema=SCHEMA),
    Request("You are brief.", "Name two colours.", 40, 0.0, 1.0, 0, schema='{"enum":["red","blue"]}'),
    Request.likelihood("You are brief.", ONE_WORD, ("Positive", "Negative")),
    Request.likelihood("You are brief.", ONE_WORD, ("Positive", "Negative", "Neutral")),
    Request.likelihood("You are brief.", "How good is it? I love this phone.", tuple(map(str, range(1, 11)))),
]


def check_openai_engine(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine for any OpenAI-compatible server, against the same real one."""
    server = attach(engine.files, engine.arguments, RUNTIME.engine_idle_seconds, 60)
    monkeypatch.setenv(KEY_VARIABLE, server.api_key)
    runtime = RuntimeParams(openai_base_url=server.base_url)
    got = ask(OpenAIEngine(IDENTITY, TEACHER, runtime, None), PLAIN_REQUESTS)
    answers = [answer for _, answer in sorted(got.items()) if isinstance(answer, Answer)]
    assert len(answers) == len(PLAIN_REQUESTS), got
    assert [answer.kind for answer in answers] == [*["generated"] * 3, FIRST_TOKENS, CHOSEN, CHOSEN]
    assert json.loads(answers[1].text)["mood"] in ("good", "bad")
    assert json.loads(answers[2].text) in ("red", "blue")
    for answer, request in zip(answers[3:], PLAIN_REQUESTS[3:], strict=True):
        assert answer.text in request.labels
        assert answer.prompt_tokens > 0
    # tokens that only begin a label ("Ne") count for it here and not there, hence the distance allowed
    exact = ask(engine, PLAIN_REQUESTS[3:4])[0]
    assert isinstance(exact, Answer)
    assert answers[3].label_logprobs == pytest.approx(exact.label_logprobs, abs=0.4)


@pytest.mark.parametrize("victim", ["stage", "supervisor", "api server", "engine core"])
def test_whatever_is_killed_no_process_is_left(workplace: Path, real_folder: Path, victim: str) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    # started through a shell that ends, so that no `make` or `dvc` above the tests holds the server
    stage = subprocess.Popen(
        ["sh", "-c", '"$@" & echo $!', "sh", sys.executable, "-c", STAGE, str(real_folder.absolute())],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert stage.stdout is not None
    stage_pid = int(stage.stdout.readline())
    try:
        assert any(line.startswith("answered") for line in iter(stage.stdout.readline, ""))
        # oldest first: the stage, its supervisor, the API server, then what that spawned
        chain = sorted(server_processes(workplace), key=lambda pid: process_id(pid) or (pid, 0))
        server = [pid for pid in chain if pid != stage_pid]
        assert len(server) >= 4
        supervisor, api = server[0], server[1]
        core = int(Path(f"/proc/{api}/task/{api}/children").read_text().split()[-1])
        killed = {"stage": stage_pid, "supervisor": supervisor, "api server": api, "engine core": core}[victim]
        os.kill(killed, signal.SIGKILL)
        assert eventually(lambda: not [pid for pid in server if process_id(pid)], seconds=60.0)
    finally:
        if process_id(stage_pid):
            os.kill(stage_pid, signal.SIGKILL)
        stage.wait()
        stage.stdout.close()
    assert eventually(lambda: not server_processes(workplace), seconds=60.0)


def test_a_model_that_cannot_be_served_is_one_clear_line(workplace: Path, real_folder: Path) -> None:
    broken = workplace / "broken"
    broken.mkdir()
    for path in real_folder.iterdir():
        if path.suffix != ".safetensors":
            (broken / path.name).symlink_to(path.absolute())
    engine = VllmEngine(IDENTITY, TEACHER, RUNTIME, broken)
    with pytest.raises(UserError, match=r"did not start: .*Error: Cannot find any model weights.*whole log"):
        ask(engine, REQUESTS[:1])
    assert eventually(lambda: not server_processes(workplace), seconds=60.0)
