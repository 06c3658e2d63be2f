"""A run that is watched while it goes, is killed, and goes on: real stages, real processes, HTTP."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from compeffdist.fingerprints import write_fingerprints
from compeffdist.processes import process_id
from compeffdist.records import Reject
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.store import ResponseStore, StoredAnswer
from tests.models.making import make_identity
from tests.stages import ROOT
from tests.test_running import dvc, make_checkout
from tests.watch.looking import Page, files, states

TEACHER = make_identity("teacher", role="teacher")
SLOW = """
import time
from pathlib import Path
from compeffdist.errors import UserError
from compeffdist.given import Made
from compeffdist.progress import Progress, part
from compeffdist.stage_notes import note_loss
def run(given):
    with part("<sarcasm>"), Progress("steps", total=10) as progress:
        for step in range(1, 5):
            progress.advance(1, tokens=100)
            note_loss(step, 5 / step)
        time.sleep(1.1)
        progress.advance(1, tokens=100)
        note_loss(5, 1.0)
        while not Path("go").exists():
            time.sleep(0.02)
    if Path("wrong").exists():
        raise UserError("data/x.csv: row 3: <b>no label</b>; name one")
    return Made(metrics={"stage": given.name})
"""
"""Works until it is told to go on."""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "checkout"
    folder.mkdir()
    make_checkout(folder, {"train_student": SLOW, "evaluate_student": SLOW})
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text())
    for name, stage in pipeline["stages"].items():
        stage |= {
            "cmd": f"{sys.executable} stages/run.py {name}",
            "metrics": [{f"metrics/{name}.json": {"cache": False}}],
        }
    pipeline["stages"] = dict(reversed(pipeline["stages"].items()))
    pipeline["stages"]["evaluate_student"]["deps"] = ["metrics/train_student.json"]
    (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    write_fingerprints(folder)
    dvc(folder, "init", "--quiet", "--no-scm").communicate(timeout=60)
    yield folder


@pytest.fixture
def watched(checkout: Path) -> Iterator[Page]:
    """By a process of its own, begun before there is a run, and ended by Ctrl-C."""
    process = watch(checkout)
    try:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{43}/\n", address)
        yield Page(address)
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
        assert (process.returncode, out, told) == (0, "", "")
    finally:
        process.kill()


class Orphan:
    """A command that no `make` or `dvc` above these tests is taken for the run of."""

    def __init__(self, checkout: Path, *command: str) -> None:
        environment = os.environ | {"SECONDS": "0", "PYTHONPATH": str(ROOT / "src")}
        # a shell that lives on, for not everybody's first process takes note of the dead
        kept = '{ "$@" & echo $! > its_pid; wait; } > said 2>&1 & while [ ! -s its_pid ]; do sleep 0.02; done'
        (checkout / "its_pid").unlink(missing_ok=True)
        subprocess.run(["sh", "-c", kept, "sh", sys.executable, *command], cwd=checkout, env=environment, check=True)
        found = process_id(int((checkout / "its_pid").read_text()))
        assert found is not None
        self.process, self.pid = found, found.pid

    def wait(self) -> None:
        deadline = time.monotonic() + 120
        while self.process.alive():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()


def repro(checkout: Path) -> Orphan:
    return Orphan(checkout, "-m", "dvc", "repro")


def watch(checkout: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "compeffdist.cli.main", "watch"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=checkout, stdout=pipe, stderr=pipe, text=True, env=environment)


def at_work(state: dict[str, object]) -> bool:
    running = [one for one in state["stages"] if one["state"] == "running"]  # type: ignore[attr-defined]
    return bool(running and running[0]["work"] and running[0]["work"]["done"] == 5)


def test_a_run_is_seen_from_before_it_began_to_its_end_through_a_kill(checkout: Path, watched: Page) -> None:
    assert states(watched.state()) == {"train_student": "waiting", "evaluate_student": "waiting"}
    first = repro(checkout)
    state = watched.until(at_work)
    (stage, other) = state["stages"]
    assert state["run"]["process"] == first.pid and state["run"]["on"]
    assert state["headline"] == "Running: train_student; 0 of 2 stages done"
    work = stage["work"]
    assert (work["label"], work["total"]) == ("steps: <sarcasm>", 10) and other["state"] == "waiting"
    assert work["tokens_per_second"] == pytest.approx(100 * work["per_second"]) and work["left"] > 0
    assert 0 <= time.time() - stage["since"] < 120
    assert state["curve"]["live"] and state["curve"]["points"][0] == [1, 5.0]

    pid = int((checkout / ".compeffdist/stages/train_student.pid").read_text())
    first.kill()
    state = watched.until(lambda state: states(state)["train_student"] != "running")
    assert states(state)["train_student"] == "failed" and "killed" in state["stages"][0]["why"] and pid
    assert state["headline"].startswith("Failed: train_student: ended without a word") and not state["run"]["on"]

    second = repro(checkout)
    state = watched.until(at_work)
    assert state["run"]["process"] == second.pid != first.pid
    (checkout / "go").touch()
    second.wait()
    state = watched.until(lambda state: set(states(state).values()) == {"done"})
    assert state["headline"] == "Done: every stage is up to date"
    assert all(one["seconds"] > 0 and one["work"] is None for one in state["stages"])


def test_a_stage_that_fails_says_why_and_one_that_dvc_has_not_kept_is_not_done(checkout: Path, watched: Page) -> None:
    for name in ("go", "wrong"):
        (checkout / name).touch()
    repro(checkout).wait()
    state = watched.until(lambda state: states(state)["train_student"] == "failed")
    assert state["stages"][0]["why"] == "data/x.csv: row 3: <b>no label</b>; name one"
    (checkout / "wrong").unlink()
    Orphan(checkout, "stages/run.py", "train_student").wait()  # by hand: the artefact is there, DVC knows nothing of it
    state = watched.until(lambda state: states(state)["train_student"] != "failed")
    assert states(state)["train_student"] == "waiting" and state["headline"].startswith("No run is on")
    repro(checkout).wait()
    assert set(states(watched.state()).values()) == {"done"}
    (checkout / "code.yaml").write_text("train_student: x\nevaluate_student: x\n")
    Orphan(checkout, "stages/run.py", "train_student").wait()
    state = watched.until(lambda state: states(state)["train_student"] == "failed")
    assert "has other code than it says" in state["stages"][0]["why"]  # what a stage refuses before its work, too


def test_answers_and_rejects_come_as_they_are_written_and_nothing_is_written_beside(
    checkout: Path, watched: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    Path("models").mkdir()
    from compeffdist.artefacts import TEACHER as CARD
    from compeffdist.artefacts import rejects_of

    CARD.write(TEACHER.to_row())
    evil = "<img src=x onerror=alert(1)>"
    with ResponseStore(Path(".compeffdist/answers.sqlite")) as store:
        for number in range(40):
            request = Request("s", f"{evil} question {number}", 5, 0.0, 1.0, 0)
            said = Answer(f"{evil} {number}", {f"{evil} {number}": -0.1, "b": -9.0}, 1, 0, 1, "", "labels")
            store.put_many([StoredAnswer(f"answer_{number}", TEACHER.id, request.to_json(), said.to_json(), "vllm")])
            if number % 10 == 0:
                before = files(checkout)
                wanted = f"{evil} {number}"
                state = watched.until(
                    lambda state, wanted=wanted: (state["answers"] or [{}])[0].get("answer") == wanted
                )
                assert files(checkout) == before
        assert state["answers"][0]["question"] == f"{evil} question 30" and state["answers"][0]["logprob"] == -0.1
    before = files(checkout)
    watched.until(lambda state: state["answers"][0]["answer"] == f"{evil} 39")
    assert files(checkout) == before and state["faults"] == []
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text())
    pipeline["stages"]["train_student"]["outs"] = [str(rejects_of("train_student"))]
    Path("dvc.yaml").write_text(yaml.safe_dump(pipeline))
    rejects_of("train_student").write([Reject(stage="train_student", record_id="r", reason="too_long", detail=evil)])
    state = watched.until(lambda state: bool(state["left_out"]))
    assert state["left_out"][0]["latest"] == [{"record_id": "r", "reason": "too_long", "detail": evil}]
