"""Sources of user texts: files of rows (`tables`), Hugging Face datasets and package corpora, read row by row.

A single row that cannot be used (no text, not a string, far too large) is passed on with its fault, to be
rejected and counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compeffdist.errors import UserError, one_line
from compeffdist.files import hash_text
from compeffdist.params import TextSource
from compeffdist.texts.corpora import find_corpus, load_corpus, part_of
from compeffdist.texts.tables import FileRow, no_column, read_rows

MAX_TEXT_CHARACTERS = 100_000
"""A longer text is rejected before anything looks into it."""
MAX_ID_CHARACTERS = 200
"""Of a row's own id; a longer one is cut and told apart by a hash."""

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


def read_source(source: TextSource, cache: Path) -> Iterator[RawText]:
    """The rows of a source, or of the part of it that `source.part` names, in the source's order.

    `cache` is the folder for packages and datasets.

    Raises:
        UserError: no such file, dataset, corpus or column; a broken file (names the line or byte); wrong
            encoding; no rows; not one usable text; an `id_field` value that is missing or stands twice.
    """
    if source.kind == "package":
        rows = _package_rows(source, cache)
    elif source.kind == "huggingface":
        rows = _file_rows(source, _huggingface_rows(source, cache))
    else:
        wanted = {source.text_field: _wanted_as(source, "text_field"), source.id_field: _wanted_as(source, "id_field")}
        wanted.pop("", None)
        rows = _file_rows(source, read_rows(Path(source.location), source.kind, wanted))
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


def _file_rows(source: TextSource, rows: Iterator[FileRow]) -> Iterator[RawText]:
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
        raise _missing(source, "text_field", missing)


def _fault(value: object) -> str:
    if value is None:
        return "no_text"
    if not isinstance(value, str):
        return "not_a_string"
    return "too_large" if len(value) > MAX_TEXT_CHARACTERS else ""


def _row_name(source: TextSource, row: FileRow, seen: dict[str, int]) -> str:
    """Lineage finds a row by this, so it must be there and be unique."""
    if not source.id_field:
        return str(row.number)
    if source.id_field not in row.fields:
        raise _missing(source, "id_field", sorted(row.fields), row.number)
    value = row.fields[source.id_field]
    if isinstance(value, float) and value.is_integer():  # as programs write whole numbers beside a missing one
        value = int(value)
    if not isinstance(value, str | int) or value == "":
        raise UserError(
            f"{source.location}: row {row.number} has no id in {source.id_field!r}: "
            f"{one_line(repr(value), 40)} is neither text nor a whole number"
        )
    name = one_line(value, MAX_ID_CHARACTERS)
    if len(str(value)) > MAX_ID_CHARACTERS:
        name = f"{name} {hash_text(str(value))[:12]}"
    if name in seen:
        raise UserError(
            f"{source.location}: rows {seen[name]} and {row.number} have the same {source.id_field} "
            f"{name!r}; leave id_field empty to go by row number"
        )
    seen[name] = row.number
    return name


def _missing(source: TextSource, param: str, present: Sequence[str], row: int = 0) -> UserError:
    return no_column(source.location, getattr(source, param), _wanted_as(source, param), present, row)


def _wanted_as(source: TextSource, param: str) -> str:
    return f"{param} of text source {source.name!r}"


# ---------------------------------------------------------------- datasets


def _huggingface_rows(source: TextSource, cache: Path) -> Iterator[FileRow]:
    """Downloaded once into the cache (not streamed), so that a later run needs no network and a split may be
    a slice such as `train[:20000]`. Dataset scripts are not run: the library refuses them."""
    import datasets

    repo, revision, split = parse_dataset(source.location)
    try:
        rows = datasets.load_dataset(repo, revision=revision, split=split, cache_dir=str(cache / "datasets"))
    except Exception as error:  # the library and the hub client raise dozens of unrelated types
        raise UserError(f"{source.location}: the dataset cannot be loaded: {one_line(error, 300)}") from None
    if source.text_field not in rows.column_names:
        raise _missing(source, "text_field", rows.column_names)
    for number, record in enumerate(rows, 1):
        yield FileRow(number, record)


def parse_dataset(location: str) -> tuple[str, str, str]:
    """Repository, revision and split of `repo@revision:split`. Raises UserError if one is missing."""
    repo, _, rest = location.partition("@")
    revision, _, split = rest.partition(":")
    if not (repo and revision and split):
        raise UserError(f"dataset {location!r}: expected repo@revision:split; a commit as revision fixes the rows")
    return repo, revision, split
