"""From a row to the model and back: everything one id was made from, and everything made of it.

An id is looked for in the working folder's data first, then in that of every commit and experiment, newest
first, so a row that is gone from the data is found where it last was.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from compeffdist.artefacts import ANSWERED, PAIRS, STUDENT, TEXTS, TRAINING
from compeffdist.errors import UserError, one_line
from compeffdist.ledger import Entry
from compeffdist.lineage.facts import Facts, answer_facts, facts_of, model_name, reject_facts
from compeffdist.lineage.own_ids import key_of_row
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.snapshot import Node, Reached, Snapshot, snapshots_of
from compeffdist.lineage.versions import Version, find_version
from compeffdist.records import Draw, PredictedDifficulty, Reject, ScoredTriplet
from compeffdist.teacher.known import KnownAnswers
from compeffdist.tracking_uri import SCHEME

ABSENT = "not on this machine"
ANSWER_ID = "answer_"
NAMED_TASKS = 8
"""Of a training set's tasks, those that are named, the most frequent."""


@dataclass(frozen=True)
class TrainingSet:
    """A training set that holds a row, or rows made from it."""

    md5: str
    """Of data/training.parquet."""
    rows: int
    """How many of its rows are that row or made from it."""
    places: tuple[str, ...]
    """Where it stands: working folder, commits, experiments."""


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
    training_sets: tuple[TrainingSet, ...]
    """Those that hold it, registered students or not; the newest first."""
    versions: tuple[Version, ...]
    """Model versions trained on it, or the version itself."""
    ledger: tuple[Entry, ...]
    """Promotions and rollbacks of these versions, in order."""
    ancestors: Reached = field(default_factory=dict)
    """Ids of records, nearest first, each with its artefact."""
    descendants: Reached = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()
    """Why a stage did not pass it on, where one did not."""

    @property
    def missing(self) -> list[str]:
        """Artefacts whose bytes are not on this machine: the trace is incomplete where they stood."""
        return [item.path for item in self.snapshot.missing]

    def nodes(self) -> dict[str, Node]:
        """Itself, if it is a record, its ancestors and its descendants, in that order."""
        path = self.snapshot.path_of(self.subject)
        own = {self.subject: path} if path else {}
        return self.snapshot.nodes({**own, **self.ancestors, **self.descendants})

    def to_json(self) -> dict[str, Any]:
        """All of it for machines, records in full."""
        nodes = {
            key: {"kind": node.kind, "artefact": node.path, "parents": node.parents, "record": node.record.to_row()}
            for key, node in self.nodes().items()
        }
        return {
            "subject": self.subject,
            "kind": self.kind,
            "found_in": self.places,
            "facts": dict(self.facts),
            "ancestors": list(self.ancestors),
            "descendants": list(self.descendants),
            "nodes": nodes,
            "rejects": [reject.to_row() for reject in self.rejects],
            "training_sets": [asdict(held) for held in self.training_sets],
            "model_versions": [
                {"reference": v.reference, "aliases": v.aliases, "tags": dict(v.tags), "at": v.registered_at}
                for v in self.versions
            ],
            "ledger": [{"at": e.at, "who": e.who, "action": e.action, **e.body} for e in self.ledger],
            "missing_artefacts": self.missing,
        }


@dataclass(frozen=True)
class Tracer:
    """Looks ids up over the history of a repository."""

    repository: Repository
    versions: list[Version]
    known: KnownAnswers
    ledger: Sequence[Entry] = ()
    """Of promotions."""
    unlooked: str = ""
    """A registry that cannot be looked into, as a rule empty."""

    @cached_property
    def snapshots(self) -> list[Snapshot]:
        """Every state of the data, that of the working folder first."""
        return snapshots_of(self.repository)

    def trace(self, reference: str) -> Trace:
        """Trace a record by its id, a raw answer or a student by its, or a version by `models:/name/3` or `…@alias`.
        Raises UserError if nothing of that name is in any state of the data, or it is an ambiguous beginning."""
        if reference.startswith(SCHEME):
            return self._of_version(find_version(self.versions, reference))
        if reference.startswith(ANSWER_ID):
            return self._of_answer(reference)
        for version in self.versions:
            if reference and reference == version.tags.get("student_id"):
                return self._of_version(version)
        return self._of_record(reference)

    # ------------------------------------------------------------ records

    def _of_record(self, reference: str) -> Trace:
        found, key = self._find(reference)
        found.read_all()  # what is missing must be said even where nothing leads to it
        node, descendants = found.node(key), found.made_of(key)
        path = descendants.pop(key, "")
        rejects = found.rejects([key, *descendants])
        own = [fact for reject in rejects if reject.record_id == key for fact in reject_facts(reject)]
        return Trace(
            subject=key,
            kind=node.kind if node else "rejected record",
            snapshot=found,
            places=tuple(p for s in self.snapshots if s is found or s.holds(key) for p in s.lock.places),
            facts=[*(self.facts(node, found) if node else ()), *own],
            ancestors=found.ancestors([key], path) if path else {},
            descendants=descendants,
            rejects=tuple(rejects),
            **self._uses([key]),
        )

    def _find(self, reference: str) -> tuple[Snapshot, str]:
        """The newest state of the data that holds an id, given whole, as that of a row in its source, or as an
        unambiguous beginning: what is meant as a whole comes first."""
        for snapshot in self.snapshots:
            if snapshot.holds(reference):
                return snapshot, reference
        for snapshot in self.snapshots if reference else ():
            if key := key_of_row(snapshot, reference):
                return snapshot, key
        for snapshot in self.snapshots if "_" in reference and ":" not in reference else ():
            matches = snapshot.beginning(reference)
            if len(matches) > 1:
                raise UserError(
                    f"{one_line(reference, 80)}: {len(matches)} ids begin so, such as {matches[0]} and {matches[1]}"
                )
            if matches:
                return snapshot, matches[0]
        if not {"_", ":"} & {*reference}:
            raise UserError(
                f"{one_line(reference, 80)}: not an id, and no source has a row of that id: one looks like text_…, "
                "SOURCE:ROW or models:/NAME/VERSION"
            )
        for snapshot in self.snapshots:
            snapshot.read_all()
        absent = {item for snapshot in self.snapshots for item in snapshot.missing}
        lack = f"; {len(absent)} artefacts of them are not on this machine, and a remote may have them"
        hint = f"{lack} (dvc fetch --all-commits)" if absent else ""
        raise UserError(
            f"{one_line(reference, 80)}: in no data of the working folder or of {len(self.snapshots)} states "
            f"known to git{hint}{self.repository.shallow_hint}"
        )

    def _uses(self, keys: Sequence[str]) -> dict[str, Any]:
        """Versions and training sets whose rows hold one of `keys` or a row made from it, and the ledger on them."""
        versions: dict[int, Version] = {}
        samples: dict[str, TrainingSet] = {}
        for snapshot in self.snapshots:
            rows = len({sample for key in keys for sample in kept_below(snapshot, key)})
            if not rows:
                continue
            md5 = snapshot.lock.md5(TRAINING)
            places = samples[md5].places if md5 in samples else ()
            samples[md5] = TrainingSet(md5, rows, (*places, *snapshot.lock.places))
            versions.update({version.number: version for version in self.versions if version.is_of(snapshot.lock)})
        newest_first = tuple(sorted(versions.values(), key=lambda version: -version.number))
        return {"versions": newest_first, "training_sets": tuple(samples.values()), "ledger": self._entries(*versions)}

    def _entries(self, *numbers: int) -> tuple[Entry, ...]:
        """The ledger's on versions of these numbers."""
        return tuple(e for e in self.ledger if {e.body.get("from"), e.body.get("to")}.intersection(numbers))

    def facts(self, node: Node, snapshot: Snapshot) -> Facts:
        """What is known of a record, with the teacher's raw answer where it has one."""
        facts = list(facts_of(node, snapshot))
        answer_id = getattr(node.record, "answer_id", "")
        return [*facts, *answer_facts(self.known.find([answer_id]).get(answer_id))] if answer_id else facts

    # ------------------------------------------------------------ answers

    def _of_answer(self, key: str) -> Trace:
        """An answer by its key: where it is, and the records that were read from it."""
        found = self.known.find([key]).get(key)
        naming = [snapshot for snapshot in self.snapshots if _read_from(snapshot, key)]
        if found is None and not naming:
            raise UserError(f"{one_line(key, 80)}: no such answer in the store, in a record, or behind any known data")
        snapshot = naming[0] if naming else self.snapshots[0]
        own = _read_from(snapshot, key)
        below: Reached = dict(own)
        for record in own:
            below |= {k: p for k, p in snapshot.made_of(record).items() if k not in below}
        return Trace(
            subject=key,
            kind="raw answer",
            snapshot=snapshot,
            places=tuple(place for one in naming for place in one.lock.places),
            facts=answer_facts(found),
            descendants=below,
            **self._uses(list(own)),
        )

    # ------------------------------------------------------------ versions

    def _of_version(self, version: Version) -> Trace:
        lock = version.lock([snapshot.lock for snapshot in self.snapshots])
        if lock is None:
            raise UserError(
                f"{version.reference}: no commit, experiment or working folder has the data it was trained on "
                f"({TRAINING} with MD5 {version.tags.get('dataset_md5', 'unknown')}); git fetch may bring it"
                f"{self.repository.shallow_hint}"
            )
        snapshot = next(s for s in self.snapshots if s.lock is lock)
        snapshot.read_all()
        kept = snapshot.kept_triplet_ids()
        md5 = snapshot.lock.md5(TRAINING)
        places = tuple(p for s in self.snapshots if s.lock.md5(TRAINING) == md5 for p in s.lock.places)
        return Trace(
            subject=version.reference,
            kind="model version",
            snapshot=snapshot,
            places=lock.places,
            facts=version_facts(version, snapshot, kept),
            ancestors=snapshot.first_held(kept) | snapshot.ancestors(kept, TRAINING),
            versions=(version,),
            training_sets=(TrainingSet(md5, len(kept), places),),
            ledger=self._entries(version.number),
        )


def _read_from(snapshot: Snapshot, answer_id: str) -> Reached:
    """The records of a state of the data that an answer became, each with where it stands first."""
    found: Reached = {}
    for path in ANSWERED:
        found |= {key: path for key in snapshot.values(path, "id", "answer_id", [answer_id]) if key not in found}
    return found


def kept_below(snapshot: Snapshot, key: str) -> list[str]:
    """Those of a student's training rows that `key` is, or that were made from it, or that it is about."""
    reached, node = set(snapshot.made_of(key)), snapshot.node(key)
    if node and isinstance(node.record, ScoredTriplet | PredictedDifficulty | Draw):
        reached.update(snapshot.values(TRAINING, "id", "pair_id", [node.record.pair_id]))
    return [sample for sample in snapshot.kept_triplet_ids() if sample in reached] if reached else []


def version_facts(version: Version, snapshot: Snapshot, kept: Sequence[str]) -> Facts:
    """Where a version comes from, in short."""
    tags = version.tags
    pairs = len(snapshot.values(PAIRS, "id"))
    return [
        ("aliases", ", ".join(version.aliases) or "none"),
        ("registered", version.registered_at),
        ("student", f"{tags.get('student_id', 'unknown')} ({tags.get('method', 'unknown')} fine-tuning)"),
        ("trained on", f"{len(kept)} of {pairs} pairs; {STUDENT} {snapshot.lock.md5(STUDENT)}"),
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
    fields = (snapshot.values(TEXTS, field) for field in ("id", "source", "licence"))
    origins = {key: (source, licence) for key, source, licence in zip(*fields, strict=True)}
    counts = Counter(origins.get(key, ("a text", ABSENT)) for key in snapshot.values(TRAINING, "text_id", "id", kept))
    return ", ".join(
        f"{count} rows from {one_line(source, 40)} ({one_line(licence, 40)})"
        for (source, licence), count in sorted(counts.items())
    )


def task_counts(snapshot: Snapshot, kept: Sequence[str]) -> str:
    """How many of a training set's rows are of each task."""
    counts = Counter(snapshot.values(TRAINING, "task_name", "id", kept))
    named = [f"{count} rows of {one_line(name, 40)}" for name, count in counts.most_common(NAMED_TASKS)]
    rest = len(counts) - len(named)
    return ", ".join([*named, f"and {rest} more tasks"] if rest else named)
