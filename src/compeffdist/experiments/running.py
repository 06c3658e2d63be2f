"""Runs an arm by `dvc exp run --temp`: in a folder of its own, on the commit checked out, up to its evaluation.

DVC makes in that folder only what the arm's params change, and takes all else from its cache. Bought answers and kept
scores are those of the checkout; checkpoints are the run's own, and a run that was killed goes on from the last one.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path

from compeffdist.artefacts import PROXY, STUDENT, WARM_UP
from compeffdist.environment import quiet
from compeffdist.errors import UserError, one_line
from compeffdist.experiments.plan import Run
from compeffdist.experiments.results import LAST
from compeffdist.experiments.settings import hydra_value
from compeffdist.files import home_path, read_json
from compeffdist.lineage.repository import EXPERIMENTS, LOCK, Lock, Repository
from compeffdist.params import LOCAL_MODELS, SOURCES

OWN = Path(".compeffdist/experiments")
TIMES = OWN / "times.jsonl"
"""How long each run took that was made here."""
DVC_RUNS = Path(".dvc/tmp/exps/standalone")
"""Where DVC makes the folders of experiments; `run/` in it says which experiment each is of."""
MARK = "COMPEFFDIST_EXPERIMENTS"
"""Variable that everything has which was started here: the checkout."""
LARGE = 1 << 20
"""Bytes of a file of weights: what is smaller is kept."""
GRACE_SECONDS = 10.0


@contextmanager
def alone(names: Iterable[str]) -> Iterator[None]:
    """Only one process runs experiments in a checkout. What a killed one left running is ended, and DVC's folders of
    the experiments named are removed. Raises UserError if another process is at it."""
    OWN.mkdir(parents=True, exist_ok=True)
    with (OWN / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("experiments are running already in this checkout: wait for them, or end them") from None
        _end_left({*names})
        yield


def make(run: Run, name: str, repository: Repository) -> None:
    """Run one arm at one seed to its evaluation, its lines in a log of its own. Raises UserError, naming the log, if it
    failed."""
    log, begun = OWN / f"{name}.log", time.monotonic()
    head = repository.history.head()
    own = f"{EXPERIMENTS}/{head[:2]}/{head[2:]}/{name}"
    if own in dict(repository.history.refs(own)):  # one that cannot be used any more: DVC gives no name twice
        repository.history.text("update-ref", "-d", own)
    try:
        with log.open("w", encoding="utf-8") as stream:
            command = _command(run, name, repository)
            ended = subprocess.run(
                command, stdout=stream, stderr=subprocess.STDOUT, env=_environment(repository), check=False
            )
    finally:
        _end_left({name})
    if ended.returncode:
        said = [
            line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith(("error:", "ERROR:"))
        ]
        why = one_line(said[0], 300) if said else f"dvc ended with {ended.returncode}"
        raise UserError(f"{name}: {why}; its lines are in {log}")
    line = {"experiment": run.experiment, "arm": run.arm, "seed": run.seed, "seconds": round(time.monotonic() - begun)}
    with TIMES.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def drop_weights(repository: Repository, commit: str, before: Set[Path]) -> None:
    """Remove the weights of an experiment from DVC's cache, of which its records and figures stay.

    Only what this experiment put there: what was there `before`, which a commit or somebody else may need, stays; and
    so does everything where the cache is shared with other checkouts.
    """
    if not repository.cache.resolve().is_relative_to((repository.root / ".dvc").resolve()):
        return
    lock = Lock((repository.file_at(commit, LOCK) or b"").decode("utf-8", "replace"), (commit,))
    for path in (STUDENT, WARM_UP, PROXY):
        item = lock.outs.get(path)
        for _, md5 in (repository.listing(item) or []) if item is not None else []:
            place = repository.object_path(md5)
            if place not in before and place.is_file() and place.stat().st_size >= LARGE:
                place.unlink()


_DVC = (sys.executable, "-m", "dvc")


def _command(run: Run, name: str, repository: Repository) -> list[str]:
    runtime = run.params.runtime
    places = {
        "store": str(home_path(runtime.store).absolute()),
        "scores": str(home_path(runtime.scores).absolute()),
        "checkpoints": str(home_path(runtime.checkpoints).absolute() / name),
        "recorded": [str(home_path(path).absolute()) for path in runtime.recorded],
    }
    command = [*_DVC, "exp", "run", "--temp", "--name", name]
    kept = {f"runtime.{key}": place for key, place in places.items()}
    for key, value in {**kept, **run.settings}.items():
        command += ["--set-param", f"{key}={hydra_value(value)}"]
    # files of the user's own that git does not have, and folders of which it has none: DVC copies each as it is
    own = ("ls-files", "--others", "--directory", "--no-empty-directory", "-z", "--", SOURCES, LOCAL_MODELS)
    for path in filter(None, repository.history.text(*own).split("\0")):
        command += ["--copy-paths", path.rstrip("/")]
    return [*command, LAST]


def _environment(repository: Repository) -> Mapping[str, str]:
    """Of DVC and its stages, which run the code of the folder they are in and log to a store that goes with it. DVC
    goes into that folder with its state open, and would look for it there by a path that is relative."""
    quiet()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    own = {"PATH": path, "PYTHONPATH": "src", "PYTHONUNBUFFERED": "1", MARK: str(Path().absolute())}
    own["DVC_SITE_CACHE_DIR"] = str(repository.state.absolute())
    return {**{k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}, **own}


def _end_left(names: set[str]) -> None:
    """End what still runs of experiments begun in this checkout, and remove DVC's folders of those named: DVC does so
    itself, unless it is killed."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE_SECONDS
        while (left := _processes()) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, sent)
            time.sleep(0.2)
    for info in (DVC_RUNS / "run").glob("*/*.run"):
        about = read_json(info)
        folder = Path(str(about.get("root_dir", "")))
        if about.get("name") in names and folder.parent == DVC_RUNS.absolute():
            shutil.rmtree(folder, ignore_errors=True)


def _processes() -> list[int]:
    """Processes that were started by `make` in this checkout."""
    mark, found = f"{MARK}={Path().absolute()}".encode(), []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (place / "environ").read_bytes().split(b"\0") and place.name != str(os.getpid()):
                found.append(int(place.name))
    return found
