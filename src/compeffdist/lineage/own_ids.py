"""Rows by the ids that they have in their source: `my-comments:C1078`, or `C1078` alone where no other source has it.

A row that was kept is a text, which names its source and row; one that was left out is a reject, whose detail begins
with the two.
"""

import re

from compeffdist.artefacts import REJECTS, TEXTS
from compeffdist.errors import UserError, one_line
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.texts.row_ids import row_name

INGEST_REJECTS = f"{REJECTS}ingest_texts.parquet"
NAMED = 10
"""Rows that a refusal lists."""
_BEHIND = re.compile(r"| of .+| [a-z]+_[0-9a-f]{8,}", re.DOTALL)
"""What may stand behind the place of a rejected row: another row's, an id."""


def key_of_row(snapshot: Snapshot, reference: str) -> str:
    """The id under which a row of a source goes in a state of the data; empty if there is no such row. Raises UserError
    if several sources have one of that id, and lists them."""
    rows = _rows(snapshot, reference)
    if len(rows) > 1:
        told = ", ".join(sorted(rows)[:NAMED]) + (f" and {len(rows) - NAMED} more" if len(rows) > NAMED else "")
        raise UserError(f"{one_line(reference, 80)}: {len(rows)} sources have a row of that id: {one_line(told, 400)}")
    return next(iter(rows.values()), "")


def _rows(snapshot: Snapshot, reference: str) -> dict[str, str]:
    """`source:row` -> id of the record, of the rows that are meant: those of one source, if one is named."""
    kept = zip(*(snapshot.values(TEXTS, field) for field in ("source", "source_row", "id")), strict=True)
    found = {f"{source}:{row}": key for source, row, key in kept}
    left_out = snapshot.values(INGEST_REJECTS, "detail"), snapshot.values(INGEST_REJECTS, "record_id")
    sources = {place.partition(":")[0] for place in (*found, *left_out[0])}
    named = {f"{source}:{row}" for source, row in _meant(reference, sources)}
    rows = {place: found[place] for place in named if place in found}
    for detail, key in zip(*left_out, strict=True):
        for place in named:
            if detail.startswith(place) and _BEHIND.fullmatch(detail[len(place) :]):
                rows.setdefault(place, key)
    return rows


def _meant(reference: str, sources: set[str]) -> list[tuple[str, str]]:
    source, colon, row = reference.partition(":")
    if colon and source in sources:
        return [(source, row_name(row)), (source, row)]
    return [(source, name) for source in sorted(sources) for name in {row_name(reference), reference}]
