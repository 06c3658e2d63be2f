"""A process is told apart from others, and from the one that a run belongs to."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compeffdist.processes import ProcessId, process_id

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SAY_RUN = """
import os, time
from compeffdist.processes import run_process
time.sleep(0.3)
print(run_process(), os.getpid())
"""


def say(*command: str) -> list[int]:
    """The numbers printed by the processes of `command`, run as an orphan: a `make test` above these tests is
    then out of the picture."""
    detached = ["sh", "-c", '"$@" & exit 0', "sh", *command]
    done = subprocess.run(detached, capture_output=True, text=True, check=True, timeout=60)
    return [int(word) for word in done.stdout.split()]


def test_a_live_process_is_itself_and_an_ended_one_is_not() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        found = process_id(child.pid)
        assert found is not None
        assert found.alive()
        assert not ProcessId(found.pid, found.started - 1).alive()
    finally:
        child.kill()
    # not reaped yet: a zombie counts as ended
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not found.alive()
    child.wait()
    assert process_id(child.pid) is None


def test_a_process_whose_name_holds_brackets_and_spaces_is_read(tmp_path: Path) -> None:
    odd = tmp_path / "a) S 1 (b"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([odd, "60"])
    try:
        mine, its = process_id(os.getpid()), process_id(child.pid)
        assert mine is not None
        assert its is not None
        assert its.started >= mine.started
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("runner", ["dvc", "make", "python dvc"])
def test_the_run_is_the_topmost_dvc_or_make(tmp_path: Path, runner: str) -> None:
    """Stand-ins named as the runners are start a shell, which starts the stage."""
    stage = tmp_path / "stage.py"
    stage.write_text(SAY_RUN)
    inner = f"'{sys.executable}' '{stage}'; true"
    if runner == "python dvc":
        script = tmp_path / "dvc"
        script.write_text(
            "import os, subprocess\nprint(os.getpid(), flush=True)\n" + f"subprocess.run(['sh', '-c', {inner!r}])\n"
        )
        outer, run, itself = say(sys.executable, str(script))
    else:
        shell = tmp_path / runner
        shell.symlink_to("/bin/sh")
        outer, run, itself = say(str(shell), "-c", f'echo $$; sh -c "{inner}"; true')
    assert run == outer != itself


def test_without_a_runner_the_run_is_the_process_itself() -> None:
    run, itself = say(sys.executable, "-c", SAY_RUN)
    assert run == itself


WAITS = """
import time
from compeffdist.processes import end_with_parent
end_with_parent()
open("began", "w").close()
time.sleep(60)
"""


@pytest.mark.parametrize("between", ["", "sh -c '%s; true'"])
def test_a_process_ends_with_the_dvc_above_it_however_that_ends(tmp_path: Path, between: str) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    command = f"{sys.executable} waits.py"
    (tmp_path / "dvc").symlink_to("/bin/sh")
    started = f"{between % command if between else command}; true"
    parent = subprocess.Popen([str(tmp_path / "dvc"), "-c", started], cwd=tmp_path, start_new_session=True)
    limit = time.monotonic() + 30
    while not (tmp_path / "began").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    while left := [p for p in Path("/proc").glob("[0-9]*") if _works_in(p, tmp_path) and b"waits.py" in _command(p)]:
        assert time.monotonic() < limit, left
        time.sleep(0.02)


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").resolve() == folder
    except OSError:
        return False


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
