"""The audit: every link from source to model, hashed and looked up again, trusting nobody's record of itself.

It reads each artefact, cache object, weight and stored answer once: about as long as reading them from disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from compeffdist.errors import UserError
from compeffdist.ledger import Ledger
from compeffdist.lineage import byte_checks, record_checks
from compeffdist.lineage.links import Audit, Link, judged
from compeffdist.lineage.model_checks import answer_links, signature_links, version_links, weight_links
from compeffdist.lineage.repository import WORKSPACE, Repository
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.versions import Version
from compeffdist.params import SigningParams
from compeffdist.teacher.known import KnownAnswers

FROM_GIT = "restore it with: git checkout HEAD -- and its path"


@dataclass(frozen=True)
class Auditor:
    """What an audit looks at."""

    repository: Repository
    versions: list[Version]
    known: KnownAnswers
    cache: Path
    """Of model weights."""
    ledgers: tuple[Path, ...]
    signing: SigningParams = field(default_factory=SigningParams)
    """By which key signatures of versions are checked."""

    def audit(self) -> Audit:
        """The working folder with all that is around it, and every version that an alias points to or that was
        trained on its data. Raises UserError if nothing was run here."""
        lock = self.repository.workspace_lock()
        snapshot = Snapshot(self.repository, lock)
        links = [
            *byte_checks.workspace_links(self.repository, lock),
            *byte_checks.workspace_inputs_links(self.repository, lock),
            *byte_checks.chain_links(lock),
            *byte_checks.unrun_links(self.repository, lock),
            *byte_checks.cache_links(self.repository, self.repository.locks()),
            *self._contents(snapshot),
            *self._ledgers(),
        ]
        for version in self.versions:
            if version.is_of(lock):
                links += [*version_links(version, snapshot), *signature_links(version, self.signing)]
            elif version.aliases:
                links += self.version_audit(version).links
        return Audit(tuple(links), *byte_checks.absence(self.repository, lock))

    def version_audit(self, version: Version) -> Audit:
        """One version with the data it was trained on, which need not be that of the working folder."""
        lock = version.lock(self.repository.locks())
        if lock is None:
            why = "no commit, experiment or working folder has the data it was trained on"
            why += self.repository.shallow_hint
            return Audit((Link("registry", version.reference, "FAIL", why),))
        snapshot = Snapshot(self.repository, lock)
        if WORKSPACE in lock.places:
            links = [*byte_checks.workspace_links(self.repository, lock)]
            links += byte_checks.workspace_inputs_links(self.repository, lock)
        else:
            links = [*byte_checks.stored_links(self.repository, lock)]
            commit = version.tags.get("git_commit", "").removesuffix("-dirty")
            links += byte_checks.committed_inputs_links(self.repository, lock, commit)
        links += byte_checks.chain_links(lock)
        links += self._contents(snapshot)
        links += [*version_links(version, snapshot), *signature_links(version, self.signing)]
        return Audit((*links, *self._ledgers()), *byte_checks.absence(self.repository, lock))

    def _contents(self, snapshot: Snapshot) -> Iterator[Link]:
        """Records, what they say of each other, raw answers and weights of one state of the data."""
        links = list(record_checks.record_links(snapshot))
        yield from links
        if all(link.status == "PASS" for link in links):
            try:
                yield from record_checks.parent_links(snapshot)
                yield from record_checks.account_links(snapshot)
                yield from record_checks.evaluation_links(snapshot)
                yield from answer_links(snapshot, self.known)
            except UserError as error:  # of a damaged file the columns that ids are made of may be read, and others not
                yield Link("records", "what they say of each other", "FAIL", str(error))
        yield from weight_links(snapshot, self.cache, self.known.records)

    def _ledgers(self) -> Iterator[Link]:
        for path in self.ledgers:
            try:
                entries = Ledger(path).entries()
            except UserError as error:
                yield Link("ledger", str(path), "FAIL", str(error))
            else:
                # a chain that was cut off at its end is sound in itself
                place = path.relative_to(self.repository.root) if path.is_absolute() else path
                committed = self.repository.file_at("HEAD", place.as_posix()) or b""
                kept = (path.read_bytes() if path.exists() else b"").startswith(committed)
                lost = f"lines that the last commit has were cut off or replaced ({len(committed)} bytes there)"
                holds = f"an unbroken chain of {len(entries)} entries"
                yield judged("ledger", str(path), [] if kept else [lost], holds, FROM_GIT)
