"""From a row to the model and back: everything one id was made from, and everything made of it.

An id is looked for in the working folder's data first, then in that of every commit and experiment, newest
first, so a row that is gone from the data is found where it last was.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError, one_line
from compeffdist.ledger import Entry
from compeffdist.lineage.facts import Facts, answer_facts, facts_of, model_name, reject_facts
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.snapshot import SAMPLE, STUDENT, Node, Snapshot
from compeffdist.lineage.versions import SCHEME, Version, find_version
from compeffdist.records import Reject, Text, Triplet
from compeffdist.teacher.store import ResponseStore, StoredAnswer


@dataclass(frozen=True)
class Trace:
    """The ancestry and the descent of `subject`."""

    subject: str
    kind: str
    snapshot: Snapshot = field(repr=False)
    """The state of the data it was found in."""
    places: tuple[str, ...]
    """Every working folder, commit and experiment whose data holds it."""
    facts: Facts
    ancestors: tuple[str, ...]
    """Ids of records, nearest first."""
    descendants: tuple[str, ...]
    versions: tuple[Version, ...]
    """Model versions trained on it, or the version itself."""
    rejects: tuple[Reject, ...]
    """Why a stage did not pass it on, where one did not."""
    ledger: tuple[Entry, ...] = ()
    """Promotions and rollbacks of these versions, in order."""

    @property
    def missing(self) -> list[str]:
        """Artefacts whose bytes are not on this machine: the trace is incomplete where they stood."""
        return [item.path for item in self.snapshot.missing]

    def to_json(self) -> dict[str, Any]:
        """All of it for machines, records in full."""
        nodes = self.snapshot.nodes
        shown = [key for key in (self.subject, *self.ancestors, *self.descendants) if key in nodes]
        return {
            "subject": self.subject,
            "kind": self.kind,
            "found_in": list(self.places),
            "facts": dict(self.facts),
            "ancestors": list(self.ancestors),
            "descendants": list(self.descendants),
            "nodes": {key: _plain(nodes[key]) for key in shown},
            "rejects": [reject.to_row() for reject in self.rejects],
            "model_versions": [
                {"reference": v.reference, "aliases": list(v.aliases), "tags": dict(v.tags), "at": v.registered_at}
                for v in self.versions
            ],
            "ledger": [{"at": e.at, "who": e.who, "action": e.action, **e.body} for e in self.ledger],
            "missing_artefacts": self.missing,
        }


def _plain(node: Node) -> dict[str, Any]:
    return {"kind": node.kind, "artefact": node.path, "parents": list(node.parents), "record": node.record.to_row()}


class Tracer:
    """Looks ids up over the history of a repository.

    Args:
        versions: of the registered model.
        store: the response store, if this machine has it.
        ledger: the promotions.
    """

    def __init__(
        self,
        repository: Repository,
        versions: list[Version],
        store: Path | None = None,
        ledger: Sequence[Entry] = (),
    ) -> None:
        self.repository, self.versions, self.store, self.ledger = repository, versions, store, ledger
        self.snapshots = [Snapshot(repository, lock) for lock in repository.locks()]

    def trace(self, reference: str) -> Trace:
        """Trace a record by its id, a student by its id, or a version by `models:/name/3` or `…@alias`.

        Raises:
            UserError: if nothing of that name is in any state of the data, or it is an ambiguous beginning.
        """
        if reference.startswith(SCHEME):
            return self._of_version(find_version(self.versions, reference))
        for version in self.versions:
            if reference and reference == version.tags.get("student_id"):
                return self._of_version(version)
        return self._of_record(reference)

    # ------------------------------------------------------------ records

    def _of_record(self, reference: str) -> Trace:
        found, key = self._find(reference)
        places = tuple(place for s in self._holding(found, key) for place in s.lock.places)
        node = found.nodes.get(key)
        descendants = found.descendants(key)
        reached = [key, *descendants]
        return Trace(
            subject=key,
            kind=node.kind if node else "rejected record",
            snapshot=found,
            places=places,
            facts=[*self.facts(node, found), *(fact for r in found.rejects.get(key, ()) for fact in reject_facts(r))]
            if node
            else [fact for reject in found.rejects[key] for fact in reject_facts(reject)],
            ancestors=tuple(found.ancestors(key)),
            descendants=tuple(descendants),
            rejects=tuple(reject for other in reached for reject in found.rejects.get(other, ())),
            **self._uses(self._trained_on(key)),
        )

    def _find(self, reference: str) -> tuple[Snapshot, str]:
        """The newest state of the data that holds an id, given whole or as an unambiguous beginning."""
        for snapshot in self.snapshots:
            if reference in snapshot.nodes or reference in snapshot.rejects:
                return snapshot, reference
        for snapshot in self.snapshots:
            matches = sorted(key for key in (snapshot.nodes | snapshot.rejects) if key.startswith(reference))
            if len(matches) > 1 and "_" in reference:
                raise UserError(f"{reference}: {len(matches)} ids begin so, such as {matches[0]} and {matches[1]}")
            if matches and "_" in reference:
                return snapshot, matches[0]
        absent = {item.path for snapshot in self.snapshots for item in snapshot.missing}
        hint = f"; {len(absent)} artefacts are not on this machine: dvc fetch --all-commits" if absent else ""
        raise UserError(
            f"{one_line(reference, 80)}: in no data of the working folder or of {len(self.snapshots)} states "
            f"known to git{hint}"
        )

    def _holding(self, first: Snapshot, key: str) -> Iterator[Snapshot]:
        for snapshot in self.snapshots:
            if snapshot is first or key in snapshot.nodes or key in snapshot.rejects:
                yield snapshot

    def _trained_on(self, key: str) -> list[Version]:
        """Versions whose training set holds `key` or a row made from it."""
        found: dict[int, Version] = {}
        for snapshot in self.snapshots:
            own = [version for version in self.versions if version.is_of(snapshot.lock)]
            if own and key in snapshot.nodes and kept_below(snapshot, key):
                found.update({version.number: version for version in own})
        return sorted(found.values(), key=lambda version: -version.number)

    def facts(self, node: Node, snapshot: Snapshot) -> Facts:
        """What is known of a record, with the teacher's raw answer where it has one."""
        facts = list(facts_of(node, snapshot))
        answer_id = getattr(node.record, "answer_id", "")
        return [*facts, *answer_facts(self._answer(answer_id))] if answer_id else facts

    def _answer(self, answer_id: str) -> StoredAnswer | None:
        if self.store is None or not self.store.exists():
            return None
        with ResponseStore(self.store) as store:
            return store.rows([answer_id]).get(answer_id)

    # ------------------------------------------------------------ versions

    def _of_version(self, version: Version) -> Trace:
        lock = version.lock([snapshot.lock for snapshot in self.snapshots])
        if lock is None:
            raise UserError(
                f"{version.reference}: no commit, experiment or working folder has the data it was trained on "
                f"(data/sampled.parquet with MD5 {version.tags.get('dataset_md5', 'unknown')}); git fetch may bring it"
            )
        snapshot = next(s for s in self.snapshots if s.lock is lock)
        kept = kept_samples(snapshot)
        parents: dict[str, None] = dict.fromkeys(kept)
        for key in kept:
            parents.update(dict.fromkeys(snapshot.ancestors(key)))
        return Trace(
            subject=version.reference,
            kind="model version",
            snapshot=snapshot,
            places=lock.places,
            facts=version_facts(version, snapshot, kept),
            ancestors=tuple(parents),
            descendants=(),
            rejects=(),
            **self._uses([version]),
        )

    def _uses(self, versions: list[Version]) -> dict[str, Any]:
        numbers = {version.number for version in versions}
        entries = [entry for entry in self.ledger if numbers & {entry.body.get("from"), entry.body.get("to")}]
        return {"versions": tuple(versions), "ledger": tuple(entries)}


def kept_samples(snapshot: Snapshot) -> list[str]:
    """Ids of the triplets a student was trained on: kept by the sampler and not refused by the training."""
    return [
        draw.sample_id
        for draw in snapshot.records(SAMPLE)
        if draw.kept and not any(r.stage == "train_student" for r in snapshot.rejects.get(draw.sample_id, ()))
    ]


def kept_below(snapshot: Snapshot, key: str) -> list[str]:
    """Those of a student's training rows that `key` is, or that were made from it."""
    own = getattr(snapshot.nodes[key].record, "sample_id", key)
    reached = {own, *snapshot.descendants(key)}
    return [sample for sample in kept_samples(snapshot) if sample in reached]


def version_facts(version: Version, snapshot: Snapshot, kept: Sequence[str]) -> Facts:
    """Where a version comes from, in short."""
    tags = version.tags
    triplets = sum(isinstance(node.record, Triplet) for node in snapshot.nodes.values())
    return [
        ("aliases", ", ".join(version.aliases) or "none"),
        ("registered", version.registered_at),
        ("student", f"{tags.get('student_id', 'unknown')} ({tags.get('method', 'unknown')} fine-tuning)"),
        ("trained on", f"{len(kept)} of {triplets} triplets; {STUDENT} {snapshot.lock.md5(STUDENT)}"),
        ("teacher", model_name(snapshot, tags.get("teacher_id", ""))),
        ("base", model_name(snapshot, tags.get("base_id", ""))),
        ("commit", tags.get("git_commit", "unknown")),
        ("gates", tags.get("gates", "unknown")),
        ("macro-F1", f"{tags.get('metric.macro_f1_student', '?')}, base {tags.get('metric.macro_f1_base', '?')}"),
        ("texts", source_counts(snapshot, kept)),
        ("tasks", task_counts(snapshot, kept)),
    ]


def source_counts(snapshot: Snapshot, kept: Sequence[str]) -> str:
    """How many of a training set's rows are on texts of each source, and under which licence."""
    texts = (snapshot.nodes[_triplet(snapshot, key).text_id].record for key in kept)
    counts = Counter((text.source, text.licence) for text in texts if isinstance(text, Text))
    return ", ".join(
        f"{count} rows from {one_line(source, 40)} ({one_line(licence, 40)})"
        for (source, licence), count in sorted(counts.items())
    )


def task_counts(snapshot: Snapshot, kept: Sequence[str]) -> str:
    """How many of a training set's rows are of each task."""
    counts = Counter(_triplet(snapshot, key).task_name for key in kept)
    return ", ".join(f"{count} rows of {one_line(name, 40)}" for name, count in counts.most_common())


def _triplet(snapshot: Snapshot, key: str) -> Triplet:
    record = snapshot.nodes[key].record
    assert isinstance(record, Triplet)
    return record
