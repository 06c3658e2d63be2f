"""A training by several processes of this machine, of which a stage's own is none.

    stage          waits, draws the progress line, keeps the curve, ends the others when it ends
      launcher     accelerate's, over torch's elastic agent (`launcher`)
        rank 0, 1  `fine_tune` in each (`rank`); rank 0 writes the student and the checkpoints

What is trained is told by the launcher's standard input, a file without a name, so that no text of a user's is left
behind however a process ends. What becomes of it is told by its standard output, a JSON object a line. Processes find
each other through a file, and exchange gradients over the loopback interface: no port is open to other machines. Each
ends when the one above it has ended.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any

import compeffdist
from compeffdist.errors import UserError
from compeffdist.params import FineTuningParams
from compeffdist.peaks import add_peak
from compeffdist.precision import resolve_device
from compeffdist.processes import process_id
from compeffdist.records import Reject
from compeffdist.student.curve import Curve, CurvePoint
from compeffdist.student.training import TrainingResult, TrainingRow

END_SECONDS = 30.0
"""How long processes may take to be gone once the launcher has been killed: they need a fraction of one."""


def check_processes(processes: int, device: str) -> None:
    """Raises UserError if so many processes cannot train on `device`, as `resolve_device` names it."""
    import torch

    if processes == 1:
        return
    if device not in ("cpu", "cuda"):
        raise UserError(f"runtime.processes: {processes}, but only one process can train on {device}: set it to 1")
    gpus = torch.cuda.device_count()
    if device == "cuda" and processes > gpus:
        raise UserError(f"runtime.processes: {processes}, one GPU each, but {gpus} are visible: set it to {gpus}")


def threads_each(processes: int) -> int:
    """Threads of each of so many processes: they share the cores that this one may use, or fewer (OMP_NUM_THREADS)."""
    cores = len(os.sched_getaffinity(0))
    said = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, (min(cores, int(said)) if said.isdecimal() else cores) // processes)


def fine_tune_together(
    base: Path,
    rows: Sequence[TrainingRow],
    settings: FineTuningParams,
    *,
    processes: int,
    stage: str,
    output: Path,
    fsdp: bool = False,
    device: str = "auto",
    on_point: Callable[[CurvePoint], None] | None = None,
    checkpoints: Path | None = None,
    checkpoint_steps: int = 0,
    **named: Any,
) -> TrainingResult:
    """`fine_tune` by so many processes: the same student but for the order in which floating-point numbers are added.

    Args:
        fsdp: on GPUs, weights that are all trained are divided among the processes; then no checkpoint is kept.
        named: what else `fine_tune` is given.

    Raises:
        UserError: as `fine_tune` does in any of the processes; or one of them was killed.
    """
    device = resolve_device(device)
    check_processes(processes, device)
    divided = fsdp and device == "cuda" and settings.method == "full"
    if divided and settings.average_last:
        raise UserError(f"{stage}: average_last needs all weights in one process; set it to 0 or runtime.fsdp to false")
    if divided and checkpoint_steps:
        print(f"{stage}: keeps no checkpoints, as weights are divided among processes (runtime.fsdp)", file=sys.stderr)
        checkpoint_steps = 0
    job = named | {
        "base": str(base),
        "rows": [asdict(row) for row in rows],
        "settings": settings.model_dump(),
        "stage": stage,
        "output": str(output),
        "device": device,
        "checkpoints": str(checkpoints) if checkpoints else None,
        "checkpoint_steps": checkpoint_steps,
    }
    watched = _Watched(Curve(stage, on_point))
    started = time.monotonic()
    with _launched(job, processes, divided) as launcher:
        for line in launcher.stdout or ():
            watched.hear(json.loads(line))
        launcher.wait()
    if watched.result is None or launcher.returncode:
        raise watched.why(processes, launcher.returncode)
    for memory in watched.peaks:
        add_peak(memory)
    rejected = [Reject.from_row(reject) for reject in watched.result.pop("rejected")]
    curve, seconds = watched.curve, time.monotonic() - started
    return TrainingResult(
        **watched.result, rejected=rejected, curve=curve.points, seconds=seconds, steps_before=curve.replayed
    )


@contextmanager
def _launched(job: dict[str, Any], processes: int, divided: bool) -> Iterator["subprocess.Popen[str]"]:
    """The launcher, at work; neither it nor any of its processes is left when this ends, however it does."""
    with TemporaryFile("w+", encoding="utf-8") as told, TemporaryDirectory() as folder:
        json.dump(job, told)
        told.flush()
        how = {
            "processes": processes,
            "divided": divided,
            "threads": threads_each(processes),
            "folder": folder,
            "above": process_id(os.getpid()),
        }
        source = str(Path(compeffdist.__file__).parents[1])
        paths = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
        launcher = subprocess.Popen(
            [sys.executable, "-m", "compeffdist.student.launcher", json.dumps(how)],
            stdin=told,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"},
            start_new_session=True,  # Ctrl-C is for the stage, which ends the others
        )
        try:
            yield launcher
        finally:
            launcher.kill()
            launcher.wait()
            if launcher.stdout is not None:
                _await_end(launcher.stdout)
                launcher.stdout.close()


def _await_end(pipe: IO[str]) -> None:
    """Wait until nobody is left who could write into a pipe."""
    until = time.monotonic() + END_SECONDS
    while select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0] and os.read(pipe.fileno(), 1 << 16):
        pass


@dataclass
class _Watched:
    """What the processes of a training have told so far."""

    curve: Curve
    result: dict[str, Any] | None = None
    peaks: list[int] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    """Of processes that could say why: `kind` is `user`, for a line to be told as it is, `lost` or `defect`."""
    ended: dict[int, int] = field(default_factory=dict)
    """Exit codes of processes that failed, by rank; of signals negative."""

    def hear(self, told: dict[str, Any]) -> None:
        match told:
            case {"steps": steps, "tokens": tokens}:
                self.curve.begin(steps, tokens)
            case {"point": point, "earlier": earlier}:
                self.curve.add(CurvePoint(*point), earlier)
            case {"result": result}:
                self.curve.end()
                self.result = result
            case {"peak": peak}:
                self.peaks.append(peak)
            case {"failed": _}:
                self.failures.append(told)
            case {"ended": ended}:
                self.ended = dict(ended)

    def why(self, processes: int, code: int) -> Exception:
        """Why it failed; `code` is the launcher's exit code. One failure leads to others: the launcher ends the rest by
        SIGTERM, and what they say of a lost connection counts last."""
        stage = self.curve.stage
        said = {kind: one for one in reversed(self.failures) if (kind := one["kind"])}
        killed = {rank: -code for rank, code in sorted(self.ended.items()) if code < 0}
        first = next((rank for rank, number in killed.items() if number != Signals.SIGTERM), None)
        if "user" in said:
            return UserError(said["user"]["said"])
        if first is None and "defect" not in said:
            first = next(iter(killed), None)
        if first is not None:
            name = Signals(killed[first]).name
            why = ", perhaps for want of memory" if name == "SIGKILL" else ""
            return UserError(
                f"{stage}: process {first + 1} of {processes} was ended by {name}{why}: run again, with fewer "
                "processes (runtime.processes) or a smaller training.pass_tokens if memory is short"
            )
        for one in said.values():
            return RuntimeError(f"{stage}: process {one['failed'] + 1} of {processes}: {one['said']}")
        if code < 0:
            name = Signals(-code).name
            return UserError(f"{stage}: the launcher of its {processes} processes was ended by {name}: run again")
        return RuntimeError(f"{stage}: the launcher of its {processes} processes ended with code {code}")
