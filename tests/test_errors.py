"""How a stage ends: alone in its checkout, and in one line whatever the machine does to it."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import Timeout

from compeffdist.errors import UserError, run_guarded, run_stage

STAGE = """
import sys, time
from pathlib import Path
from compeffdist.errors import run_stage
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
    with pytest.raises(Timeout):
        run_stage(raising(Timeout("elsewhere.lock")))


def raising(error: BaseException) -> Callable[[], None]:
    def behaviour() -> None:
        raise error

    return behaviour


class OtherLibraryError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.parquet"), "no space left on the disk while writing a.pa"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a"), "no space left on the disk while writing a:"),
        (OSError(errno.EFBIG, "File too large"), "no space left on the disk while writing a file:"),
        (OtherLibraryError("I/O error: No space left on device (os error 28)"), "no space left on the disk"),
        (OtherLibraryError("database or disk is full"), "no space left on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "models"), "models: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system", "data/texts.parquet"), "data/texts.parquet: Read-only file"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "data"), "data: Is a directory"),
        (MemoryError(), "out of memory"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_fault_of_the_machine_is_one_line(
    error: BaseException, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run_guarded(raising(error))
    message = capsys.readouterr().err
    assert stop.value.code == 1
    assert message.startswith(f"error: {line}")
    assert message.count("\n") == 1


def test_a_fault_of_the_machine_under_another_error_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    def behaviour() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "x")
        except OSError as error:
            raise RuntimeError("saving failed") from error

    with pytest.raises(SystemExit):
        run_guarded(behaviour)
    assert capsys.readouterr().err == "error: no space left on the disk while writing x: free some and run again\n"


@pytest.mark.parametrize("error", [ValueError("a defect"), FileNotFoundError(errno.ENOENT, "No such file", "x")])
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_guarded(raising(error))


def test_a_stage_s_error_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        run_stage(raising(UserError("no texts")))
    assert capsys.readouterr().err == "error: no texts\n"
