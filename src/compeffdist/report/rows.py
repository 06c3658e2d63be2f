"""Rows to search: as many as the page has room for, and all of them in a Parquet file beside it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from compeffdist.files import atomic_file
from compeffdist.record_streams import BATCH_ROWS
from compeffdist.records import Draw, Instruction, Perspective, Text, by_id
from compeffdist.report.run import Answered, Run
from compeffdist.svg import type_name

if TYPE_CHECKING:
    import pyarrow as pa

ROOM = 3_000_000
"""Bytes of rows in the page."""
LONGEST = 600
"""Characters of a text, prompt or response in the page."""
FILE = "rows.parquet"


def browser(run: Run) -> Iterator[str]:
    """Form, list and data of the rows, as HTML; `script.BROWSER` brings them to life."""
    data, shown = payload(run)
    yield "<h2 id='rows'>Rows</h2>"
    yield f"<p>{_told(run, shown)}</p>"
    yield "<noscript><p>Searching needs scripts, which are switched off here; the file has every row.</p></noscript>"
    yield FORM
    yield f'<script type="application/json" id="row-data">{data}</script>'


def _told(run: Run, shown: int) -> str:
    every = run.scored
    predicted = len(run.draws) - every
    some = f"{shown:,} of {every:,} rows, evenly over difficulty" if shown < every else f"All {every:,} scored rows"
    more = f" {predicted:,} more were sampled by a predicted difficulty." if predicted > 0 else ""
    return (
        f"{some}, each with where it comes from and the command that shows all of it. Every row, at full length, is in "
        f"<code>{FILE}</code> beside this page.{more}"
    )


FORM = """<form id="row-form" class="rows" role="search" aria-label="Rows">
<label>Search <input type="search" name="words" autocomplete="off"
placeholder="text, response, task or id"></label>
<label>Task <select name="task"><option value="">all</option></select></label>
<label>Label <select name="label"><option value="">all</option></select></label>
<label>Difficulty <select name="difficulty"><option value="">any</option></select></label>
<label>Kept <select name="kept"><option value="">either</option><option value="1">kept</option>
<option value="0">not kept</option></select></label>
<label>Order <select name="order"><option value="-1">hardest first</option><option value="1">easiest first</option>
</select></label></form>
<p id="row-count" role="status" class="quiet"></p><ol id="row-list" class="rows"></ol>
<p class="turn"><button type="button" id="row-back">Back</button>
<button type="button" id="row-on">Further</button></p>"""
STYLE = """
form.rows{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,10.5rem),1fr));gap:.6rem 1rem;
align-items:end}
form.rows label{display:block;color:var(--quiet);font-size:.87rem;min-width:0}
form.rows input,form.rows select,.turn button{font:inherit;color:var(--ink);background:var(--soft);width:100%;
border:1px solid var(--line);border-radius:.35rem;padding:.4rem .5rem;box-sizing:border-box}
.turn button{width:auto;padding:.4rem 1rem;cursor:pointer}.turn button:disabled{opacity:.5;cursor:default}
ol.rows{list-style:none;margin:0;padding:0}
ol.rows li{border-top:1px solid var(--line);padding:.7rem 0}
ol.rows p{margin:.15rem 0;unicode-bidi:isolate}ol.rows .response{font-weight:600}
ol.rows summary{color:var(--quiet);cursor:pointer;font-size:.87rem}ol.rows details p{white-space:pre-wrap}
ol.rows .ids{font:12px/1.5 ui-monospace,monospace}
"""


def payload(run: Run) -> tuple[str, int]:
    """The rows in JSON that cannot end the element it stands in, and how many there are: all, or every so many from
    hard to easy."""
    known, shown, step = Known.of(run), _ranked(run.draws), 1
    scored = shown
    # of a million rows the JSON is measured piece by piece, and made of those alone that fit
    while (size := sum(len(piece.encode()) for piece in _pieces(known, shown))) > ROOM:
        step = max(step + 1, round(step * size / ROOM))
        shown = scored[step // 2 :: step]
    return "".join(_pieces(known, shown)), len(shown)


@dataclass(frozen=True)
class Known:
    """What rows are made of, by id."""

    texts: Mapping[str, Text]
    triplets: Mapping[str, Answered]
    instructions: Mapping[str, Instruction]
    perspectives: Mapping[str, Perspective]

    @classmethod
    def of(cls, run: Run) -> Self:
        triplets, perspectives = {row.id: row for row in run.triplets}, by_id(run.perspectives)
        return cls(by_id(run.texts), triplets, by_id(run.instructions), perspectives)


def _ranked(draws: Sequence[Draw]) -> list[Draw]:
    """Those of scored rows, hardest first by what the sampler ranks by; the others have no answer yet."""
    return sorted((draw for draw in draws if draw.triplet_id), key=lambda draw: (-draw.difficulty, draw.triplet_id))


def _pieces(known: Known, scored: Sequence[Draw]) -> Iterator[str]:
    """The JSON in pieces: texts and instructions once each; a row is their places, response, difficulty, chance, kept
    and its id."""
    texts: dict[str, int] = {}
    instructions: dict[str, int] = {}
    for draw in scored:
        triplet = known.triplets[draw.triplet_id]
        texts.setdefault(triplet.text_id, len(texts))
        instructions.setdefault(triplet.instruction_id, len(instructions))

    def rows() -> Iterator[Any]:
        for draw in scored:
            triplet = known.triplets[draw.triplet_id]
            places = [texts[triplet.text_id], instructions[triplet.instruction_id]]
            chance = [round(draw.difficulty, 3), round(draw.inclusion_probability, 2), int(draw.kept)]
            yield [*places, _cut(triplet.response), *chance, triplet.id]

    shown = (known.texts[one] for one in texts)
    found = {
        "texts": ([text.id, _cut(text.text), text.domain, text.source, _cut(text.source_row)] for text in shown),
        "instructions": (_instruction(known.instructions[one], known.perspectives) for one in instructions),
        "rows": rows(),
    }
    for name, values in found.items():
        yield f'{"," if name != "texts" else "{"}"{name}":['
        for number, value in enumerate(values):
            # "</script>" and "<!--" would be read by the browser before the JSON is
            written = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
            yield f",{written}" if number else written
        yield "]"
    yield "}"


def _instruction(instruction: Instruction, perspectives: Mapping[str, Perspective]) -> list[str]:
    """The last is its perspective, empty for a task of the user's own, which is of none."""
    perspective = perspectives.get(instruction.perspective_id)
    shown = [instruction.task_name, type_name(instruction.type), _cut(instruction.prompt)]
    return [instruction.id, *shown, perspective.head if perspective else ""]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def rows_table(run: Run) -> "pa.Table":
    """Every scored row with what it was made from, hardest first."""
    import pyarrow as pa

    numbers = {"difficulty": pa.float64(), "inclusion_probability": pa.float64(), "kept": pa.bool_()}
    schema = pa.schema([(name, numbers.get(name, pa.string())) for name in COLUMNS])
    known, draws = Known.of(run), _ranked(run.draws)
    parts = (draws[start : start + BATCH_ROWS] for start in range(0, max(len(draws), 1), BATCH_ROWS))
    return pa.concat_tables(pa.Table.from_pylist([_row(draw, known) for draw in part], schema) for part in parts)


COLUMNS = (
    *("triplet_id", "text_id", "instruction_id", "task", "type", "domain", "text", "response", "monitored"),
    *("difficulty", "inclusion_probability", "kept"),
)


def _row(draw: Draw, known: Known) -> dict[str, Any]:
    triplet = known.triplets[draw.triplet_id]
    text, instruction = known.texts[triplet.text_id], known.instructions[triplet.instruction_id]
    values: list[str | None] = [
        triplet.id,
        text.id,
        instruction.id,
        instruction.task_name,
        instruction.type,
        text.domain,
        text.text,
    ]
    values += [triplet.response, triplet.monitored]
    return dict(zip(COLUMNS, [*values, draw.difficulty, draw.inclusion_probability, draw.kept], strict=True))


def write_rows(run: Run, target: Path) -> None:
    """Write `rows_table`, atomically."""
    import pyarrow.parquet as pq

    with atomic_file(target) as path:
        pq.write_table(rows_table(run), path, compression="zstd")
