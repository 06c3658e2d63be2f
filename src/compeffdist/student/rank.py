"""One of the processes of a training: `python -m compeffdist.student.rank HOW`, started by `launcher`.

What is trained is read off standard input, which all share, and what becomes of it goes to standard output
(`together`). Whatever a library prints goes to standard error.
"""

import json
import os
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from compeffdist.environment import quiet
from compeffdist.errors import UserError, one_line, told_by_the_machine
from compeffdist.peaks import peak_memory
from compeffdist.processes import ProcessId, end_with
from compeffdist.student.curve import Curve, CurvePoint

LONGEST = 3000
"""Characters of why a process failed: a write into a pipe of at most 4 KiB is not torn apart by others."""


def main() -> None:
    how = json.loads(sys.argv[1])
    end_with(ProcessId(*how["above"]))
    quiet()
    tell = partial(_tell, os.dup(1))
    os.dup2(2, 1)
    rank = int(os.environ["RANK"])
    try:
        _train(Path(how["folder"]), rank, tell)
    except Exception as error:
        said = one_line(error) if isinstance(error, UserError) else told_by_the_machine(error)
        lost = "by peer" in str(error)  # closed or reset, as gloo tells of a connection
        kind = "user" if said else "lost" if lost else "defect"
        tell(failed=rank, kind=kind, said=said or traceback.format_exc()[-LONGEST:])
        sys.stderr.flush()
        os._exit(1)  # threads of the others' connections may hold an ordinary end up
    tell(peak=peak_memory())


def _train(folder: Path, rank: int, tell: Any) -> None:
    import torch
    from torch import distributed

    from compeffdist.params import FineTuningParams
    from compeffdist.student.training import fine_tune

    job = json.loads(_read_all(0))
    processes = int(os.environ["WORLD_SIZE"])
    if job["device"] == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store = distributed.FileStore(str(folder / "ranks"), processes)  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if job["device"] == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=processes)
    result = fine_tune(
        Path(job.pop("base")),
        [_row(**row) for row in job.pop("rows")],
        FineTuningParams.model_validate(job.pop("settings")),
        output=Path(job.pop("output")),
        checkpoints=Path(kept) if (kept := job.pop("checkpoints")) else None,
        processes=processes,
        curve=_Told(job["stage"], tell),
        **job,
    )
    distributed.barrier()  # the first has written the student: nobody leaves before
    distributed.destroy_process_group()
    if rank == 0:
        names = ("rows", "tokens", "response_tokens", "soft_rows", "provenance")
        told = {name: getattr(result, name) for name in names}
        tell(result=told | {"rejected": [reject.to_row() for reject in result.rejected]})


def _row(labels: list[str], probabilities: list[float], **named: Any) -> Any:
    from compeffdist.student.training import TrainingRow

    return TrainingRow(labels=tuple(labels), probabilities=tuple(probabilities), **named)


class _Told(Curve):
    """The curve as it is told to the stage."""

    def __init__(self, stage: str, tell: Any) -> None:
        super().__init__(stage)
        self.tell = tell

    def begin(self, steps: int, tokens: int) -> None:
        self.tell(steps=steps, tokens=tokens)

    def add(self, point: CurvePoint, earlier: bool = False) -> None:
        self.points.append(point)
        self.tell(point=[point.step, point.loss, point.learning_rate, point.gradient_norm], earlier=earlier)


def _read_all(file: int) -> bytes:
    """A file that others read, too, and so from no position of its own."""
    size, content = os.fstat(file).st_size, bytearray()
    while part := os.pread(file, size - len(content), len(content)):
        content += part
    return bytes(content)


def _tell(pipe: int, **told: Any) -> None:
    line = f"{json.dumps(told)}\n".encode()
    while line:
        line = line[os.write(pipe, line) :]


if __name__ == "__main__":
    main()
