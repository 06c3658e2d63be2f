"""Which process is still there, and which one a run belongs to. Reads /proc, so Linux only."""

import os
import select
import signal
import threading
from pathlib import Path
from typing import NamedTuple, NoReturn

DVC_STAGE = "DVC_STAGE"
"""Variable that DVC sets for the command of a stage."""


class ProcessId(NamedTuple):
    """A process told apart from a later one with the same pid by when it started."""

    pid: int
    started: int
    """Clock ticks since boot."""

    def alive(self) -> bool:
        """Whether this very process still runs (one that only waits to be reaped does not)."""
        return process_id(self.pid) == self


def process_id(pid: int) -> ProcessId | None:
    """The running process with this pid, if any."""
    fields = _stat(pid)
    return ProcessId(pid, int(fields[19])) if fields and fields[0] not in ("Z", "X") else None


def run_process() -> int:
    """Pid of the topmost `dvc` or `make` this process runs under, else its own: the run lasts as long."""
    return [os.getpid(), *(pid for pid, _ in _runs_above())][-1]


def end_with_parent() -> None:
    """End this process, at once and without a word, when the nearest `dvc` or `make` above it has ended: without it
    nobody looks at what becomes of its work, and the next run would find it still writing. Nothing if there is none."""
    above = _runs_above()
    if os.environ.get(DVC_STAGE) and not any(dvc for _, dvc in above):
        _end()  # it ended before this line was reached
    if not above:
        return
    _watch(next((pid for pid, dvc in above if dvc), above[0][0]))


def end_with(process: ProcessId) -> None:
    """End this process, at once and without a word, when `process` has ended."""
    _watch(process.pid)
    if not process.alive():  # it had ended, and the pid may be another's
        _end()


def _watch(pid: int) -> None:
    try:
        parent = os.pidfd_open(pid)
    except ProcessLookupError:
        _end()
    except OSError:  # the kernel has no such thing
        return
    threading.Thread(target=_end_after, args=(parent,), name="end with parent", daemon=True).start()


def _end() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit  # not reached


def _end_after(parent: int) -> None:
    select.select([parent], [], [])
    _end()


def _runs_above() -> list[tuple[int, bool]]:
    """Pid of every `dvc` and `make` above this process, the nearest first, and whether it is a `dvc`."""
    found, pid = [], os.getpid()
    while (fields := _stat(pid)) and (pid := int(fields[1])) > 0:
        arguments = _told(pid, "cmdline").split("\0")
        if _is_run(arguments):
            found.append((pid, Path(arguments[0]).name not in ("make", "gmake")))
    return found


def _is_run(arguments: list[str]) -> bool:
    names = [Path(argument).name for argument in arguments[:3]]
    if not names or names[0] in ("make", "gmake", "dvc"):
        return bool(names)
    return names[0].startswith("python") and (names[1:2] == ["dvc"] or names[1:3] == ["-m", "dvc"])


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (state) on; empty if there is no such process."""
    # the second field, the name in brackets, may hold spaces and brackets
    return _told(pid, "stat").rpartition(")")[2].split()


def _told(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text(errors="replace")
    except OSError:
        return ""
