"""Files of rows, read row by row: JSON Lines, CSV and Parquet, as people's programs write them.

Delimiter (comma, semicolon, tab or bar) and encoding (UTF-8, UTF-16 with a byte-order mark, Windows-1252 for CSV) are
found out. A broken file is an error, in one line that says where: it would otherwise lose an unknown number of rows.
Nothing here trusts the size of a line or a field.
"""

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from compeffdist.errors import UserError, one_line
from compeffdist.files import CHUNK_BYTES, refuse_linked_folder

MAX_LINE_BYTES = 8 << 20
"""A longer line, or field of a CSV file, means that the file is not what it is said to be."""
PARQUET_BATCH_ROWS = 1024
DELIMITERS = ",;\t|"
"""Of CSV files, the likelier first."""
MOST_FOREIGN = 0.2
"""Bytes beyond ASCII for each letter, at most, of a file in Windows-1252; other scripts have more."""

csv.field_size_limit(MAX_LINE_BYTES)

_UNDEFINED = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
"""Bytes that Windows-1252 has no character for."""
_UTF8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")

_NAMED_DELIMITER = re.compile(r"sep=(.)\s*", re.IGNORECASE)
"""The line by which a spreadsheet program names the delimiter before the header."""


@dataclass(frozen=True)
class FileRow:
    """A row of a file."""

    number: int
    """From 1; in JSON Lines that of the line."""
    fields: dict[str, Any]
    """By column."""


def read_rows(path: Path, kind: str, wanted: Mapping[str, str]) -> Iterator[FileRow]:
    """The rows of a file, in its order.

    Args:
        kind: `jsonl`, `csv` or `parquet`.
        wanted: columns, each with what it is wanted as, for the message that it is missing. Of Parquet no others are
            read; a line of JSON Lines need not have them.

    Raises:
        UserError: no such file; a column that is missing or comes twice (names those there are); a broken file (names
            the line or byte); an encoding that is none of those above.
    """
    return _READERS[kind](Path(path), wanted)


def no_column(path: Path | str, column: str, wanted_as: str, present: Sequence[str], row: int = 0) -> UserError:
    """The error that a column is not there, in row `row` if given, which names those that are."""
    where = f"row {row} has" if row else "there is"
    there = ", ".join(present) or "none"
    return UserError(f"{path}: {where} no column {column!r} ({wanted_as}); there are: {one_line(there, 300)}")


# ---------------------------------------------------------------- lines of text


def read_lines(path: Path, western: bool = False) -> Iterator[str]:
    """The lines of a text file with their ends, each bounded by MAX_LINE_BYTES; a byte-order mark is dropped.

    Args:
        western: whether a file that is not UTF-8 may be Windows-1252, which a note on stderr then says.

    Raises:
        UserError: no such file, not a file, not readable; another encoding (names line and byte offset); a longer
            line.
    """
    with _open(path) as stream:
        start = stream.read(4)
        stream.seek(0)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and start != codecs.BOM_UTF32_LE:
            yield from _utf16_lines(path, stream)
            return
        encoding = "utf-8"
        if western and not _is_utf8(stream) and _is_western(stream):
            print(
                f"{path}: not UTF-8: read as Windows-1252; if characters come out wrong, save it as UTF-8",
                file=sys.stderr,
            )
            encoding = "cp1252"
        stream.seek(0)
        yield from _decoded_lines(path, stream, encoding)


def _decoded_lines(path: Path, stream: IO[bytes], encoding: str) -> Iterator[str]:
    offset = 0
    for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
        if len(line) > MAX_LINE_BYTES:
            raise UserError(f"{path}: line {number} is longer than {MAX_LINE_BYTES} bytes")
        try:
            text = line.decode(encoding)
        except UnicodeDecodeError as error:
            byte = offset + error.start
            raise UserError(f"{path}: expected UTF-8; line {number} is not (byte {byte})") from None
        yield text.removeprefix("\ufeff") if number == 1 else text
        offset += len(line)


def _utf16_lines(path: Path, stream: IO[bytes]) -> Iterator[str]:
    lines = io.TextIOWrapper(stream, encoding="utf-16", newline="")
    try:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_BYTES + 1), ""), 1):
            if len(line) > MAX_LINE_BYTES:
                raise UserError(f"{path}: line {number} is longer than {MAX_LINE_BYTES} characters")
            yield line
    except UnicodeError:
        raise UserError(f"{path}: begins as UTF-16 and is not; save it as UTF-8") from None


def _is_utf8(stream: IO[bytes]) -> bool:
    stream.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_western(stream: IO[bytes]) -> bool:
    """Whether a file that is not UTF-8 can be taken for Windows-1252: it has a character for every byte, few beyond
    ASCII, and nothing that looks like UTF-8 (a file of both is damaged)."""
    stream.seek(0)
    letters = foreign = 0
    for chunk in iter(lambda: stream.read(CHUNK_BYTES), b""):
        if len(chunk.translate(None, _UNDEFINED)) < len(chunk) or b"\0" in chunk or _UTF8_SEQUENCE.search(chunk):
            return False
        ascii_only = chunk.decode("ascii", "ignore")
        letters += sum(map(str.isalpha, ascii_only))
        foreign += len(chunk) - len(ascii_only)
    return foreign <= MOST_FOREIGN * letters


def _open(path: Path) -> IO[bytes]:
    refuse_linked_folder(Path(path))
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


# ---------------------------------------------------------------- kinds of file


def _jsonl_rows(path: Path, _wanted: Mapping[str, str]) -> Iterator[FileRow]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:  # ValueError also for numbers of thousands of digits
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise UserError(f"{path}: line {number} is not valid JSON: {reason}") from None
        if not isinstance(value, dict):
            raise UserError(f"{path}: line {number} is not a JSON object but {type(value).__name__}")
        yield FileRow(number, value)


def _csv_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[FileRow]:
    """Rows without a single value, as spreadsheets leave them below a table, are passed over."""
    lines = read_lines(path, western=True)
    first = next(lines, "")
    if "\0" in first:
        raise UserError(f"{path}: holds NUL characters, as UTF-16 does without a byte-order mark; save it as UTF-8")
    named = _NAMED_DELIMITER.fullmatch(first)
    first = next(lines, "") if named else first
    delimiter = named[1] if named else find_delimiter(first, list(wanted))
    reader = csv.reader(chain([first], lines), strict=True, delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not header:
            return
        _check_columns(path, wanted, header)
        for number, record in enumerate(filter(None, reader), 1):
            if len(record) > 1 and not any(record):
                continue
            if len(record) != len(header):
                raise UserError(
                    f"{path}: the row that ends in line {reader.line_num} has {len(record)} "
                    f"fields, the header {len(header)}"
                )
            yield FileRow(number, dict(zip(header, record, strict=True)))
    except csv.Error as error:
        reason = str(error)
        if "field larger than field limit" in reason:
            reason = f"a field of more than {MAX_LINE_BYTES} characters; is a quotation mark not closed?"
        raise UserError(f"{path}: line {reader.line_num} is not valid CSV: {reason}") from None


def find_delimiter(header: str, wanted: Sequence[str]) -> str:
    """The delimiter of a CSV file by its first line: under which all wanted columns are there, else that which makes
    the most columns; of equal ones the likelier."""

    def columns(delimiter: str) -> list[str]:
        try:
            return [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        except csv.Error:
            return []

    found = {delimiter: columns(delimiter) for delimiter in DELIMITERS}
    return max(DELIMITERS, key=lambda delimiter: (set(wanted) <= set(found[delimiter]), len(found[delimiter])))


def _parquet_rows(path: Path, wanted: Mapping[str, str]) -> Iterator[FileRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _open(path) as stream:
        try:
            file = pq.ParquetFile(stream)
            _check_columns(path, wanted, file.schema_arrow.names)
            batches = file.iter_batches(PARQUET_BATCH_ROWS, columns=list(wanted))
            records = (record for batch in batches for record in batch.to_pylist())
            for number, record in enumerate(records, 1):
                yield FileRow(number, record)
        except UnicodeDecodeError:
            raise UserError(f"{path}: expected UTF-8 in the columns {', '.join(wanted)}") from None
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: not a readable Parquet file: {one_line(error, 200)}") from None


def _check_columns(path: Path, wanted: Mapping[str, str], present: Sequence[str]) -> None:
    for column, wanted_as in wanted.items():
        if column not in present:
            raise no_column(path, column, wanted_as, present)
        if present.count(column) > 1:
            raise UserError(f"{path}: {present.count(column)} columns are named {column!r} ({wanted_as}); rename one")


_READERS: dict[str, Callable[[Path, Mapping[str, str]], Iterator[FileRow]]] = {
    "jsonl": _jsonl_rows,
    "csv": _csv_rows,
    "parquet": _parquet_rows,
}
