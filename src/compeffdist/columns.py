"""Artefacts column-wise, for what sees millions of rows: the files and ids of `records.py` without an object a row.

A batch of rows at a time exists as Python strings while its ids are computed (about 3 microseconds a row, most of it
JSON and SHA-256); everything else is Arrow. Writing keeps 12 bytes a row, to find an id that comes twice.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.record_files import NONE, arrow_schema, parquet_file
from compeffdist.records import ID_HEX_DIGITS, Record

BATCH_ROWS = 1 << 16
"""Rows read, checked and written at a time; a row group of what is written."""
DIGEST = [("high", ">u8"), ("low", ">u4")]
"""The 96 bits of an id as NumPy sees them."""


def read_columns(
    source: Path,
    kind: type[Record],
    names: Sequence[str],
    categories: Sequence[str] = (),
    columns: Mapping[str, Any] = NONE,
) -> pa.Table:
    """Columns of a Parquet artefact; every row's id is checked against its contents, as `read_records` does.

    Args:
        names: columns wanted; those that make up the id are read besides, and let go batch by batch.
        categories: those of `names` with few distinct values, returned dictionary-encoded (4 bytes a row).
        columns: name -> type of the items of the kind's open field.

    Raises:
        UserError: as `read_records`; also if a column is not there or more than once, or a row has no value in it.
    """
    schema = arrow_schema(kind, columns)
    needed = list(dict.fromkeys(["id", *kind.IDENTITY, *names]))
    tables = [_picked(schema.empty_table(), names, categories)]
    with parquet_file(source, kind) as file:
        for name in needed:
            found = [column.type for column in file.schema_arrow if column.name == name]
            if found != [schema.field(name).type]:
                told = f"more than one column {name!r}" if len(found) > 1 else f"no column {name!r} as it should be"
                raise UserError(f"{source}: {told}; run the stage that writes it again")
        done = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=needed):
            _check(batch, kind, schema, f"{source}: record", done)
            done += len(batch)
            tables.append(_picked(pa.Table.from_batches([batch]), names, categories))
    return pa.concat_tables(tables).unify_dictionaries()


def distinct(source: Path, kind: type[Record], name: str) -> set[str]:
    """The values of a column of text. Raises UserError as `read_columns`."""
    return {*read_columns(source, kind, [name], [name])[name].unique().to_pylist()}


def _picked(table: pa.Table, names: Sequence[str], categories: Sequence[str]) -> pa.Table:
    return pa.table({name: table[name].dictionary_encode() if name in categories else table[name] for name in names})


def write_columns(
    target: Path, kind: type[Record], batches: Iterable[Mapping[str, pa.Array]], columns: Mapping[str, Any] = NONE
) -> None:
    """Write a Parquet artefact batch by batch, atomically: every column of `kind` but `id`, which is computed.

    Args:
        columns: name -> type of the items of the kind's open field.

    Raises:
        ValueError: if two rows share an id, or a value that makes up an id is not finite: nothing is written then.
    """
    schema = arrow_schema(kind, columns)
    digests = []
    with atomic_file(target) as path:
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in batches:
                ids = content_ids(kind, batch)
                digests.append(_digests(ids))
                writer.write_table(pa.table({"id": ids, **batch}, schema=schema))
        if twice := _repeated(digests):
            raise ValueError(f"{target}: two {kind.PREFIX} records share the id {kind.PREFIX}_{twice}")


def content_ids(kind: type[Record], columns: Mapping[str, pa.Array]) -> list[str]:
    """The ids of rows given as columns: what `content_id` gives for each, in about a third of the time."""
    names = sorted(kind.IDENTITY)
    pattern = "{" + ",".join(f"{canonical_json(name)}:%s" for name in names) + "}"
    rows = zip(*(_json_values(columns[name]) for name in names), strict=True)
    # `hash_text` looks its algorithm up by name, which costs as much as the hash of so few bytes
    digests = [sha256((pattern % row).encode()).hexdigest() for row in rows]
    return [f"{kind.PREFIX}_{digest[:ID_HEX_DIGITS]}" for digest in digests]


def _json_values(column: pa.Array) -> Iterable[str]:
    """Each value as `canonical_json` writes it. Raises ValueError on a number that is not finite."""
    values: list[Any] = column.to_pylist()
    if column.null_count == 0 and pa.types.is_floating(column.type) and np.isfinite(column.to_numpy()).all():
        return map(float.__repr__, values)  # what json writes for a finite number
    if column.null_count == 0 and pa.types.is_string(column.type):
        return map(json.JSONEncoder(ensure_ascii=False).encode, values)  # a shortcut of its own for strings
    return map(canonical_json, values)


def _check(batch: pa.RecordBatch, kind: type[Record], schema: pa.Schema, where: str, done: int) -> None:
    """Refuse a missing value, or an id that does not fit; `done` rows came before."""
    for name in batch.schema.names:
        if batch[name].null_count and not schema.field(name).nullable:
            row = done + 1 + int(np.argmax(batch[name].is_null()))
            raise UserError(f"{where} {row}: it has no {name}; run the stage that writes it again")
    expected = content_ids(kind, {name: batch[name] for name in kind.IDENTITY})
    given = batch["id"].to_pylist()
    if expected == given:
        return
    row = next(place for place, (one, other) in enumerate(zip(given, expected, strict=True)) if one != other)
    raise UserError(
        f"{where} {done + row + 1}: id {given[row]} does not match the record's contents "
        f"(expected {expected[row]}); run the stage that writes it again"
    )


def _digests(ids: Sequence[str]) -> bytes:
    return bytes.fromhex("".join([key[-ID_HEX_DIGITS:] for key in ids]))


def _repeated(digests: Sequence[bytes]) -> str:
    """The hex digits of an id that comes twice; empty if none does."""
    together = np.frombuffer(b"".join(digests), dtype=DIGEST)
    high = np.sort(together["high"].astype(np.uint64))
    same = high[1:][high[1:] == high[:-1]]  # of ten million distinct ids, a pair in one file of 400,000
    suspects = sorted(digest.tobytes() for digest in together[np.isin(together["high"], same)]) if len(same) else []
    return next((one.hex() for one, other in pairwise(suspects) if one == other), "")
