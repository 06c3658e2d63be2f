"""A file of texts as an entry of `texts.sources`: what is in it, and what would be kept of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from compeffdist.adding.drawing import Draw, expected_draw
from compeffdist.adding.guessing import id_column, text_column
from compeffdist.adding.places import Place, name_of, place_of
from compeffdist.adding.table import Table, look_at, overheard
from compeffdist.artefacts import EVALUATION
from compeffdist.errors import UserError, one_line
from compeffdist.models import cache_folder
from compeffdist.params import Params, TextSource, fault_of
from compeffdist.record_files import read_records
from compeffdist.records import EvaluationRow
from compeffdist.texts.ingest_texts import NoTextLeft, ingest, left_out
from compeffdist.texts.language import looks_english
from compeffdist.texts.normalise import normalise
from compeffdist.texts.sources import read_source
from compeffdist.texts.withdrawals import withdrawn_ids

MOST_COMPARED = 20_000
"""Texts among which near-duplicates are looked for: some seconds."""
KEYS = ("texts", "sources")
ADVICE = {
    "not_english": "most texts are not English: texts.language: any in params.yaml keeps them",
    "too_long": "most texts are too long: texts.max_characters, or texts.too_long: truncate, in params.yaml keeps them",
    "too_short": "most texts are too short: texts.min_characters in params.yaml is the bound",
}
"""Reason -> what to say where it leaves out most rows."""


@dataclass(frozen=True)
class Lengths:
    """Characters of normalised texts that are not empty."""

    shortest: int
    median: int
    longest: int


@dataclass(frozen=True)
class NewSource:
    """A source that is not in params.yaml yet."""

    table: Table
    place: Place
    source: TextSource
    why: str
    """How the text column was found."""
    others: tuple[str, ...]
    """Further columns that hold texts."""
    lengths: Lengths
    english: float
    """Share of the texts that passes as English."""
    kept: int
    """Rows that would be kept, if it were the only source and all texts were drawn."""
    left_out: Mapping[str, int]
    """Reason -> rows."""
    unlooked: tuple[str, ...]
    """What was not looked for."""
    draw: Draw
    """What a run draws of the rows that would be kept."""

    @property
    def entry(self) -> dict[str, Any]:
        """What goes into params.yaml."""
        return self.source.model_dump(mode="json")

    @property
    def advice(self) -> list[str]:
        """What would keep most of the rows, where most are left out."""
        return _advice(self.left_out, self.table.rows)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            **self.table.to_json(),
            "why": self.why,
            "other_text_columns": list(self.others),
            "characters": asdict(self.lengths),
            "english": round(self.english, 3),
            "kept": self.kept,
            "left_out": dict(self.left_out),
            "unlooked": list(self.unlooked),
            "draw": self.draw.to_json(),
            **self.place.to_json(),
            "entry": self.entry,
        }


def new_source(file: Path, params: Params, given: Mapping[str, Any], *, alone: bool = False) -> NewSource:
    """Look at a file and make a source of it.

    Args:
        alone: it takes the place of the sources that params have.
        given: fields of the TextSource that the user states; `name`, `domain`, `text_field` and `id_field` are guessed
            where they are not among them.

    Raises:
        UserError: as `look_at` and `read_source`; no column looks like texts; not one text would be kept; params have a
            source of that name or file; another file of its name lies where this one would.
    """
    if alone:
        params = params.model_copy(update={"texts": params.texts.model_copy(update={"sources": []})})
    table, place = look_at(file), place_of(file)
    stated = given.get("text_field")
    column, why = (table.column(stated, "--text-field"), "as said") if stated else text_column(table)
    if given.get("id_field"):
        table.column(given["id_field"], "--id-field")
    own_id = id_column(table, column.name)
    name = name_of(file, given.get("name"))
    fields = {
        **{"name": name, "kind": table.kind, "location": place.location, "domain": name},
        **{"text_field": column.name, "id_field": own_id.name if own_id else ""},
        **given,
    }
    try:
        source = TextSource(**fields)
    except ValidationError as error:
        raise UserError(f"{file}: {fault_of(error)}") from None
    for other in params.texts.sources:
        if other.name == source.name:
            raise UserError(f"params.yaml: texts.sources has {other.name!r} already; choose another with --name")
        if other.location == source.location and other.text_field == source.text_field:
            raise UserError(f"params.yaml: texts.sources {other.name!r} reads {source.location} already")
    others = tuple(held.name for held in table.usable() if held.is_prose and held is not column)
    cache = cache_folder(params.runtime.cache)
    lengths, english, kept, reasons, unlooked = _tried(source, file, params, cache)
    draw = expected_draw(source, kept, params, withdrawn_ids(), cache)
    return NewSource(table, place, source, why, others, lengths, english, kept, reasons, unlooked, draw)


def _tried(
    source: TextSource, file: Path, params: Params, cache: Path
) -> tuple[Lengths, float, int, Mapping[str, int], tuple[str, ...]]:
    """What ingestion makes of the file where it lies now. Raises UserError, with the reasons, if it keeps nothing."""
    here = source.model_copy(update={"location": str(file.absolute())})
    with overheard():
        texts = [normalise(row.text) for row in read_source(here, cache)]
    whole = [text for text in texts if text]
    evaluation = {row.id: row.text for row in _evaluation_rows()}
    unlooked = [] if evaluation else [f"texts of the evaluation rows ({EVALUATION} is not here yet)"]
    alone: dict[str, Any] = {"sources": [here], "count": len(texts)}
    if len(whole) > MOST_COMPARED:
        alone["near_duplicate_similarity"] = 1.0
        unlooked.append(f"near-duplicates (more than {MOST_COMPARED:,} texts)")
    try:
        with overheard():
            _, _, metrics = ingest(
                params.texts.model_copy(update=alone), evaluation, params.seed, cache, withdrawn_ids()
            )
    except NoTextLeft as error:
        told = "; ".join([left_out(error.reasons), *_advice(error.reasons, len(texts))])
        column = one_line(repr(source.text_field), 60)
        raise UserError(f"{file}: no row of column {column} would be kept; left out: {told}") from None
    sizes = sorted(map(len, whole))
    english = sum(map(looks_english, whole)) / len(whole)
    lengths = Lengths(sizes[0], round(median(sizes)), sizes[-1])
    return lengths, english, metrics["out"], metrics["reasons"], tuple(unlooked)


def _advice(reasons: Mapping[str, int], rows: int) -> list[str]:
    return [told for reason, told in ADVICE.items() if reasons.get(reason, 0) > 0.5 * rows]


def _evaluation_rows() -> list[EvaluationRow]:
    path = Path(EVALUATION)
    return read_records(path, EvaluationRow) if path.exists() else []
