"""How a stage runs: alone in its checkout, and to a one-line end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import Timeout

from compeffdist.errors import UserError
from compeffdist.running import run_stage

STAGE = """
import sys, time
from pathlib import Path
from compeffdist.running import run_stage
def main():
    Path("started").touch()
    time.sleep(float(sys.argv[1]))
run_stage(main)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "collect.py").write_text(STAGE)
    (tmp_path / "pair.py").write_text(STAGE)
    yield tmp_path


def start(checkout: Path, script: str, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, script, str(seconds)]
    return subprocess.Popen(command, cwd=checkout, stderr=subprocess.PIPE, text=True)


def started(checkout: Path) -> bool:
    deadline = time.monotonic() + 60
    while not (checkout / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return (checkout / "started").exists()


def test_a_second_process_of_a_stage_is_refused_by_one_line_that_names_the_first(checkout: Path) -> None:
    first = start(checkout, "collect.py", 600)
    assert started(checkout)
    second = start(checkout, "collect.py", 0)
    _, message = second.communicate(timeout=60)
    assert second.returncode == 1
    assert message == (
        f"error: stage collect is running already, as process {first.pid}: wait for it, or end it "
        f"(kill {first.pid}) and run again\n"
    )
    other = start(checkout, "pair.py", 0)
    assert other.wait(60) == 0
    first.kill()
    first.communicate()
    assert start(checkout, "collect.py", 0).wait(60) == 0


def test_a_stage_whose_dvc_was_killed_keeps_the_next_one_out(checkout: Path) -> None:
    run = "import subprocess, sys; subprocess.run([sys.executable, 'collect.py', '600'])"
    parent = subprocess.Popen([sys.executable, "-c", run], cwd=checkout)
    assert started(checkout)
    parent.terminate()
    parent.wait()
    second = start(checkout, "collect.py", 0)
    _, message = second.communicate(timeout=60)
    orphan = int((checkout / ".compeffdist/stages/collect.pid").read_text())
    assert f"as process {orphan}:" in message
    os.kill(orphan, signal.SIGKILL)


def test_another_lock_that_a_stage_waits_for_in_vain_is_not_the_stage_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["collect.py"])

    def main() -> NoReturn:
        raise Timeout("elsewhere.lock")

    with pytest.raises(Timeout):
        run_stage(main)


def test_a_stage_s_error_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def main() -> NoReturn:
        raise UserError("no texts")

    with pytest.raises(SystemExit):
        run_stage(main)
    assert capsys.readouterr().err == "error: no texts\n"
