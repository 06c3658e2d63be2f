"""Sources of user texts: JSON Lines, CSV, Parquet, Hugging Face datasets and package corpora, read row by
row.

A broken file is an error, in one line that says where: it would otherwise lose an unknown number of rows. A
single row that cannot be used (no text, not a string, far too large) is passed on with its fault, to be
rejected and counted. Nothing here trusts the size of a line or a field.
"""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from compeffdist.errors import UserError, one_line
from compeffdist.files import refuse_linked_folder
from compeffdist.params import TextSource
from compeffdist.texts.corpora import find_corpus, load_corpus, part_of

MAX_LINE_BYTES = 8 << 20
"""A longer line means that the file is not what it is said to be."""
MAX_TEXT_CHARACTERS = 100_000
"""A longer text is rejected before anything looks into it."""
PARQUET_BATCH_ROWS = 1024

UNSTATED = "unstated"


@dataclass(frozen=True)
class RawText:
    """A row of a source, before normalisation."""

    source: str
    row: str
    """The row's id in its source: its own (`id_field`), else its number from 1 (of the line, in JSON
    Lines)."""
    text: str
    domain: str
    licence: str
    fault: str = ""
    """Why the row cannot be used, a reject reason: `no_text`, `not_a_string`, `too_large`,
    `encoding_lost`."""


@dataclass(frozen=True)
class _Row:
    """What a file reader gives: the row's number, and its fields by column."""

    number: int
    fields: dict[str, Any]


def read_source(source: TextSource, cache: Path) -> Iterator[RawText]:
    """The rows of a source, or of the part of it that `source.part` names, in the source's order.

    `cache` is the folder for packages and datasets.

    Raises:
        UserError: no such file, dataset, corpus or column; a broken file (names the line or byte); wrong
            encoding; no rows; not one usable text; an `id_field` value that is missing or stands twice.
    """
    if source.kind == "package":
        rows = _package_rows(source, cache)
    else:
        rows = _file_rows(source, _READERS[source.kind](source, cache))
    return _counted(source, rows)


def _counted(source: TextSource, rows: Iterator[RawText]) -> Iterator[RawText]:
    """Pass rows on; at the end, refuse a source that gave nothing."""
    total = usable = 0
    fault = ""
    for row in rows:
        total += 1
        usable += not row.fault
        fault = fault or row.fault
        yield row
    if total == 0:
        raise UserError(f"{source.location}: no rows (text source {source.name!r})")
    if usable == 0:
        raise UserError(
            f"{source.location}: not one of {total} rows has a usable text in {source.text_field!r} "
            f"(first fault: {fault}; text source {source.name!r})"
        )


def _package_rows(source: TextSource, cache: Path) -> Iterator[RawText]:
    declared = find_corpus(source.location).licence
    licence = declared if source.licence == UNSTATED else source.licence
    for row in load_corpus(source.location, source.part, cache):
        fault = row.fault or _fault(row.text)
        yield RawText(source.name, row.row, "" if fault else row.text, source.domain, licence, fault)


def _file_rows(source: TextSource, rows: Iterator[_Row]) -> Iterator[RawText]:
    seen: dict[str, int] = {}
    missing: list[str] | None = None
    has_column = False
    for row in rows:
        name = _row_name(source, row, seen)
        if source.text_field in row.fields:
            has_column = True
        elif missing is None:
            missing = sorted(row.fields)
        if source.part not in ("all", part_of(source.location, name)):
            continue
        value = row.fields.get(source.text_field)
        fault = _fault(value)
        yield RawText(source.name, name, "" if fault else str(value), source.domain, source.licence, fault)
    if missing is not None and not has_column:
        raise UserError(_no_column(source, "text_field", source.text_field, missing))


def _fault(value: object) -> str:
    if value is None:
        return "no_text"
    if not isinstance(value, str):
        return "not_a_string"
    return "too_large" if len(value) > MAX_TEXT_CHARACTERS else ""


def _row_name(source: TextSource, row: _Row, seen: dict[str, int]) -> str:
    """Lineage finds a row by this, so it must be there and be unique."""
    if not source.id_field:
        return str(row.number)
    if source.id_field not in row.fields:
        raise UserError(_no_column(source, "id_field", source.id_field, sorted(row.fields)) + f" (row {row.number})")
    value = row.fields[source.id_field]
    if not isinstance(value, str | int) or value == "":
        raise UserError(f"{source.location}: row {row.number} has no id in {source.id_field!r}")
    name = one_line(value, limit=200)
    if name in seen:
        raise UserError(
            f"{source.location}: rows {seen[name]} and {row.number} have the same {source.id_field} "
            f"{name!r}; leave id_field empty to go by row number"
        )
    seen[name] = row.number
    return name


def _no_column(source: TextSource, param: str, column: str, present: list[str], row: int = 0) -> str:
    where = f"row {row} has" if row else "there is"
    return (
        f"{source.location}: {where} no column {column!r} ({param} of text source {source.name!r}); "
        f"there are: {', '.join(present) or 'none'}"
    )


# ---------------------------------------------------------------- files


def read_utf8_lines(path: Path) -> Iterator[str]:
    """The lines of a text file with their ends, each bounded by MAX_LINE_BYTES; a byte-order mark is dropped.

    Raises:
        UserError: no such file, not a file, not readable; not UTF-8 (names line and byte offset); a longer
            line.
    """
    offset = 0
    with _open(path) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
            if len(line) > MAX_LINE_BYTES:
                raise UserError(f"{path}: line {number} is longer than {MAX_LINE_BYTES} bytes")
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                byte = offset + error.start
                raise UserError(f"{path}: expected UTF-8; line {number} is not (byte {byte})") from None
            offset += len(line)


def _open(path: Path) -> IO[bytes]:
    refuse_linked_folder(Path(path))
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def read_jsonl_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line that is not blank. Raises UserError naming the line that is not
    one."""
    for number, line in enumerate(read_utf8_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:  # ValueError also for numbers of thousands of digits
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise UserError(f"{path}: line {number} is not valid JSON: {reason}") from None
        if not isinstance(value, dict):
            raise UserError(f"{path}: line {number} is not a JSON object but {type(value).__name__}")
        yield number, value


def _jsonl_rows(source: TextSource, _cache: Path) -> Iterator[_Row]:
    for number, value in read_jsonl_objects(Path(source.location)):
        yield _Row(number, value)


def _csv_rows(source: TextSource, _cache: Path) -> Iterator[_Row]:
    reader = csv.reader(read_utf8_lines(Path(source.location)), strict=True)
    try:
        header = next(reader, None)
        if header is None:
            return
        if source.text_field not in header:
            raise UserError(_no_column(source, "text_field", source.text_field, header))
        for number, record in enumerate(filter(None, reader), 1):
            if len(record) != len(header):
                raise UserError(
                    f"{source.location}: the row that ends in line {reader.line_num} has {len(record)} "
                    f"fields, the header {len(header)}"
                )
            yield _Row(number, dict(zip(header, record, strict=True)))
    except csv.Error as error:
        raise UserError(f"{source.location}: line {reader.line_num} is not valid CSV: {error}") from None


def _parquet_rows(source: TextSource, _cache: Path) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = [name for name in (source.text_field, source.id_field) if name]
    with _open(Path(source.location)) as stream:
        try:
            file = pq.ParquetFile(stream)
            present = file.schema_arrow.names
            for param, column in zip(("text_field", "id_field"), wanted, strict=False):
                if column not in present:
                    raise UserError(_no_column(source, param, column, present))
            batches = file.iter_batches(PARQUET_BATCH_ROWS, columns=list(dict.fromkeys(wanted)))
            records = (record for batch in batches for record in batch.to_pylist())
            for number, record in enumerate(records, 1):
                yield _Row(number, record)
        except UnicodeDecodeError:
            raise UserError(f"{source.location}: expected UTF-8 in column {source.text_field!r}") from None
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{source.location}: not a readable Parquet file: {one_line(error, 200)}") from None


def _huggingface_rows(source: TextSource, cache: Path) -> Iterator[_Row]:
    """Downloaded once into the cache (not streamed), so that a later run needs no network and a split may be
    a slice such as `train[:20000]`. Dataset scripts are not run: the library refuses them."""
    import datasets

    repo, revision, split = parse_dataset(source.location)
    try:
        rows = datasets.load_dataset(repo, revision=revision, split=split, cache_dir=str(cache / "datasets"))
    except Exception as error:  # the library and the hub client raise dozens of unrelated types
        raise UserError(f"{source.location}: the dataset cannot be loaded: {one_line(error, 300)}") from None
    if source.text_field not in rows.column_names:
        raise UserError(_no_column(source, "text_field", source.text_field, rows.column_names))
    for number, record in enumerate(rows, 1):
        yield _Row(number, record)


def parse_dataset(location: str) -> tuple[str, str, str]:
    """Repository, revision and split of `repo@revision:split`. Raises UserError if one is missing."""
    repo, _, rest = location.partition("@")
    revision, _, split = rest.partition(":")
    if not (repo and revision and split):
        raise UserError(f"dataset {location!r}: expected repo@revision:split; a commit as revision fixes the rows")
    return repo, revision, split


_READERS: dict[str, Callable[[TextSource, Path], Iterator[_Row]]] = {
    "jsonl": _jsonl_rows,
    "csv": _csv_rows,
    "parquet": _parquet_rows,
    "huggingface": _huggingface_rows,
}
