"""The records of one lock, joined by id: what each came from, and what came of it.

A snapshot reads artefacts by the hashes in the lock, from the working folder or DVC's cache, so that a row of
last month's data is traced in last month's data. It follows columns of ids (`lineage.tables`) and makes a record only
of what is shown; states of the data that share an artefact share its table.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from compeffdist.artefact_kinds import Edge
from compeffdist.artefacts import (
    ATTRIBUTES,
    CLUSTERS,
    IDENTITIES,
    MENTIONS,
    RECORDS,
    REJECTS,
    SAMPLED,
    TEXTS,
    TRAINING,
    TRIPLETS,
    edges_into,
    made_from,
    records_at,
)
from compeffdist.lineage.artefact_table import ArtefactTable, distinct
from compeffdist.lineage.repository import Item, Lock, Repository
from compeffdist.models import ModelIdentity, read_identity
from compeffdist.record_files import OtherRecords, parquet_file
from compeffdist.records import Record, Reject


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


TRAINED_BY = "train_student"
"""The stage that refuses triplets too long to learn from."""

Reached = dict[str, str]
"""Ids that were reached, nearest first, each with the path of its artefact."""


@dataclass
class Snapshot:
    """The records of `lock`, as far as their bytes are on this machine."""

    repository: Repository
    lock: Lock
    tables: dict[str, ArtefactTable] = field(default_factory=dict, repr=False)
    """By the MD5 of their bytes: snapshots that are looked at together share them."""
    missing: list[Item] = field(default_factory=list)
    """Artefacts of the lock that cannot be read: their bytes are neither in the working folder nor in the cache, or
    another version of this code wrote them."""
    other: dict[str, str] = field(default_factory=dict, init=False)
    """Path -> record type and version, of the latter."""
    _indices: dict[Edge, dict[str, list[str]]] = field(default_factory=dict, init=False, repr=False)

    # ------------------------------------------------------------ tables

    def table(self, path: str) -> ArtefactTable | None:
        """An artefact's table; none if the lock has no such artefact or it cannot be read."""
        item = self.lock.outs.get(path)
        if item is None or item in self.missing:
            return None
        if item.md5 not in self.tables:
            found = self.repository.locate(item)
            if found is None or not self._is_ours(found, path):
                self.missing.append(item)
                return None
            self.tables[item.md5] = ArtefactTable(found, path)
        return self.tables[item.md5]

    def _is_ours(self, file: Path, path: str) -> bool:
        """Whether this version of the code reads an artefact. Of JSON it shows with the first record that is read."""
        if not path.endswith(".parquet"):
            return True
        try:
            with parquet_file(file, records_at(path).kind):
                return True
        except OtherRecords as other:
            self.other[path] = other.stamp
            return False

    def values(self, path: str, field: str, key: str = "", among: Collection[str] = ()) -> list[Any]:
        """What the records of an artefact have in a field: all of them, or those whose `key` is among some."""
        table = self.table(path)
        if table is None:
            return []
        return table.values(field, table.where(key, among) if key else None)

    def read_all(self) -> None:
        """Find out which artefacts' bytes are missing."""
        for path in self.lock.outs:
            if path in RECORDS or path.startswith(REJECTS):
                self.table(path)

    def missing_below(self, path: str) -> list[str]:
        """Artefacts whose bytes are missing, of `path` and those made from it."""
        self.read_all()
        absent = {item.path for item in self.missing}
        return [made for made in made_from(path) if made in absent]

    # ------------------------------------------------------------ records

    def path_of(self, key: str) -> str:
        """Path of the artefact that holds a record, empty if none does."""
        return next((path for path in _paths(key) if (table := self.table(path)) and table.holds(key)), "")

    def holds(self, key: str) -> bool:
        """Whether a record has this id, or a stage rejected what has this id."""
        return bool(self.path_of(key)) or any(len(table.where("record_id", [key])) for table in self._reject_tables())

    def beginning(self, reference: str) -> list[str]:
        """Ids of records, and of what was rejected, that begin so; sorted."""
        tables = [table for path in _paths(reference) if (table := self.table(path))]
        found = {key for table in tables for key in table.beginning(reference)}
        found.update(key for table in self._reject_tables() for key in table.beginning(reference, "record_id"))
        return sorted(found)

    def nodes(self, reached: Mapping[str, str]) -> dict[str, Node]:
        """Those of some records, each with the path of its artefact, that are there, in the order given."""
        by_path: dict[str, list[str]] = {}
        for key, path in reached.items():
            by_path.setdefault(path, []).append(key)
        found: dict[str, Node] = {}
        for path, keys in by_path.items():
            if table := self.table(path):
                for record in table.records(table.where("id", keys)):
                    found[record.id] = Node(path, record, self._named(path, record))
        return {key: found[key] for key in reached if key in found}

    def node(self, key: str) -> Node | None:
        """A record, none if it is not there."""
        return self.nodes({key: self.path_of(key)}).get(key)

    def rejects(self, keys: Collection[str]) -> list[Reject]:
        """Why stages did not pass on records, or rows of a source, of these ids."""
        return [reject for table in self._reject_tables() for reject in table.records(table.where("record_id", keys))]

    def kept_triplet_ids(self) -> list[str]:
        """Ids of the triplets a student was trained on: in the training set and not refused by the training."""
        refused = set(self.values(f"{REJECTS}{TRAINED_BY}.parquet", "record_id"))
        return [key for key in self.values(TRAINING, "id") if key not in refused]

    def kept_pairs(self) -> list[str]:
        """Ids of the pairs that the sampler kept."""
        table = self.table(SAMPLED)
        kept: list[str] = table.column("pair_id").filter(table.column("kept")).to_pylist() if table else []
        return kept

    def first_held(self, samples: Sequence[str]) -> Reached:
        """Triplets of the training set, each with the artefact in which it stands first."""
        before = set(self.values(TRIPLETS, "id"))
        return {key: TRIPLETS if key in before else TRAINING for key in samples}

    def paths_with(self, reached: Reached) -> list[str]:
        """Every artefact in which one of the records stands, in the order of the pipeline."""
        paths = set(reached.values())
        if TRIPLETS in paths and set(self.values(TRAINING, "id")) & reached.keys():
            paths.add(TRAINING)
        return [path for path in RECORDS if path in paths]

    @cached_property
    def identities(self) -> dict[str, ModelIdentity]:
        """Identities of teacher, student and embedder, by model id."""
        identities = (self.repository.locate(self.lock.outs[path]) for path in IDENTITIES if path in self.lock.outs)
        return {identity.id: identity for identity in map(read_identity, filter(None, identities))}

    def _reject_tables(self) -> list[ArtefactTable]:
        paths = sorted(path for path in self.lock.outs if path.startswith(REJECTS))
        return [table for path in paths if (table := self.table(path))]

    def _named(self, path: str, record: Record) -> tuple[str, ...]:
        """Ids of the records that a record was made from, as its fields name them."""
        named: list[str] = []
        for edge in RECORDS[path].edges:
            value = getattr(record, edge.field)
            values = value if isinstance(value, list) else [value]
            named += values if edge.key == "id" else self._bearers(edge).get(value, ())
        return tuple(distinct(named))

    def _bearers(self, edge: Edge) -> dict[str, list[str]]:
        """Of an edge that is not by id: value -> ids of the records that bear it."""
        if edge not in self._indices:
            found: dict[str, list[str]] = {}
            table = self.table(edge.path)
            borne = table.column(edge.key).to_pylist() if table else []
            for key, values in zip(self.values(edge.path, "id"), borne, strict=True):
                for value in values:
                    found.setdefault(value, []).append(key)
            self._indices[edge] = found
        return self._indices[edge]

    # ------------------------------------------------------------ ancestry and descent

    def ancestors(self, keys: Collection[str], path: str) -> Reached:
        """All records that records of the artefact `path` were made from."""
        return _reach(keys, path, self._parents)

    def made_of(self, key: str) -> Reached:
        """A record and all that was made from it; nothing if it is not there.

        Of a text, or of what was said on one, only what carries it on: an attribute that other texts have too is
        not that text's, nor is a task on a perspective one of whose attributes it has.
        """
        path = self.path_of(key)
        if path not in (TEXTS, MENTIONS):
            return {key: path, **_reach([key], path, self._children)} if path else {}
        carried = {key}

        def whole(path: str, keys: Iterable[str]) -> list[str]:
            """Of records made of several, those that nothing else went into."""
            nodes = self.nodes(dict.fromkeys(keys, path))
            return [key for key, node in nodes.items() if carried.issuperset(node.parents)]

        def carries(path: str, keys: list[str]) -> Iterator[tuple[str, list[str]]]:
            for child, found in self._children(path, whole(path, keys) if path == CLUSTERS else keys):
                own = whole(child, distinct(found)) if child == ATTRIBUTES else found
                carried.update(own)
                yield child, own

        return {key: path, **_reach([key], path, carries)}

    def children(self, node: Node) -> list[str]:
        """Ids of the records made from a record, in the order of the pipeline."""
        return distinct(key for _, keys in self._children(node.path, [node.id]) for key in keys)

    def _parents(self, path: str, keys: list[str]) -> Iterator[tuple[str, list[str]]]:
        for edge in RECORDS[path].edges:
            values = self.values(path, edge.field, "id", keys)
            yield edge.path, values if edge.key == "id" else self.values(edge.path, "id", edge.key, values)

    def _children(self, path: str, keys: list[str]) -> Iterator[tuple[str, list[str]]]:
        for child, edge in edges_into(path):
            values = keys if edge.key == "id" else self.values(path, edge.key, "id", keys)
            yield child, self.values(child, "id", edge.field, values)


def snapshots_of(repository: Repository) -> list[Snapshot]:
    """One of every state of the data, that of the working folder first."""
    tables: dict[str, ArtefactTable] = {}
    return [Snapshot(repository, lock, tables) for lock in repository.locks()]


def _paths(key: str) -> Iterator[str]:
    """Artefacts whose records have ids of that form."""
    kind = key.partition("_")[0]
    return (path for path, artefact in RECORDS.items() if kind == artefact.kind.PREFIX)


def _reach(
    keys: Collection[str], path: str, following: Callable[[str, list[str]], Iterator[tuple[str, list[str]]]]
) -> Reached:
    seen: Reached = {}
    begun = set(keys)
    waiting = {path: list(keys)}
    while waiting:
        level: dict[str, list[str]] = {}
        for place, found in waiting.items():
            for other, values in following(place, found):
                level.setdefault(other, []).extend(values)
        waiting = {}
        for other, values in level.items():
            fresh = [key for key in distinct(values) if key not in seen and key not in begun]
            if fresh:
                waiting[other] = fresh
                seen.update(dict.fromkeys(fresh, other))
    return seen
