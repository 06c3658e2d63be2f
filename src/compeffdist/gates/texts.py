"""What must hold of the user texts: whole records, every source row accounted for, nothing of the evaluation rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from compeffdist.artefacts import EVALUATION, TEXTS, metrics_of, rejects_of
from compeffdist.gates.expected import NOUGHT, SOME, Columns, Expectation, no_row, row_count, stated
from compeffdist.gates.figures import Figures
from compeffdist.gates.gate import Inputs, Rows
from compeffdist.gates.outcome import Distribution
from compeffdist.given import Given
from compeffdist.records import Text
from compeffdist.texts.decontaminate import contaminated

GUARDS = (TEXTS,)
REJECTS, COUNTS = rejects_of("ingest_texts"), metrics_of("ingest_texts")


class SourceRows(Figures):
    """What became of a source's rows."""

    read: int = Field(alias="in")
    out: int
    rejected: int


class Ingested(Figures):
    """What became of all rows."""

    read: int = Field(alias="in")
    sources: dict[str, SourceRows]


def rows(given: Given) -> Rows:
    return {TEXTS: [], REJECTS: []}


def expectations(seen: Inputs) -> list[Expectation]:
    texts = seen[TEXTS]
    return [
        row_count("texts", texts.by("id"), SOME, "no text is left: see the reasons in metrics/ingest_texts.json"),
        *_accounted(texts.records, seen[REJECTS].count, seen.figures(COUNTS, Ingested)),
        *not_contaminated(seen, texts.records),
    ]


def distributions(seen: Inputs) -> list[Distribution]:
    return [Distribution.of_counts("Texts by domain", Counter(text.domain for text in seen[TEXTS].records))]


def _accounted(texts: Sequence[Text], rejected: int, counts: Mapping[str, Any]) -> list[Expectation]:
    """Source rows in = texts + rejects, of each source and of all."""
    kept, sources = Counter(text.source for text in texts), counts["sources"]
    names = sorted(kept.keys() | sources.keys())
    off = [name not in sources or not _adds_up(sources[name], kept[name]) for name in names]
    table = Columns([f"source:{name}" for name in names])
    advice = f"rows in = texts + rejects does not hold of {COUNTS}: run dvc repro -f ingest_texts"
    missing = counts["in"] - len(texts) - rejected
    of_sources = counts["in"] - sum(source["in"] for source in sources.values())
    return [
        stated("rows_unaccounted", missing, NOUGHT, advice),
        stated("rows_of_no_source", of_sources, NOUGHT, advice),
        no_row("sources_unaccounted", table, off, advice),
    ]


def _adds_up(source: Mapping[str, int], kept: int) -> bool:
    """Whether a source's rows are its texts and its rejects."""
    return source["out"] == kept and source["in"] == kept + source["rejected"]


def not_contaminated(seen: Inputs, texts: Sequence[Text]) -> list[Expectation]:
    """No text holds an evaluation text or part of one, and there are some to compare with."""
    evaluation = {row.id: row.text for row in seen.read(EVALUATION)}
    overlap = seen.given.params.texts.contamination_overlap
    found = contaminated({text.id: text.text for text in texts}, evaluation, overlap)
    table = Columns([text.id for text in texts])
    advice = "they hold an evaluation text or part of one: run dvc repro -f ingest_texts"
    faulty = [key in found for key in table.keys]
    return [
        stated("evaluation_rows", len(evaluation), SOME, f"{EVALUATION} holds no row, so that nothing was compared"),
        no_row("contaminated_texts", table, faulty, advice, "texts.contamination_overlap"),
    ]
