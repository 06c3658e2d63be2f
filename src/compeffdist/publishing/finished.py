"""The run that is exported: one state of the data, committed, whole as far as the export reads it, without withdrawn
texts. What it holds is read by the hashes in its lock, never just from where it should lie."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from compeffdist.artefacts import BASE, EMBEDDER, TEACHER, TEXTS, TRAINING, rejects_of
from compeffdist.canonical import hash_text
from compeffdist.errors import UserError
from compeffdist.gates.outcome import report_of
from compeffdist.lineage.byte_checks import chain_problems
from compeffdist.lineage.repository import WORKSPACE, Item, Lock, Repository
from compeffdist.lineage.snapshot import TRAINED_BY, Snapshot
from compeffdist.models import ModelIdentity, read_identity
from compeffdist.texts.withdrawals import WITHDRAWALS, withdrawn_ids

UNNAMED = "compeffdist-student"
"""What the student of a run is called that registered none."""


@dataclass(frozen=True)
class FinishedRun:
    """A state of the data that may be exported."""

    repository: Repository
    lock: Lock
    commit: str
    """The first commit that holds it."""
    time: datetime
    """Of that commit, UTC: when the run had ended. Nothing in a lock says when a stage ran."""

    @cached_property
    def snapshot(self) -> Snapshot:
        """Its records, joined by id."""
        return Snapshot(self.repository, self.lock)

    @property
    def name(self) -> str:
        """What its student is called in the registry."""
        return str(self.lock.param("registry.model_name") or UNNAMED)

    @property
    def lock_sha256(self) -> str:
        """Hash of its dvc.lock, the name of the whole state."""
        return hash_text(self.lock.text)

    def file(self, path: str) -> Path:
        """A file with an out's bytes. Raises UserError if the run has no such out, or its bytes are not here."""
        found = self.repository.locate(self._item(path))
        if found is None:
            raise UserError(f"{path}: not the bytes that dvc.lock names: dvc checkout, dvc pull, or make it: dvc repro")
        return found

    def json(self, path: str) -> Any:
        """What a JSON out says. Raises UserError as `file`."""
        content = self.repository.content(self._item(path), self.lock.commits)
        return json.loads(self.file(path).read_bytes() if content is None else content)

    def identity(self, path: str) -> ModelIdentity:
        """An identity, `artefacts.TEACHER` or another. Raises UserError as `file`."""
        return read_identity(self.file(path))

    @cached_property
    def identities(self) -> dict[str, ModelIdentity]:
        """Of teacher, student base and embedder, by role."""
        roles = {"teacher": TEACHER, "student": BASE, "embedder": EMBEDDER}
        return {role: self.identity(path) for role, path in roles.items()}

    def trained_rows(self) -> list[str]:
        """Ids of the triplets that the student was trained on. Raises UserError as `file`."""
        for path in (TRAINING, rejects_of(TRAINED_BY)):
            self.file(path)
        return self.snapshot.kept_triplet_ids()

    def _item(self, path: str) -> Item:
        if path not in self.lock.outs:
            raise UserError(f"{path}: no stage of this run made it: dvc repro, then commit")
        return self.lock.outs[path]


def lock_here(repository: Repository) -> Lock:
    """The state of the data in the working folder, with the commits that hold it. Raises UserError if nothing was
    run."""
    here = next((one for one in repository.locks() if WORKSPACE in one.places), None)
    return here or repository.workspace_lock()  # which says what to do


def open_run(repository: Repository, needed: Sequence[str], lock: Lock | None = None) -> FinishedRun:
    """The run of the working folder, or that of another lock of this repository.

    Args:
        needed: outs that the export reads, or speaks of.

    Raises:
        UserError: nothing was run; an out is missing, or the stages that lead to it did not run on each other's outs;
            the lock is in no commit; a text of the run was withdrawn, or whether one was cannot be told.
    """
    chosen = lock or lock_here(repository)
    if problems := chain_problems(chosen, _stages_behind(chosen, needed)):
        raise UserError(f"the run is not finished: {problems[0]}; run: dvc repro, then commit")
    run = FinishedRun(repository, chosen, *_first_commit(repository, chosen))
    for path in needed:
        run._item(path)
    _refuse_withdrawn(run)
    return run


def _stages_behind(lock: Lock, outs: Collection[str]) -> set[str]:
    """The stages that outs were made by, and those that their inputs were made by."""
    waiting = [lock.makers[path] for path in outs if path in lock.makers]
    found: set[str] = set()
    while waiting:
        stage = waiting.pop()
        if stage not in found:
            found.add(stage)
            waiting += [lock.makers[dep.path] for dep in lock.stages[stage].deps if dep.path in lock.makers]
    return found


def _first_commit(repository: Repository, lock: Lock) -> tuple[str, datetime]:
    """The first commit that holds a lock, of the branch checked out if that has one, and its time."""
    if not lock.commits:
        raise UserError(
            'dvc.lock is in no commit, which says of what and when an export is: git add -A && git commit -m "A run"'
        )
    branch = branch_times(repository)
    own = [commit for commit in lock.commits if commit in branch]
    commit = (own or lock.commits)[-1]
    if commit in branch:
        return commit, branch[commit]
    seconds = repository.history.text("show", "--no-patch", "--format=%ct", commit)
    return commit, datetime.fromtimestamp(int(seconds), UTC)


def branch_times(repository: Repository) -> dict[str, datetime]:
    """Commit -> when it was made, UTC, of every commit that the one checked out stands on. Other branches and
    experiments are not the same in every clone."""
    if not repository.history.head():
        return {}
    lines = repository.history.text("rev-list", "--format=%H %ct", "HEAD").splitlines()
    told = (line.split() for line in lines if not line.startswith("commit "))
    return {commit: datetime.fromtimestamp(int(seconds), UTC) for commit, seconds in told}


def _refuse_withdrawn(run: FinishedRun) -> None:
    withdrawn = withdrawn_ids(run.repository.root / WITHDRAWALS)
    if not withdrawn:
        return
    if run.snapshot.table(TEXTS) is None:
        raise UserError(
            f"whether this run holds a withdrawn text cannot be told: its {TEXTS} is not here: dvc fetch --all-commits"
        )
    held = sorted(withdrawn.intersection(run.snapshot.values(TEXTS, "id")))
    if held:
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        raise UserError(
            f"{held[0]}{more}: withdrawn, and still in what is to be exported: dvc repro makes data and student "
            "without it; commit that, and export it"
        )


def gate_outs(lock: Lock) -> list[str]:
    """The reports of gates among the outs of a lock, in the order of the pipeline."""
    return [path for path in lock.outs if path == report_of(Path(path).stem)]


def gate_reports(run: FinishedRun) -> dict[str, Any]:
    """What each gate of a run found, by the gate's name, in the order of the pipeline."""
    return {Path(path).stem: run.json(path) for path in gate_outs(run.lock)}
