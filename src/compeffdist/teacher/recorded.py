"""Recorded answers: a folder of bought answers that others use without buying them again.

`record.json` says what the folder holds, `answers.parquet` has a row an answer, `models/` the identities of the
models that gave them. There are no questions in it: an answer is found by the hash of its whole question (its key).
The same answers give the same bytes, in whatever order they were bought (for one version of the Parquet library), so
that git keeps a record that was made again as the same file. About 100 bytes an answer.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from compeffdist.canonical import hash_json, indented_json
from compeffdist.errors import UserError
from compeffdist.files import atomic_file, hash_file, home_path, read_json, write_json
from compeffdist.models import ModelIdentity, read_identity
from compeffdist.params import RuntimeParams
from compeffdist.records import ID_HEX_DIGITS
from compeffdist.teacher.requests import Answer
from compeffdist.teacher.store import StoredAnswer

FORMAT = 1
"""Raise it when a record is written that an older version of this library cannot read."""
MANIFEST, ANSWERS, MODELS = "record.json", "answers.parquet", "models"
COMPRESSION_LEVEL = 19
"""Of zstd: a record is written once and read often; 8,000 answers take a second."""
_KEY = re.compile(rf"answer_[0-9a-f]{{{ID_HEX_DIGITS}}}")


@dataclass(frozen=True)
class RecordedAnswer:
    """A row of a record."""

    key: str
    """As in the response store: a hash over teacher, whole question and decoding."""
    teacher_id: str
    answer: str
    """Canonical JSON of the answer."""
    engine: str
    """Engine that gave it."""
    kind: str
    """How it was had: `Answer.kind`."""
    bought: str
    """When, in UTC (ISO 8601, seconds)."""

    @property
    def checksum(self) -> str:
        """The first 24 hex digits of SHA-256 over the row: what is in a record can be checked without the question."""
        return hash_json(astuple(self))[:ID_HEX_DIGITS]

    @classmethod
    def of(cls, row: StoredAnswer) -> "RecordedAnswer":
        """What a record keeps of a row of the store. Raises ValueError if its answer cannot be read."""
        unread = cls(row.key, row.teacher_id, row.answer, row.engine, "", row.bought)
        return replace(unread, kind=unread.parse().kind)

    def parse(self) -> Answer:
        """The answer itself. Raises ValueError if it is none that this version can read."""
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is no key of an answer")
        try:
            return Answer.from_json(self.answer)
        except (ValueError, TypeError):
            raise ValueError(f"the answer {self.key} is not one this version can read") from None


_COLUMNS = [*(field.name for field in fields(RecordedAnswer)), "checksum"]


class AnswerRecord:
    """A record, read only. Nothing is read before it is asked for. Raises UserError from every method, if the folder is
    no record, was written by a newer version, or was altered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What the folder says of itself: `format`, `answers` (how many), `files` (SHA-256 by path)."""
        if not (self.folder / MANIFEST).is_file():
            raise UserError(f"{self.folder}: no record of answers there ({MANIFEST} is missing); see runtime.recorded")
        value = read_json(self.folder / MANIFEST)
        version = value.get("format") if isinstance(value, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise UserError(f"{self.folder}: recorded by a newer version of compeffdist; update this checkout")
        whole = version == FORMAT and value.keys() == {"format", "answers", "files"}
        if not whole or type(value["answers"]) is not int or not _is_hashes(value["files"]):
            raise UserError(f"{self.folder / MANIFEST}: not the manifest of a record; {_restore(self.folder)}")
        return value

    @property
    def keys(self) -> set[str]:
        """The keys of all its answers; their rows are not checked."""
        return set(self._table.column("key").to_pylist())

    @cached_property
    def identities(self) -> list[ModelIdentity]:
        """Identities of the models whose answers it holds, by id."""
        _ = self.manifest
        return [read_identity(path) for path in sorted((self.folder / MODELS).glob("*.json"))]

    def rows(self, keys: Iterable[str] | None = None) -> dict[str, RecordedAnswer]:
        """The rows of those keys that are there, or all; each is checked against its checksum."""
        found: dict[str, RecordedAnswer] = {}
        for row, sound in self.checked(keys):
            if not sound:
                raise UserError(
                    f"{self.folder}: the answer {row.key} was altered after it was recorded; {_restore(self.folder)}"
                )
            found[row.key] = row
        return found

    def checked(self, keys: Iterable[str] | None = None) -> Iterator[tuple[RecordedAnswer, bool]]:
        """The same in the order of the keys, each with whether it is as it was recorded."""
        table = self._table
        if keys is not None:
            table = table.filter(pc.is_in(table.column("key"), value_set=pa.array(list(keys), pa.string())))
        for *values, checksum in zip(*(column.to_pylist() for column in table.columns), strict=True):
            row = RecordedAnswer(*values)
            yield row, row.checksum == checksum

    def get_many(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers to those keys that are there."""
        try:
            return {key: row.parse() for key, row in self.rows(keys).items()}
        except ValueError as error:
            raise UserError(f"{self.folder}: {error}; update this checkout") from None

    def problems(self) -> list[str]:
        """What is wrong with the record; nothing if every byte is as it was written. A damaged row is named by its
        key."""
        try:
            return [*self._damaged_rows(), *self._damaged_files()]
        except UserError as error:
            return [str(error)]

    @cached_property
    def _table(self) -> pa.Table:
        _ = self.manifest
        path = self.folder / ANSWERS
        try:
            with path.open("rb") as file:
                table = pq.read_table(file)
            if table.schema.names != _COLUMNS or any(field.type != pa.string() for field in table.schema):
                raise UserError(f"{path}: not the answers of a record; {_restore(self.folder)}")
            table.validate(full=True)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not readable ({error}); {_restore(self.folder)}") from None
        return table

    def _damaged_rows(self) -> list[str]:
        rows = list(self.checked())
        keys = [row.key for row, _ in rows]
        problems = [f"the answer {row.key} was altered" for row, sound in rows if not sound]
        if keys != sorted(set(keys)):
            problems.append(f"{ANSWERS}: keys are not sorted, or one stands there twice")
        if len(rows) != self.manifest["answers"]:
            problems.append(f"{ANSWERS}: {len(rows)} answers, {MANIFEST} says {self.manifest['answers']}")
        unknown = sorted({row.teacher_id for row, _ in rows} - {identity.id for identity in self.identities})
        return problems + [f"{MODELS}: no identity of {model}" for model in unknown]

    def _damaged_files(self) -> list[str]:
        """Files that the manifest names, those beside them, and the manifest itself, which no hash covers."""
        named: dict[str, str] = self.manifest["files"]
        altered = "its bytes are not those that were recorded"
        paths = {name: self.folder / name for name in named}
        problems = [
            f"{name}: {altered}" for name, path in paths.items() if not path.is_file() or hash_file(path) != named[name]
        ]
        present = {f"{MODELS}/{path.name}" for path in (self.folder / MODELS).glob("*.json")} | {ANSWERS}
        problems += [f"{name}: {MANIFEST} does not name it" for name in sorted(present - named.keys())]
        whole = (self.folder / MANIFEST).read_text(encoding="utf-8") == indented_json(self.manifest)
        return problems if whole else [*problems, f"{MANIFEST}: {altered}"]


def _is_hashes(value: Any) -> bool:
    """Whether a value of a manifest is hashes by path."""
    return isinstance(value, dict) and all(isinstance(held, str) for held in value.values())


def keys_in(content: bytes) -> set[str]:
    """The keys in the bytes of an answers file of whatever version; none if it is not readable."""
    try:
        return set(pq.read_table(pa.BufferReader(content), columns=["key"]).column("key").to_pylist())
    except (pa.ArrowException, OSError, KeyError):
        return set()


def write_record(folder: Path, answers: Iterable[RecordedAnswer], identities: Sequence[ModelIdentity]) -> None:
    """Write a record, in place of the one that is there. The manifest comes last and makes it whole.

    Args:
        identities: identities of the models that gave the answers; others are left out.

    Raises:
        ValueError: two answers with one key, or one of a model without an identity: defects of the caller.
        UserError: the folder holds something else.
    """
    refuse_other_folder(folder)
    rows = sorted(answers, key=lambda row: row.key)
    teachers = {row.teacher_id for row in rows}
    models = {identity.id: identity for identity in identities if identity.id in teachers}
    if len({row.key for row in rows}) != len(rows):
        raise ValueError(f"{folder}: two answers have the same key")
    if absent := sorted(teachers - models.keys()):
        raise ValueError(f"{folder}: no identity of {absent[0]}")
    (folder / MANIFEST).unlink(missing_ok=True)
    _write_answers(folder / ANSWERS, rows)
    for former in (folder / MODELS).glob("*.json"):
        if former.stem not in models:
            former.unlink()
    for key, identity in models.items():
        write_json(folder / MODELS / f"{key}.json", identity.to_row())
    files = {name: hash_file(folder / name) for name in (ANSWERS, *(f"{MODELS}/{key}.json" for key in models))}
    write_json(folder / MANIFEST, {"format": FORMAT, "answers": len(rows), "files": files})


def remove_answers(record: AnswerRecord, keys: Collection[str]) -> None:
    """Write a record again without some answers. Raises UserError if it was altered: it is not to be made whole so."""
    if problems := record.problems():
        raise UserError(f"{record.folder}: {problems[0]}; {_restore(record.folder)}")
    write_record(record.folder, [row for key, row in record.rows().items() if key not in keys], record.identities)


def refuse_other_folder(folder: Path) -> None:
    """Raises UserError if a folder to write a record to holds anything but a record."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder")
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    if MANIFEST not in there and not there <= {ANSWERS, MODELS}:  # those two alone: a record half written
        raise UserError(f"{folder}: holds other files; name a new folder, or that of a record to replace")


def named_records(runtime: RuntimeParams) -> list[AnswerRecord]:
    """The records that `runtime.recorded` names, in their order, whether they can be read or not."""
    return [AnswerRecord(home_path(folder)) for folder in runtime.recorded]


def open_records(runtime: RuntimeParams) -> list[AnswerRecord]:
    """The records of `runtime.recorded`, in their order. Raises UserError if one is not there."""
    records = named_records(runtime)
    for record in records:
        _ = record.manifest
    return records


def recorded_identities(runtime: RuntimeParams) -> list[ModelIdentity]:
    """Identities in the records of `runtime.recorded`. Raises UserError as `open_records`."""
    return [identity for record in open_records(runtime) for identity in record.identities]


def _write_answers(target: Path, rows: Sequence[RecordedAnswer]) -> None:
    values = [dict(zip(_COLUMNS, (*astuple(row), row.checksum), strict=True)) for row in rows]
    schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in _COLUMNS])
    table = pa.Table.from_pylist(values, schema=schema)
    with atomic_file(target) as path:
        pq.write_table(
            table,
            path,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            # a sorted key shares its beginning with the one before; few different values stand in these columns
            use_dictionary=["teacher_id", "engine", "kind", "bought"],
            column_encoding={"key": "DELTA_BYTE_ARRAY"},
            write_statistics=False,
            store_schema=False,
        )


def _restore(folder: Path) -> str:
    return f"restore it: git checkout -- {folder}"
