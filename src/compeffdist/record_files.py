"""Artefacts on the disk: records in Parquet (many rows) or JSON Lines (few rows a person reads).

Both are written from the same record classes, atomically, and refuse duplicate ids; reading checks every id against its
record's contents. `columns.py` reads and writes the same Parquet files column-wise, for millions of rows.
"""

import dataclasses
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError, one_line
from compeffdist.files import atomic_file, read_json, read_jsonl, write_json, write_jsonl
from compeffdist.records import Perspective, R, Record

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


NONE: Mapping[str, Any] = MappingProxyType({})
AGAIN = "run the stage that writes it again"


class OtherRecords(UserError):
    """A file holds records of another type, or of another version of it."""

    def __init__(self, source: Path, stamp: str, expected: str) -> None:
        super().__init__(f"{source}: holds {stamp} records, expected {expected}")
        self.stamp = stamp


def write_records(target: Path, kind: type[R], records: Iterable[R], columns: Mapping[str, Any] = NONE) -> None:
    """Write records in the given order, atomically, as Parquet or JSON Lines by the suffix of `target`; `columns` are
    name -> type of the items of the kind's open field. Raises ValueError if two records share an id: that is a defect
    upstream, and must not reach the disk."""
    rows = [record.to_row() for record in records]
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            raise ValueError(f"{target}: two {kind.PREFIX} records share the id {row['id']}")
        seen.add(row["id"])
    if Path(target).suffix == ".jsonl":
        write_jsonl(target, rows)
        return
    import pyarrow.parquet as pq

    with atomic_file(target) as path:
        pq.write_table(table_of(kind, rows, columns), path, compression="zstd")


def read_records(source: Path, kind: type[R], format: str = "") -> list[R]:
    """Read what `write_records` wrote; every record has an id of its own, which is checked against its contents.

    Args:
        format: `.jsonl` or `.parquet`, for a file whose name does not end in it.

    Raises:
        UserError: if the file is missing, of another record type or version, has a column of another type, or a record
            has no id, that of another one, or one that does not fit its contents.
    """
    if (format or Path(source).suffix) == ".jsonl":
        return _parsed(kind, read_jsonl(source), f"{source}: record", AGAIN, column_types(kind))
    with parquet_file(Path(source), kind) as file:
        expected = {column.name: column.type for column in arrow_schema(kind)}
        for column in file.schema_arrow:
            if column.type != expected.get(column.name, column.type):
                raise UserError(f"{source}: column {column.name!r} is of type {column.type}; {AGAIN}")
        rows = file.read().to_pylist()
    return _parsed(kind, rows, f"{source}: record", AGAIN)


def _parsed(kind: type[R], rows: Iterable[Any], where: str, advice: str, types: Mapping[str, Any] = NONE) -> list[R]:
    """Rows as records; `types` are those that values are still to be held against."""
    records: dict[str, R] = {}
    for number, row in enumerate(rows, 1):
        try:
            record = _record(kind, row, types)
            if record.id in records:
                raise ValueError(f"id {record.id} is an earlier record's, too")
        except ValueError as error:
            raise UserError(f"{where} {number}: {error}; {advice}") from None
        records[record.id] = record
    return list(records.values())


def _record(kind: type[R], row: Any, types: Mapping[str, Any]) -> R:
    """Raises ValueError if a row is none, has no id, a value of another type, or does not fit its id."""
    if not isinstance(row, dict):
        raise ValueError("not an object with the fields of a record")
    if not row.get("id"):
        raise ValueError("it has no id")
    odd = next((name for name, hint in types.items() if name in row and not _fits(row[name], hint)), None)
    if odd is not None:
        raise ValueError(f"{odd} cannot be {one_line(repr(row[odd]), 40)}")
    return kind.from_row(row)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of a field's type."""
    if is_nullable(hint):
        return value is None or _fits(value, _not_none(hint))
    if typing.get_origin(hint) is list:
        return isinstance(value, list) and all(_fits(item, typing.get_args(hint)[0]) for item in value)
    return type(value) is hint or (hint is float and type(value) is int)


def write_perspectives(target: Path, perspectives: Sequence[Perspective], diagnostics: dict[str, Any]) -> None:
    """Write perspectives with the diagnostics of their clustering as JSON, atomically."""
    rows = [perspective.to_row() for perspective in perspectives]
    write_json(target, {"diagnostics": diagnostics, "perspectives": rows})


def read_perspectives(source: Path) -> list[Perspective]:
    """Read what `write_perspectives` wrote. Raises UserError if there is no such file, it is not JSON, has no
    perspectives in it, or one that does not fit its id."""
    value, advice = read_json(source), "run: dvc repro cluster_attributes"
    rows = value.get("perspectives") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{source}: holds no list of perspectives; {advice}")
    return _parsed(Perspective, rows, f"{source}: perspective", advice, column_types(Perspective))


def table_of(kind: type[Record], rows: Iterable[dict[str, Any]], columns: Mapping[str, Any] = NONE) -> "pa.Table":
    """Rows as `Record.to_row` gives them, as an Arrow table. Raises ValueError if one has another open column."""
    import pyarrow as pa

    rows, names = list(rows), column_types(kind, columns).keys()
    if kind.OPEN and (other := next((row for row in rows if row.keys() != names), None)):
        raise ValueError(f"{other['id']}: its columns are {', '.join(other)}")
    return pa.Table.from_pylist(rows, schema=arrow_schema(kind, columns))


def arrow_schema(kind: type[Record], columns: Mapping[str, Any] = NONE) -> "pa.Schema":
    """Columns of a Parquet artefact, marked with the record type and its version."""
    import pyarrow as pa

    return pa.schema(
        [pa.field(name, _arrow_type(t), nullable=is_nullable(t)) for name, t in column_types(kind, columns).items()],
        metadata={"compeffdist.record": f"{kind.PREFIX}@{kind.VERSION}"},
    )


@contextmanager
def parquet_file(source: Path, kind: type[Record]) -> "Iterator[pq.ParquetFile]":
    """Open a Parquet artefact of `kind`. Raises UserError if the file is missing, or unreadable (also while it is
    read), OtherRecords if it is of another record type or version."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            stamp = (file.schema_arrow.metadata or {}).get(b"compeffdist.record", b"").decode(errors="replace")
            if stamp != f"{kind.PREFIX}@{kind.VERSION}":
                raise OtherRecords(source, stamp or "unmarked", f"{kind.PREFIX}@{kind.VERSION}")
            yield file
    except FileNotFoundError:
        raise UserError(f"{source}: no such file; run the stage that writes it (dvc repro)") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: not a readable Parquet file: {error}") from None


def column_types(kind: type[Record], columns: Mapping[str, Any] = NONE) -> dict[str, Any]:
    """Name -> type of every column of a kind; `columns` are those of its open field."""
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.name != kind.OPEN} | dict(columns)


def is_nullable(hint: Any) -> bool:
    """Whether a field of this type may be None."""
    return isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint)


def _not_none(hint: Any) -> Any:
    [hint] = [part for part in typing.get_args(hint) if part is not type(None)]
    return hint


def _arrow_type(hint: Any) -> Any:
    import pyarrow as pa

    if is_nullable(hint):
        hint = _not_none(hint)

    plain = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    if hint in plain:
        return plain[hint]
    if isinstance(hint, types.GenericAlias) and typing.get_origin(hint) is list:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    raise TypeError(f"no Parquet type for {hint}")
