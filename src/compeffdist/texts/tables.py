"""Files of rows, read row by row: JSON Lines, CSV and Parquet, as people's programs write them.

The one reader of each format, whoever reads it. Delimiter (comma, semicolon, tab or bar) and encoding (`lines`) are
found out. A broken file is an error, in one line that says where: it would otherwise lose an unknown number of rows.
Nothing here trusts the size of a line or a field, or that a column's name stands once.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError, one_line
from compeffdist.texts.csv_form import delimiter_name, find_form, names
from compeffdist.texts.json_values import parse_value, repeated_key
from compeffdist.texts.lines import MAX_LINE_BYTES, decode_utf8, open_file, read_bounded_lines, read_lines

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_BATCH_ROWS = 1024

csv.field_size_limit(MAX_LINE_BYTES)


@dataclass(frozen=True)
class FileRow:
    """A row of a file."""

    number: int
    """From 1; in JSON Lines that of the line."""
    fields: Mapping[str, Any]
    """By column."""
    fault: str = ""
    """Why the row has no fields, a reject reason: `too_large`."""
    line: int = 0
    """Of a text file, the line that the row ends in."""


def read_rows(
    path: Path, kind: str, wanted: Mapping[str, str], also: Mapping[str, str] | None = None, *, ragged: bool = False
) -> Iterator[FileRow]:
    """The rows of a file, in its order.

    Args:
        kind: `jsonl`, `csv` or `parquet`.
        wanted: columns, each with what it is wanted as, for the message that it is missing. Of Parquet no others but
            those of `also` are read; a line of JSON Lines need not have them.
        also: columns that are read where they are there.
        ragged: whether a row of a CSV file may lack fields at its end, as spreadsheets leave empty ones out.

    Raises:
        UserError: no such file; a column that is read is missing or comes twice (names those there are); a broken file
            (names the line or byte); an encoding that is none of those above.
    """
    read = _Read(Path(path), wanted, also or {})
    if kind == "csv":
        return _csv_rows(read, ragged)
    return _jsonl_rows(read) if kind == "jsonl" else _parquet_rows(read)


def no_column(path: Path | str, column: str, wanted_as: str, present: Sequence[str], row: int = 0) -> UserError:
    """The error that a column is not there, in row `row` if given, which names those that are."""
    where = f"row {row} has" if row else "there is"
    there = ", ".join(present) or "none"
    return UserError(f"{path}: {where} no column {column!r} ({wanted_as}); there are: {one_line(there, 300)}")


@dataclass(frozen=True)
class _Read:
    """What is read of a file."""

    path: Path
    wanted: Mapping[str, str]
    also: Mapping[str, str]

    @property
    def columns(self) -> Mapping[str, str]:
        return {**self.also, **self.wanted}

    def check(self, present: Sequence[str]) -> None:
        """Raises UserError if a wanted column is missing, or one that is read comes twice."""
        for column, wanted_as in self.wanted.items():
            if column not in present:
                raise no_column(self.path, column, wanted_as, present)
        for column, wanted_as in self.columns.items():
            if present.count(column) > 1:
                times = present.count(column)
                raise UserError(f"{self.path}: {times} columns are named {column!r} ({wanted_as}); rename one")


# ---------------------------------------------------------------- kinds of file


def _jsonl_rows(read: _Read) -> Iterator[FileRow]:
    for number, line in enumerate(read_bounded_lines(read.path), 1):
        if line is None:
            yield FileRow(number, {}, "too_large", number)
            continue
        if not line.strip():
            continue
        try:
            value = parse_value(line)
        except ValueError as error:
            why = "it holds zero bytes" if "\0" in line else one_line(error, 200)
            raise UserError(f"{read.path}: line {number} is not valid JSON: {why}") from None
        if not isinstance(value, dict):
            raise UserError(f"{read.path}: line {number} is not a JSON object but {type(value).__name__}")
        if (twice := repeated_key(value, read.columns)) is not None:
            raise UserError(
                f"{read.path}: line {number} has the key {twice!r} more than once ({read.columns[twice]}); rename one"
            )
        yield FileRow(number, value, line=number)


def _csv_rows(read: _Read, ragged: bool) -> Iterator[FileRow]:
    """Rows without a single value, as spreadsheets leave them below a table, are passed over."""
    path = read.path
    form, lines = find_form(read_lines(path, western=True), list(read.wanted))
    above = form.above
    reader = csv.reader(lines, strict=True, delimiter=form.delimiter, skipinitialspace=form.spaced)
    ended = 0
    try:
        header = names(next(reader, []))
        if not header:
            return
        if any("\0" in name for name in header):
            raise UserError(f"{path}: its header holds zero bytes; save it as UTF-8")
        read.check(header)
        ended = above + reader.line_num
        for number, record in enumerate(filter(None, reader), 1):
            ended = above + reader.line_num
            if len(record) > 1 and not any(record):
                continue
            if len(record) < len(header) and ragged:
                record += [""] * (len(header) - len(record))
            if len(record) != len(header):
                within = delimiter_name(form.delimiter) if len(record) > len(header) else "line end"
                raise UserError(
                    f"{path}: the row that ends in line {above + reader.line_num} has {len(record)} "
                    f"fields, the header {len(header)}; a field with a {within} in it must stand in quotation marks"
                )
            yield FileRow(number, dict(zip(header, record, strict=True)), line=above + reader.line_num)
    except csv.Error as error:
        reason = str(error)
        if "field larger than field limit" in reason:
            reason = f"a field of more than {MAX_LINE_BYTES} characters; is a quotation mark not closed?"
        if "unexpected end of data" in reason:
            reason += f"; is a quotation mark not closed in the row that begins after line {ended}?"
        raise UserError(f"{path}: line {above + reader.line_num} is not valid CSV: {reason}") from None


def _parquet_rows(read: _Read) -> Iterator[FileRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_file(read.path) as stream:
        try:
            file = pq.ParquetFile(stream)
            present = file.schema_arrow.names
            read.check(present)
            columns = [name for name in read.columns if name in present]
            yield from arrow_rows(read.path, file.iter_batches(PARQUET_BATCH_ROWS, columns=columns))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last: of names of columns
            raise UserError(f"{read.path}: not a readable Parquet file: {one_line(error, 200)}") from None


def arrow_rows(path: Path | str, batches: "Iterator[pa.RecordBatch | pa.Table]") -> Iterator[FileRow]:
    """The rows of Arrow batches, numbered from 1. Raises UserError on a string that is not UTF-8 or a time beyond
    Python's, naming column and row."""
    done = 0
    for batch in batches:
        names = batch.schema.names
        columns = [_values(batch.column(place), f"{path}: {names[place]!r}", done) for place in range(len(names))]
        for values in zip(*columns, strict=True):
            done += 1
            yield FileRow(done, dict(zip(names, values, strict=True)))


def _values(column: "pa.Array | pa.ChunkedArray", where: str, done: int) -> list[Any]:
    """A column as Python values. Arrow does not look into strings that a program wrote without looking either, and
    has dates that Python has not."""
    import pyarrow as pa

    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        pass
    except (ArithmeticError, ValueError) as error:
        rows = f"rows {done + 1} to {done + len(column)}"
        raise UserError(f"{where} in {rows}: {column.type} that cannot be read: {one_line(error, 100)}") from None
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise UserError(f"{where} in rows {done + 1} to {done + len(column)}: expected UTF-8")
    values = []
    for number, written in enumerate(column.cast(pa.large_binary()).to_pylist(), done + 1):
        try:
            values.append(written if written is None else decode_utf8(written))
        except UnicodeDecodeError:
            raise UserError(f"{where} in row {number}: expected UTF-8") from None
    return values
