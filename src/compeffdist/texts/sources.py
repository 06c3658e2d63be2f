"""Sources of user texts: files of rows (`tables`), Hugging Face datasets and package corpora, read row by row.

A single row that cannot be used (no text, not a string, far too large) is passed on with its fault, to be
rejected and counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compeffdist.errors import UserError, one_line
from compeffdist.params import TextSource
from compeffdist.texts.corpora import find_corpus, load_corpus, part_of
from compeffdist.texts.hub import dataset_rows
from compeffdist.texts.row_ids import csv_id, row_name, same_id, unnamed, written_id
from compeffdist.texts.tables import FileRow, no_column, read_rows

MAX_TEXT_CHARACTERS = 100_000
"""A longer text is rejected before anything looks into it."""

UNSTATED = "unstated"


@dataclass(frozen=True)
class RawText:
    """A row of a source, before normalisation."""

    source: str
    row: str
    """The row's id in its source: its own (`id_field`), else its number from 1 (of the line, in JSON Lines)."""
    text: str
    domain: str
    licence: str
    fault: str = ""
    """Why the row cannot be used, a reject reason: `no_text`, `not_a_string`, `too_large`, `encoding_lost`."""


def read_source(source: TextSource, cache: Path) -> Iterator[RawText]:
    """The rows of a source, or of the part of it that `source.part` names, in the source's order.

    Raises:
        UserError: no such file, dataset, corpus or column; a broken file (names the line or byte); wrong encoding; no
            rows; not one usable text; an `id_field` value that is missing or stands twice.
    """
    if source.kind == "package":
        return _counted(source, _package_rows(source, cache))
    wanted = source_fields(source)
    if source.kind == "huggingface":
        rows = dataset_rows(source.location, wanted, cache)
    else:
        rows = read_rows(Path(source.location), source.kind, wanted)
    return _counted(source, _file_rows(source, rows))


def source_fields(source: TextSource) -> dict[str, str]:
    """The fields of a row that a source reads, each with what it is wanted as, by its key in params."""
    wanted = {source.text_field: _wanted_as(source, "text_field"), source.id_field: _wanted_as(source, "id_field")}
    wanted.pop("", None)
    return wanted


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


def _file_rows(source: TextSource, rows: Iterator[FileRow]) -> Iterator[RawText]:
    names = _Names(source)
    missing: list[str] | None = None
    has_column = False
    for row in rows:
        name = names.of(row)
        if source.text_field in row.fields:
            has_column = True
        elif missing is None and not row.fault:
            missing = sorted(row.fields)
        if source.part not in ("all", part_of(source.location, name)):
            continue
        value = row.fields.get(source.text_field)
        fault = row.fault or _fault(value)
        yield RawText(source.name, name, "" if fault else str(value), source.domain, source.licence, fault)
    if missing is not None and not has_column:
        raise _missing(source, "text_field", missing)


def _fault(value: object) -> str:
    if value is None:
        return "no_text"
    if not isinstance(value, str):
        return "not_a_string"
    return "too_large" if len(value) > MAX_TEXT_CHARACTERS else ""


class _Names:
    """The names of a source's rows. Lineage finds a row by its name, so each must be there and be unique."""

    def __init__(self, source: TextSource) -> None:
        self.source = source
        self.ids: dict[str, tuple[int, object]] = {}
        """Id as text -> number of its row, and the id as it was read."""

    def of(self, row: FileRow) -> str:
        """Raises UserError if a row's own id is missing or another row's."""
        field, location = self.source.id_field, self.source.location
        if not field:
            return str(row.number)
        if row.fault:  # nothing is known of it, its id neither
            return unnamed(row.number)
        if field not in row.fields:
            raise _missing(self.source, "id_field", sorted(row.fields), row.number)
        value = row.fields[field]
        written = written_id(csv_id(value) if self.source.kind == "csv" else value)
        if not written:
            raise UserError(
                f"{location}: row {row.number} has no id in {field!r}: "
                f"{one_line(repr(value), 40)} is neither text nor a whole number"
            )
        if written in self.ids:
            former, id_before = self.ids[written]
            raise UserError(
                f"{location}: rows {former} and {row.number} have the same {field} {row_name(written)!r}"
                f"{same_id(id_before, value)}; leave id_field empty to go by row number"
            )
        self.ids[written] = row.number, value
        return row_name(written)


def _missing(source: TextSource, param: str, present: Sequence[str], row: int = 0) -> UserError:
    return no_column(source.location, getattr(source, param), _wanted_as(source, param), present, row)


def _wanted_as(source: TextSource, param: str) -> str:
    return f"{param} of text source {source.name!r}"
