"""What must hold of the user texts: whole records, every source row accounted for, nothing of the evaluation rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.evaluation.tasks import EvaluationRow
from compeffdist.files import read_json
from compeffdist.gates.expected import Figure, none_of
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import Table, read_table
from compeffdist.record_files import read_records
from compeffdist.records import Reject, Text
from compeffdist.texts.decontaminate import contaminated

TEXTS = Path("data/texts.parquet")
REJECTS = Path("data/rejects/ingest_texts.parquet")
EVALUATION = Path("data/evaluation.jsonl")
COUNTS = Path("metrics/ingest_texts.json")


def look_at_texts(overlap: float) -> Evidence:
    """The texts, what ingest rejected and counted, and the evaluation rows.

    Args:
        overlap: `texts.contamination_overlap`.

    Raises:
        UserError: if one of them cannot be read.
    """
    texts, rejects = read_table(TEXTS, Text), read_table(REJECTS, Reject)
    counts = read_json(COUNTS)
    return Evidence([texts, rejects], lambda: _measure(texts, rejects, counts, overlap))


def evaluation_texts() -> dict[str, str]:
    """Row id -> text of the evaluation rows, which no text of ours may hold."""
    return {row.id: row.text for row in read_records(EVALUATION, EvaluationRow)}


def contamination(texts: Sequence[Text], evaluation: Mapping[str, str], overlap: float) -> Figure:
    """Texts that hold an evaluation text or part of one."""
    found = contaminated({text.id: text.text for text in texts}, evaluation, overlap)
    advice = "they hold an evaluation text or part of one: run dvc repro -f ingest_texts"
    return none_of("contaminated_texts", sorted(found), advice, "texts.contamination_overlap")


def _measure(texts: Table[Text], rejects: Table[Reject], counts: Mapping[str, Any], overlap: float) -> Measured:
    evaluation = evaluation_texts()
    kept = Counter(text.source for text in texts.records)
    off = [name for name, source in counts.get("sources", {}).items() if source.get("out") != kept[name]]
    figures = [
        Figure("texts", len(texts.rows), low=1, advice="no text is left: see the reasons in metrics/ingest_texts.json"),
        Figure("evaluation_rows", len(evaluation)),
        Figure(
            "rows_unaccounted",
            counts.get("in", 0) - len(texts.rows) - len(rejects.rows),
            low=0,
            high=0,
            advice=f"rows in = texts + rejects does not hold of {COUNTS}: run dvc repro -f ingest_texts",
            offenders=[f"source:{name}" for name in off],
        ),
        contamination(texts.records, evaluation, overlap),
    ]
    domains = Counter(text.domain for text in texts.records)
    return Measured(figures, [Distribution.of_counts("Texts by domain", domains)])
