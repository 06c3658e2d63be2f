"""What must hold of the user texts: whole records, every source row accounted for, nothing of the evaluation rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from compeffdist.artefacts import EVALUATION, TEXTS, metrics_of, rejects_of
from compeffdist.gates.expected import Figure, none_of
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import Table, read_table
from compeffdist.given import Given
from compeffdist.records import Reject, Text
from compeffdist.texts.decontaminate import contaminated

GUARDS = (TEXTS,)
COUNTS = metrics_of("ingest_texts")


def gather(given: Given) -> Evidence:
    """The texts, what ingest rejected and counted, and the evaluation rows.

    Raises:
        UserError: if one of them cannot be read.
    """
    texts, rejects = read_table(given, TEXTS), read_table(given, rejects_of("ingest_texts"))
    counts = given[COUNTS]
    return Evidence([texts, rejects], lambda: _measure(given, texts, rejects, counts))


def contamination(given: Given, texts: Sequence[Text]) -> Figure:
    """Texts that hold an evaluation text or part of one."""
    evaluation = {row.id: row.text for row in given[EVALUATION]}
    overlap = given.params.texts.contamination_overlap
    found = contaminated({text.id: text.text for text in texts}, evaluation, overlap)
    advice = "they hold an evaluation text or part of one: run dvc repro -f ingest_texts"
    return none_of("contaminated_texts", sorted(found), advice, "texts.contamination_overlap")


def _measure(given: Given, texts: Table[Text], rejects: Table[Reject], counts: Mapping[str, Any]) -> Measured:
    kept = Counter(text.source for text in texts.records)
    off = [name for name, source in counts.get("sources", {}).items() if source.get("out") != kept[name]]
    figures = [
        Figure("texts", len(texts.rows), low=1, advice="no text is left: see the reasons in metrics/ingest_texts.json"),
        Figure("evaluation_rows", len(given[EVALUATION])),
        Figure(
            "rows_unaccounted",
            counts.get("in", 0) - len(texts.rows) - len(rejects.rows),
            low=0,
            high=0,
            advice=f"rows in = texts + rejects does not hold of {COUNTS}: run dvc repro -f ingest_texts",
            offenders=[f"source:{name}" for name in off],
        ),
        contamination(given, texts.records),
    ]
    domains = Counter(text.domain for text in texts.records)
    return Measured(figures, [Distribution.of_counts("Texts by domain", domains)])
