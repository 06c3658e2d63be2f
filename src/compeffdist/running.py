"""Running a stage: alone in its checkout, and to a one-line end.

A `dvc` that is killed leaves the stage it started running, and the next `dvc repro` would start a second writer of the
same artefact. So a stage holds a lock while it runs, which the kernel frees however the process ends.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compeffdist.errors import UserError, run_guarded
from compeffdist.git import Git, NoRepository
from compeffdist.tracking_uri import check_tracking_uri

STAGE_LOCKS = Path(".compeffdist/stages")


def run_stage(main: Callable[[], None]) -> None:
    """`run_guarded` for a stage, named by its script, of which only one process may run in a checkout.

    What would stop a run where it registers its student stops it before its first stage: a store that cannot be used, a
    repository that git will not read.
    """

    def alone() -> None:
        check_tracking_uri()
        with suppress(NoRepository):
            Git(Path()).head()
        with _only_process_of(Path(sys.argv[0]).stem):
            main()

    run_guarded(alone)


@contextmanager
def _only_process_of(stage: str) -> Iterator[None]:
    """Raises UserError naming the process that runs the stage already."""
    from filelock import FileLock, Timeout

    STAGE_LOCKS.mkdir(parents=True, exist_ok=True)
    # the pid has a file of its own: trying for the lock empties the lock's file
    holder = STAGE_LOCKS / f"{stage}.pid"
    lock = FileLock(STAGE_LOCKS / f"{stage}.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        pid = holder.read_text(encoding="utf-8") if holder.exists() else "unknown"
        raise UserError(
            f"stage {stage} is running already, as process {pid}: wait for it, or end it (kill {pid}) and run again"
        ) from None
    try:
        holder.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()
