"""The records of one lock, joined by id: what each came from, and what came of it.

A snapshot reads artefacts by the hashes in the lock, from the working folder or DVC's cache, so that a row of
last month's data is traced in last month's data. All records of the pipeline fit in memory by far: 100,000
triplets with all that stands around them are about 1 GB.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from compeffdist.evaluation.predictions import Prediction
from compeffdist.evaluation.tasks import EvaluationRow
from compeffdist.instructions.clusters import read_perspectives
from compeffdist.lineage.repository import Item, Lock, Repository
from compeffdist.models import ModelIdentity, read_identity
from compeffdist.records import (
    Attribute,
    Demonstration,
    Draw,
    Instruction,
    Mention,
    Pair,
    Perspective,
    Record,
    Reject,
    ScoredTriplet,
    Task,
    Text,
    Triplet,
    read_records,
)

CLUSTERS = "data/clusters.json"
SAMPLE = "data/sampled.parquet"
STUDENT = "models/student"
REJECTS = "data/rejects/"

ARTEFACTS: Mapping[str, type[Record]] = {
    "data/texts.parquet": Text,
    "data/mentions.parquet": Mention,
    "data/attributes.parquet": Attribute,
    CLUSTERS: Perspective,
    "data/tasks.jsonl": Task,
    "data/demonstrations.jsonl": Demonstration,
    "data/instructions.jsonl": Instruction,
    "data/pairs.parquet": Pair,
    "data/triplets.parquet": Triplet,
    "data/scored.parquet": ScoredTriplet,
    SAMPLE: Draw,
    "data/evaluation.jsonl": EvaluationRow,
    "data/teacher_predictions.parquet": Prediction,
    "data/student_predictions.parquet": Prediction,
}
"""The artefacts made of records, in the order of the pipeline."""

IDENTITIES = ("models/teacher.json", "models/student.json", "models/embedder.json")

PARENTS: Mapping[type[Record], Callable[[Any], Iterable[str]]] = {
    Mention: lambda r: [r.text_id],
    Perspective: lambda r: r.member_ids,
    Task: lambda r: [r.perspective_id] if r.perspective_id else [],
    Demonstration: lambda r: [r.task_id, *r.reference_text_ids],
    Instruction: lambda r: [r.task_id, *r.demonstration_ids],
    Pair: lambda r: [r.instruction_id, r.text_id],
    Triplet: lambda r: [r.pair_id],
    ScoredTriplet: lambda r: [r.sample_id],
    Draw: lambda r: [r.sample_id],
    Prediction: lambda r: [r.row_id],
}
"""Ids of the records that a record was made from. A text and an evaluation row have none: they come from a
source. An attribute comes from every mention that bears its name, which only the snapshot knows."""


@dataclass(frozen=True)
class Node:
    """A record in its artefact."""

    path: str
    record: Record
    parents: tuple[str, ...]

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def kind(self) -> str:
        """`text`, `mention`, …, `sample`: the prefix of its id."""
        return self.record.PREFIX


@dataclass
class Snapshot:
    """The records of `lock`, as far as their bytes are on this machine."""

    repository: Repository
    lock: Lock
    missing: list[Item] = field(default_factory=list)
    """Artefacts of the lock whose bytes are neither in the working folder nor in the cache."""

    def records(self, path: str) -> list[Any]:
        """The records of an artefact; none if the lock has no such artefact or its bytes are missing.

        Raises:
            UserError: if the artefact cannot be read.
        """
        item = self.lock.outs.get(path)
        if item is None:
            return []
        found = self.repository.locate(item)
        if found is None:
            if item not in self.missing:
                self.missing.append(item)
            return []
        return read_artefact(found, path)

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """Every record of every artefact, by id."""
        loaded = {path: self.records(path) for path in ARTEFACTS}
        bearers: defaultdict[str, list[str]] = defaultdict(list)
        for mention in loaded["data/mentions.parquet"]:
            for name in mention.names:
                bearers[name].append(mention.id)
        found: dict[str, Node] = {}
        for path, records in loaded.items():
            for record in records:
                parents = bearers[record.name] if isinstance(record, Attribute) else parents_of(record)
                found[record.id] = Node(path, record, tuple(dict.fromkeys(parents)))
        return found

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """Id -> ids of the records made from it, in the order of the pipeline."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for node in self.nodes.values():
            for parent in node.parents:
                found[parent].append(node.id)
        return dict(found)

    @cached_property
    def rejects(self) -> dict[str, list[Reject]]:
        """Id of a record that a stage did not pass on -> the rejects that say why."""
        found: defaultdict[str, list[Reject]] = defaultdict(list)
        for path in sorted(self.lock.outs):
            if path.startswith(REJECTS):
                for reject in self.records(path):
                    found[reject.record_id].append(reject)
        return dict(found)

    @cached_property
    def identities(self) -> dict[str, ModelIdentity]:
        """Identity cards of teacher, student and embedder, by model id."""
        cards = (self.repository.locate(self.lock.outs[path]) for path in IDENTITIES if path in self.lock.outs)
        return {card.id: card for card in map(read_identity, filter(None, cards))}

    def ancestors(self, key: str) -> list[str]:
        """Ids of all records that `key` was made from, nearest first."""
        return self._reach(key, lambda node: self.nodes[node].parents if node in self.nodes else ())

    def descendants(self, key: str) -> list[str]:
        """Ids of all records made from `key`, nearest first.

        Of a text, or of what was said on one, only what carries it on: an attribute that other texts have too is
        not that text's, nor is a task on a perspective one of whose attributes it has.
        """
        start = self.nodes.get(key)
        if start is None or not isinstance(start.record, Text | Mention):
            return self._reach(key, lambda node: self.children.get(node, ()))
        carried = {key}

        def carries(node: str) -> Iterator[str]:
            if isinstance(self.nodes[node].record, Perspective):
                return
            for child in self.children.get(node, ()):
                found = self.nodes[child]
                if not isinstance(found.record, Attribute) or carried.issuperset(found.parents):
                    carried.add(child)
                    yield child

        return self._reach(key, carries)

    @staticmethod
    def _reach(key: str, following: Callable[[str], Iterable[str]]) -> list[str]:
        seen: dict[str, None] = {}
        waiting = [key]
        while waiting:
            level = [other for node in waiting for other in following(node)]
            waiting = [other for other in dict.fromkeys(level) if other not in seen and other != key]
            seen.update(dict.fromkeys(waiting))
        return list(seen)


def parents_of(record: Record) -> tuple[str, ...]:
    """Ids of the records that a record names as what it was made from."""
    rule = PARENTS.get(type(record))
    return tuple(dict.fromkeys(rule(record))) if rule else ()


def read_artefact(file: Path, path: str) -> list[Any]:
    """The records in `file`, which holds the bytes of the artefact `path` of the pipeline.

    Every id is checked against its record's contents.

    Raises:
        UserError: if the file does not hold what that artefact holds.
    """
    kind = Reject if path.startswith(REJECTS) else ARTEFACTS[path]
    if path == CLUSTERS:
        return list(read_perspectives(file))
    # an object of the cache has no suffix to tell its format by
    return list(read_records(file, kind, format=Path(path).suffix))
