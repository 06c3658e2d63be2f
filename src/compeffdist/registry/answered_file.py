"""A user's file with a student's answers beside it: every row and column as it was, and columns of ours behind them.

Nothing of the user's is read and written again where that would change it: a line of JSON keeps its bytes, a Parquet
table its types; of CSV the fields are text as they stand, written with the file's own delimiter.
"""

import codecs
import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError, one_line
from compeffdist.files import atomic_file
from compeffdist.registry.prompted_rows import PromptedRow, kind_of
from compeffdist.texts.headers import header_of
from compeffdist.texts.lines import open_file, read_bounded_lines
from compeffdist.texts.normalise import whole_characters
from compeffdist.texts.tables import read_rows

PREFIX = "student_"
COLUMNS = ("label", "probability", "probabilities", "prior", "answer", "reject")
"""Ours, behind the prefix: the label with its probability and that of each label (JSON in CSV and Parquet); where the
prior came from; a free answer; why a row was not asked."""
Beside = Mapping[str, Any]
"""The values of our columns in a row, by COLUMNS; None where there is none."""


def check_out(path: Path, out: Path, prefix: str) -> None:
    """Before anything is asked. Raises UserError if the answers cannot be put beside the file's columns: another kind
    of file, the same file, a column of the user's that has the name of one of ours, or of another of the user's."""
    kind = kind_of(path)
    if kind_of(out) != kind or (kind == "jsonl" and out.suffix.lower() not in (".jsonl", ".ndjson", path.suffix)):
        raise UserError(f"{out}: must be of the same kind as {path}, whose columns it carries")
    if out.exists() and out.samefile(path):
        raise UserError(f"{out}: is the file that is read; name another with --out")
    present = header_of(path, kind)[0]
    if twice := next((name for name in present if present.count(name) > 1), ""):
        raise UserError(f"{path}: more than one column is named {twice!r}; rename one")
    rows = read_rows(path, kind, {}) if kind == "jsonl" else ()
    held = {*present, *(name for row in rows for name in row.fields)}
    if clash := next((f"{prefix}{name}" for name in COLUMNS if f"{prefix}{name}" in held), ""):
        raise UserError(f"{path}: has a column {clash!r} already; choose another beginning of ours with --prefix")


def beside(rows: Sequence[PromptedRow], results: Iterator[Mapping[str, Any]]) -> Iterator[Beside]:
    """What our columns hold for each row, in order; `results` are those of the rows that were asked."""
    for row in rows:
        result: Mapping[str, Any] = {"reject": row.reject} if row.reject else next(results)
        if "reject" in result:
            yield result
            continue
        probabilities = result.get("probabilities")
        label = result.get("label", result.get("polarity"))
        yield {
            "label": label,
            "probability": probabilities[label] if probabilities else None,
            "probabilities": dict(probabilities) if probabilities else None,
            "prior": result.get("prior"),
            "answer": result.get("answer"),
        }


def write_answered(path: Path, out: Path, prefix: str, values: Iterable[Beside]) -> None:
    """Write `out`: the rows of `path` with our columns; whole or not at all. Raises UserError if the file changed
    meanwhile."""
    written = {"csv": _csv, "parquet": _parquet, "jsonl": _jsonl}[kind_of(path)]
    with atomic_file(out) as temporary:
        try:
            written(path, temporary, prefix, list(values))
        except (ValueError, IndexError) as error:  # not as many rows as were asked
            raise UserError(f"{path}: changed while it was asked about: {one_line(error, 200)}") from None


def _csv(path: Path, target: Path, prefix: str, values: Sequence[Beside]) -> None:
    header, delimiter = header_of(path, "csv")
    with open_file(path) as stream:
        marked = stream.read(3).startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    # a spreadsheet that wrote a mark looks for one
    with target.open("w", encoding="utf-8-sig" if marked else "utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        writer.writerow([*header, *(f"{prefix}{name}" for name in COLUMNS)])
        for row, ours in zip(read_rows(path, "csv", {}), values, strict=True):
            own = [whole_characters(row.fields[name]) for name in header]
            writer.writerow([*own, *("" if cell is None else cell for cell in _cells(ours))])


def _parquet(path: Path, target: Path, prefix: str, values: Sequence[Beside]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_file(path) as stream:
        table = pq.read_table(stream)
    cells = list(zip(*map(_cells, values), strict=True))
    for name, column in zip(COLUMNS, cells, strict=True):
        kind = pa.float64() if name == "probability" else pa.string()
        table = table.append_column(f"{prefix}{name}", pa.array(column, kind))
    pq.write_table(table, target)


def _jsonl(path: Path, target: Path, prefix: str, values: Sequence[Beside]) -> None:
    lines = (line for line in read_bounded_lines(path) if line is None or line.strip())
    with target.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        # half a character is written as JSON escapes it
        for line, ours in zip(lines, values, strict=True):
            told = {f"{prefix}{name}": ours[name] for name in COLUMNS if ours.get(name) is not None}
            added = json.dumps(told, ensure_ascii=False)[1:-1]
            whole = (line or "{}").strip()[:-1].rstrip()
            stream.write(f"{whole}{'' if whole.endswith('{') else ', '}{added}}}\n")


def _cells(ours: Beside) -> list[Any]:
    """Our columns in a row of a table."""
    values = {**ours, "probabilities": None}
    if ours.get("probabilities"):
        values["probabilities"] = json.dumps(ours["probabilities"], ensure_ascii=False)
    return [values.get(name) for name in COLUMNS]
