"""The columns of a file of rows before any row is read: names as they stand, also those that stand twice."""

import csv
from pathlib import Path

from compeffdist.errors import UserError, one_line
from compeffdist.texts.csv_form import find_form, names
from compeffdist.texts.lines import MAX_LINE_BYTES, open_file, read_lines


def header_of(path: Path, kind: str) -> tuple[list[str], str]:
    """Names of the columns of a CSV or Parquet file, in order, and the delimiter of CSV; nothing of JSON Lines, which
    have no header. Raises UserError as `read_rows`, and if a name is none."""
    if kind == "jsonl":
        return [], ""
    return (_of_parquet(path), "") if kind == "parquet" else _of_csv(path)


def _of_parquet(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_file(path) as stream:
        try:
            return list(pq.ParquetFile(stream).schema_arrow.names)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: not a readable Parquet file: {one_line(error, 200)}") from None


def _of_csv(path: Path) -> tuple[list[str], str]:
    form, lines = find_form(read_lines(path, western=True), [])
    csv.field_size_limit(MAX_LINE_BYTES)
    try:
        found = names(next(csv.reader(lines, delimiter=form.delimiter, skipinitialspace=form.spaced), []))
    except csv.Error as error:
        raise UserError(f"{path}: not valid CSV: {error}") from None
    if odd := next((name for name in found if not name.isprintable()), ""):
        raise UserError(f"{path}: no table: its header holds what no name of a column does ({one_line(odd, 60)!r})")
    return found, form.delimiter
