"""Runs an arm by `dvc exp run --temp`: in a folder of its own, on the commit checked out, up to its evaluation.

DVC makes in that folder only what the arm's params change, and takes all else from its cache. Bought answers, kept
scores and checkpoints are those of the checkout, so that no arm buys an answer twice or scores a triplet twice, and a
run that was killed goes on from the last checkpoint of its training.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from compeffdist.artefacts import PROXY, STUDENT, WARM_UP
from compeffdist.environment import quiet
from compeffdist.errors import UserError, one_line
from compeffdist.experiments.plan import Run
from compeffdist.experiments.results import LAST
from compeffdist.files import home_path, write_json
from compeffdist.lineage.repository import LOCK, WORKSPACE, Lock, Repository
from compeffdist.params import LOCAL_MODELS, SOURCES

OWN = Path(".compeffdist/experiments")
MARKER = OWN / "running.json"
TIMES = OWN / "times.jsonl"
"""How long each run took that was made here."""
FOLDERS = Path(".dvc/tmp/exps/standalone")
"""Where DVC makes the folders of experiments."""
SHARED = ("store", "scores", "checkpoints")
"""Of `runtime`: kept by the checkout for all arms."""
LARGE = 1 << 20
"""Bytes of a file of weights: what is smaller is kept."""


@contextmanager
def alone() -> Iterator[int]:
    """Only one process runs experiments in a checkout; yields the descriptor that holds its lock. What a killed one
    left of DVC's folders is removed. Raises UserError if another is running, or what it started still is."""
    OWN.mkdir(parents=True, exist_ok=True)
    with (OWN / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("experiments are running already in this checkout: wait for them, or end them") from None
        _remove_left()
        yield lock.fileno()


def make(run: Run, lock: int, root: Path = Path()) -> None:
    """Run one arm at one seed to its evaluation, its lines in a log of its own. Raises UserError, naming the log, if it
    failed.

    Args:
        lock: descriptor of `alone`; what is started holds it, too, so that nothing else runs beside what a kill left.
    """
    log, begun = OWN / f"{run.name}.log", time.monotonic()
    write_json(MARKER, {"before": _folders()})
    try:
        with log.open("w", encoding="utf-8") as stream:
            ended = subprocess.run(
                _command(run, root),
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(),
                pass_fds=(lock,),
                check=False,
            )
    finally:
        _remove_left()
    if ended.returncode:
        said = [
            line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith(("error:", "ERROR:"))
        ]
        why = one_line(said[0], 300) if said else f"dvc ended with {ended.returncode}"
        raise UserError(f"{run.name}: {why}; its lines are in {log}")
    line = {"experiment": run.experiment, "arm": run.arm, "seed": run.seed, "seconds": round(time.monotonic() - begun)}
    with TIMES.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def drop_weights(repository: Repository, commit: str) -> int:
    """Remove from DVC's cache the weights that only this experiment has; the bytes freed. Its records and figures
    stay."""
    own = Lock((repository.file_at(commit, LOCK) or b"").decode("utf-8", "replace"), (commit,))
    others = [
        lock
        for lock in repository.locks()
        if lock.text != own.text or WORKSPACE in lock.places or set(lock.commits) != {commit}
    ]
    kept = {md5 for lock in others for path in (STUDENT, WARM_UP, PROXY) for md5 in _files(repository, lock, path)}
    freed = 0
    for path in (STUDENT, WARM_UP, PROXY):
        for md5 in _files(repository, own, path) - kept:
            place = repository.object_path(md5)
            if place.is_file() and place.stat().st_size >= LARGE:
                freed += place.stat().st_size
                place.unlink()
    return freed


def _files(repository: Repository, lock: Lock, path: str) -> set[str]:
    item = lock.outs.get(path)
    return {md5 for _, md5 in (repository.listing(item) or [])} if item is not None else set()


def _command(run: Run, root: Path) -> list[str]:
    shared = {f"runtime.{name}": str(home_path(getattr(run.params.runtime, name)).absolute()) for name in SHARED}
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", run.name]
    for key, value in {**shared, **run.settings}.items():
        command += ["--set-param", f"{key}={json.dumps(value)}"]
    for folder in (SOURCES, LOCAL_MODELS):
        if any(path.is_file() for path in (root / folder).rglob("*")):
            command += ["--copy-paths", folder]
    return [*command, LAST]


def _environment() -> Mapping[str, str]:
    """Of DVC and its stages, which run the code of the folder they are in."""
    quiet()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONPATH": "src", "PYTHONUNBUFFERED": "1"}


def _folders() -> list[str]:
    return sorted(path.name for path in FOLDERS.glob("*")) if FOLDERS.is_dir() else []


def _remove_left() -> None:
    """Remove the folders that DVC made since the marker was written: DVC does so itself, unless it is killed."""
    if not MARKER.exists():
        return
    before = json.loads(MARKER.read_text(encoding="utf-8"))["before"]
    for name in _folders():
        if name not in before:
            shutil.rmtree(FOLDERS / name, ignore_errors=True)
    MARKER.unlink()
