"""What a run writes into and is kept in: the response store, records, git, DVC, the MLflow store."""

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from compeffdist.declaration import CODE, PIPELINE, read_pipeline
from compeffdist.doctor.finding import Finding
from compeffdist.errors import UserError, one_line
from compeffdist.files import home_path
from compeffdist.fingerprints import fingerprint, recorded_fingerprints
from compeffdist.git import Git, NoRepository
from compeffdist.lineage.repository import LOCK, WORKSPACE, Lock
from compeffdist.network import REQUESTS, environment_faults
from compeffdist.params import PARAMS_FILE, Params
from compeffdist.processes import process_id
from compeffdist.registry.local_store import former_store
from compeffdist.running import STAGE_LOCKS, check_folder
from compeffdist.teacher.recorded import named_records
from compeffdist.teacher.store import answer_count
from compeffdist.tracking_uri import (
    HTTP,
    VARIABLE,
    check_tracking_uri,
    database,
    is_bare_database,
    shown_uri,
    tracking_uri,
)

MERGED = (PIPELINE, Path(LOCK), PARAMS_FILE, Path(CODE))
"""Files that a merge may leave with both sides in them."""
_MARKS = re.compile(rb"^(?:<{7} |>{7} |={7}$)", re.MULTILINE)
BUSY_SECONDS = 2


def store(params: Params) -> Iterator[Finding]:
    """Whether the response store opens and can be written to, and how many answers are in it and in the records."""
    path = home_path(params.runtime.store)
    if path.exists():
        told = f"{path}: {answer_count(path):,} answers"
        if os.access(path, os.W_OK):
            yield Finding("store", "ok", told)
        else:
            yield Finding("store", "fault", f"{told}; may not be written to", "run as its owner, or name another store")
    else:
        yield Finding("store", "ok", f"{path}: not there yet; the first answer makes it")
    for record in named_records(params.runtime):
        try:
            yield Finding("record", "ok", f"{record.folder}: {len(record.keys):,} answers")
        except UserError as error:
            yield Finding("record", "fault", one_line(error, 300))


def git() -> Iterator[Finding]:
    """Whether this is a repository that git reads, and what is not committed."""
    history = Git(Path())
    try:
        head = history.head()
    except NoRepository as error:
        yield Finding("git", "note", str(error), "git init, and commit: runs have a lineage then")
        return
    if not head:
        yield Finding("git", "note", "no commit yet", "git add -A && git commit")
    elif history.changed(LOCK):
        told = f"{head[:10]}, and a run ({LOCK}) that is not committed"
        yield Finding("git", "note", told, "git add -A && git commit, before another run takes its place")
    elif history.changed():
        told = f"{head[:10]}, and changes that are not committed"
        yield Finding("git", "note", told, "commit them after the run, with what it made (git add -A && git commit)")
    else:
        yield Finding("git", "ok", f"{head[:10]}, nothing changed")


def dvc() -> Iterator[Finding]:
    """DVC's repository, what merges left, the lock, the code's fingerprints, and who runs now."""
    check_folder()
    if not Path(".dvc").is_dir():
        yield Finding("dvc", "fault", "no .dvc folder here", "run in the folder of a checkout, or: dvc init")
        return
    broken = [path for path in MERGED if path.is_file() and _MARKS.search(path.read_bytes())]
    for path in broken:
        yield Finding("dvc", "fault", f"{path}: a merge left both sides in it", _merge_advice(path))
    if broken:
        return
    stages = read_pipeline()
    lock = Path(LOCK)
    if lock.exists():
        known = Lock(lock.read_text(encoding="utf-8"), (WORKSPACE,)).stages
        told = f"{LOCK}: {len(known.keys() & stages.keys())} of {len(stages)} stages were run"
    else:
        told = "nothing was run here yet"
    yield Finding("dvc", "ok", told)
    recorded = recorded_fingerprints()
    changed = [name for name, stage in stages.items() if recorded.get(name) != fingerprint(stage)]
    if changed:
        yield Finding("code", "note", f"{len(changed)} stages have other code than {CODE} says", "make repro writes it")
    yield from _running()


def _merge_advice(path: Path) -> str:
    if path == Path(LOCK):
        return f"git checkout --ours {LOCK}, then dvc repro"
    return "make fingerprints" if path == Path(CODE) else "edit it by hand"


def _running() -> Iterator[Finding]:
    """Stages and `dvc` at work in this checkout, by the pids that they leave in files."""
    for file in sorted(STAGE_LOCKS.glob("*.pid")):
        pid = file.read_text(encoding="utf-8", errors="replace").strip()
        if pid.isdigit() and _is_stage(int(pid), file.stem):
            yield Finding("running", "note", f"stage {file.stem}, as process {pid}", "wait for it before another run")
    try:
        held = json.loads(Path(".dvc/tmp/rwlock").read_text(encoding="utf-8") or "{}")
    except (OSError, ValueError):
        return
    for holder in sorted({int(found) for found in re.findall(r'"pid": (\d+)', json.dumps(held))}):
        if process_id(holder):
            yield Finding("running", "note", f"dvc, as process {holder}", "wait for it before another run")
        else:
            yield Finding("running", "ok", f"dvc left locks of process {holder}, which has ended: it takes no notice")


def _is_stage(pid: int, stage: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return stage.encode() in words


def mlflow() -> Iterator[Finding]:
    """Whether the MLflow store can be used: of a file, whether it opens; of a server, whether it could be asked."""
    check_tracking_uri()
    path = database()
    if former := former_store():
        yield Finding("mlflow files", "note", *former)
    if path is None:
        for fault in environment_faults(tracking_uri(), REQUESTS) if tracking_uri().startswith(HTTP) else []:
            yield Finding("mlflow", "fault", fault, "mend or unset the variable")
        yield Finding("mlflow", "ok", f"{shown_uri()}; --online asks it")
        if is_bare_database():
            told = "a database without an MLflow server: what is registered has its files on this machine alone"
            yield Finding("mlflow database", "note", told, f"for others to use it, name a server in {VARIABLE}")
    elif not path.exists():
        writable = os.access(next(folder for folder in path.parents if folder.exists()), os.W_OK)
        told = f"{shown_uri()}: not there yet; the first training makes it"
        yield Finding("mlflow", "ok" if writable else "fault", told, "" if writable else f"{path.parent}: not writable")
    else:
        yield _database(path)


def _database(path: Path) -> Finding:
    try:
        opened = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        with closing(opened) as connection:
            (count,) = connection.execute("SELECT count(*) FROM model_versions").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return Finding("mlflow", "note", f"{path}: another process writes in it", "wait, and look again")
        return Finding("mlflow", "fault", f"{path}: {one_line(error, 100)}", "restore it, or name another store")
    except sqlite3.DatabaseError as error:
        return Finding("mlflow", "fault", f"{path}: {one_line(error, 100)}", "restore it, or name another store")
    if not os.access(path, os.W_OK):
        return Finding("mlflow", "note", f"{path}: {count} versions; may not be written to", "a run will not register")
    return Finding("mlflow", "ok", f"{path}: {count} model versions")
