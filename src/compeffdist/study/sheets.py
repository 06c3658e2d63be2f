"""Sheets for people: rows with an empty column at their end, written for spreadsheets and read back from them.

A cell that one would take for a formula gets an apostrophe in front (OWASP, CSV injection), and the byte order mark at
a sheet's head makes spreadsheets read UTF-8.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from compeffdist.errors import UserError, one_line
from compeffdist.files import atomic_file
from compeffdist.texts.tables import read_rows

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
LONGEST_CELL = 32_000
"""Characters; a spreadsheet cell ends at 32,767."""
Value = TypeVar("Value")


def write_rows(target: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a sheet, atomically: tab-separated if `target` ends in .tsv, else comma-separated.

    Args:
        columns: names; the last one is that of the label.
        rows: cells of the other columns.
    """
    with atomic_file(target) as path, path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t" if target.suffix == ".tsv" else ",", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        writer.writerows([*map(harmless, row), ""] for row in rows)


def harmless(text: str) -> str:
    """A cell with this text."""
    # csv cannot write NUL, and a lone carriage return would end the row in some readers
    cell = text.replace("\0", "\N{REPLACEMENT CHARACTER}").replace("\r\n", "\n").replace("\r", "\n")
    cell = cell if len(cell) <= LONGEST_CELL else cell[: LONGEST_CELL - 1] + "…"
    return f"'{cell}" if cell.lstrip(" ").startswith(FORMULA) else cell


def read_column(
    source: Path, id_column: str, label_column: str, written_by: str, label_of: Callable[[str, str], Value]
) -> dict[str, Value]:
    """Labels by id; rows left blank are not in it. The sheet may be as any CSV file (`texts.tables`).

    Args:
        written_by: the option that writes such a sheet, for messages.
        label_of: a label from a cell's text and where it stands; raises UserError.

    Raises:
        UserError: as `read_rows`; naming the line: an id twice, a label that is none.
    """
    wanted = dict.fromkeys((id_column, label_column), f"of the sheet that {written_by} writes; keep its first line")
    labels: dict[str, Value] = {}
    seen: set[str] = set()
    for row in read_rows(source, "csv", wanted, ragged=True):
        where = f"{source}: line {row.line}"
        key, label = row.fields[id_column].strip(), row.fields[label_column].strip()
        if key in seen:
            raise UserError(f"{where}: {one_line(key, 80)} is there twice")
        seen.add(key)
        if label:
            labels[key] = label_of(label, where)
    return labels
