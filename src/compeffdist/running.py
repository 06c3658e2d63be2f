"""Running a stage: alone in its checkout, and to a one-line end.

A stage ends when the `dvc` that started it is killed, and holds a lock while it runs, which the kernel frees however
the process ends: no two write the same artefact.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import compeffdist
from compeffdist.accounting import told
from compeffdist.artefacts import is_artefact
from compeffdist.declaration import PIPELINE, Stage, read_pipeline
from compeffdist.errors import UserError, one_line, run_guarded
from compeffdist.fingerprints import SOURCE, check_fingerprint
from compeffdist.git import Git, NoRepository
from compeffdist.given import Made, given_to
from compeffdist.imports import spare_pandas
from compeffdist.params import Params, load_params
from compeffdist.peaks import NOTES, note_peak
from compeffdist.processes import end_with_parent
from compeffdist.stage_notes import noted
from compeffdist.tracking_uri import check_tracking_uri

STAGE_LOCKS = NOTES
STAGE: ContextVar[str] = ContextVar("stage", default="")
"""The stage that this process runs, for whoever accounts for what it takes; empty in a command."""


def run_stage(name: str, load: Callable[[], Any], check: Callable[[Params], None] = lambda _: None) -> None:
    """Run a stage of dvc.yaml to a one-line end; only one process of it may run in a checkout.

    `load` imports its module, whose `run(given) -> Made` is given what dvc.yaml declares and nothing else; what it
    makes is written here. What would stop a run where it registers its student stops it before its first stage: a
    store that cannot be used, a repository that git will not read, and what `check` refuses of the params.
    """

    def alone() -> None:
        check_folder()
        check_tracking_uri()
        with suppress(NoRepository):
            Git(Path()).head()
        stage = read_pipeline().get(name)
        if stage is None:
            raise UserError(f"{PIPELINE}: has no stage {one_line(name, 60)}")
        end_with_parent()
        with _only_process_of(name), noted(name):
            token = STAGE.set(name)
            try:
                _run(stage, load, check)
            finally:
                STAGE.reset(token)

    spare_pandas()
    run_guarded(alone)


def _run(stage: Stage, load: Callable[[], Any], check: Callable[[Params], None]) -> None:
    name = stage.name
    if not Path(compeffdist.__file__).resolve().is_relative_to(SOURCE.resolve()):
        other = Path(compeffdist.__file__).parent
        raise UserError(f"{other}: is imported, not the code of this checkout; run: make setup, or mend PYTHONPATH")
    check_fingerprint(stage)
    if strange := [path for path in stage.outs if not is_artefact(path, name)]:
        raise UserError(f"{PIPELINE}: stage {name} declares {strange[0]}, which artefacts.py does not list")
    params = load_params()
    check(params)
    given = given_to(stage, params)
    module = load()
    if not callable(getattr(module, "run", None)):
        raise UserError(f"stage {name}: its module in stages/ has no function run(given)")
    made = module.run(given)
    if not isinstance(made, Made):
        raise UserError(f"stage {name}: its run(given) must return Made(…), not {type(made).__name__}")
    made.write(given)
    if line := told(made.metrics or {}):
        print(f"{name}: {line}", flush=True)
    note_peak(stage, params)


def check_folder() -> None:
    """Raises UserError if the checkout lies in a folder whose name DVC and MLflow cannot write down."""
    try:
        str(Path().absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{Path().absolute()}: not a name in UTF-8, and DVC and MLflow take no other: rename or move it"
        ) from None


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
