"""The audit: every link from source to model, hashed and looked up again, trusting nobody's record of itself.

It reads each artefact, cache object, weight and stored answer once: about as long as reading them from disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compeffdist.errors import UserError
from compeffdist.ledger import Ledger
from compeffdist.lineage.byte_checks import (
    cache_links,
    chain_links,
    committed_inputs_links,
    stored_links,
    unrun_links,
    workspace_inputs_links,
    workspace_links,
)
from compeffdist.lineage.links import Audit, Link, judged
from compeffdist.lineage.model_checks import answer_links, version_links, weight_links
from compeffdist.lineage.record_checks import account_links, evaluation_links, parent_links, record_links
from compeffdist.lineage.repository import WORKSPACE, Lock, Repository
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.versions import Version
from compeffdist.teacher.recorded import AnswerRecord

FROM_GIT = "restore it with: git checkout HEAD -- and its path"


@dataclass(frozen=True)
class Auditor:
    """What an audit looks at."""

    repository: Repository
    versions: list[Version]
    store: Path
    cache: Path
    """Of model weights."""
    ledgers: tuple[Path, ...]
    records: tuple[AnswerRecord, ...] = ()
    """Of answers, as `runtime.recorded` names them."""

    def audit(self) -> Audit:
        """The working folder with all that is around it, and every version that an alias points to or that was
        trained on its data.

        Raises:
            UserError: if nothing was run here.
        """
        lock = self.repository.workspace_lock()
        snapshot = Snapshot(self.repository, lock)
        links = [
            *workspace_links(self.repository, lock),
            *workspace_inputs_links(self.repository, lock),
            *chain_links(lock),
            *unrun_links(self.repository, lock),
            *cache_links(self.repository, self.repository.locks()),
            *self._contents(snapshot),
            *self._ledgers(),
        ]
        for version in self.versions:
            if version.is_of(lock):
                links += version_links(version, snapshot)
            elif version.aliases:
                links += self.version_audit(version).links
        return Audit(tuple(links))

    def version_audit(self, version: Version) -> Audit:
        """One version with the data it was trained on, which need not be that of the working folder."""
        lock = version.lock(self.repository.locks())
        if lock is None:
            why = "no commit, experiment or working folder has the data it was trained on"
            why += self.repository.shallow_hint
            return Audit((Link("registry", version.reference, "FAIL", why),))
        snapshot = Snapshot(self.repository, lock)
        here = WORKSPACE in lock.places
        commit = version.tags.get("git_commit", "").removesuffix("-dirty")
        return Audit(
            (
                *(workspace_links if here else stored_links)(self.repository, lock),
                *self._inputs(lock, commit, here),
                *chain_links(lock),
                *self._contents(snapshot),
                *version_links(version, snapshot),
                *self._ledgers(),
            )
        )

    def _inputs(self, lock: Lock, commit: str, here: bool) -> Iterator[Link]:
        if here:
            yield from workspace_inputs_links(self.repository, lock)
        else:
            yield from committed_inputs_links(self.repository, lock, commit)

    def _contents(self, snapshot: Snapshot) -> Iterator[Link]:
        """Records, what they say of each other, raw answers and weights of one state of the data."""
        links = list(record_links(snapshot))
        yield from links
        if all(link.status == "PASS" for link in links):
            yield from parent_links(snapshot)
            yield from account_links(snapshot)
            yield from evaluation_links(snapshot)
            yield from answer_links(snapshot, self.store, self.records)
        yield from weight_links(snapshot, self.cache, self.records)

    def _ledgers(self) -> Iterator[Link]:
        for path in self.ledgers:
            try:
                entries = Ledger(path).entries()
            except UserError as error:
                yield Link("ledger", str(path), "FAIL", str(error))
            else:
                cut = [line for line in [self._cut(path)] if line]
                yield judged("ledger", str(path), cut, f"an unbroken chain of {len(entries)} entries", FROM_GIT)

    def _cut(self, path: Path) -> str:
        """Whether a ledger lacks lines that git has: a chain that was cut off at its end is sound in itself."""
        place = path.relative_to(self.repository.root).as_posix() if path.is_absolute() else path.as_posix()
        committed = self.repository.file_at("HEAD", place) or b""
        present = path.read_bytes() if path.exists() else b""
        if present.startswith(committed):
            return ""
        return f"lines that the last commit has were cut off or replaced ({len(committed)} bytes there)"
