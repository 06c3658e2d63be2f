"""Evaluation tasks: labelled rows that teacher, base student and student are all asked about.

Rows come from a package corpus with labels or from a JSON Lines file. They are drawn evenly over labels, so
that macro-F1 and accuracy speak of the same thing and a rare label has enough rows to judge by. The draw is
by content and seed alone; ingest removes from the user texts whatever these rows hold.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.params import EvaluationParams, EvaluationTask, stage_seed
from compeffdist.records import Record
from compeffdist.texts.corpora import find_corpus, load_corpus, part_of
from compeffdist.texts.decontaminate import compact
from compeffdist.texts.draw import draw_evenly
from compeffdist.texts.normalise import normalise
from compeffdist.texts.sources import MAX_TEXT_CHARACTERS, UNSTATED, read_jsonl_objects


@dataclass(frozen=True, kw_only=True)
class EvaluationRow(Record):
    """A labelled text of an evaluation task, after the same normalisation as user texts."""

    PREFIX = "row"
    IDENTITY = ("task", "text", "label")

    task: str
    """Name of the task in params."""
    text: str
    label: str
    source_row: str
    """The row's own id in the corpus, or its line in the file."""
    licence: str


def load_evaluation(params: EvaluationParams, seed: int, cache: Path) -> tuple[list[EvaluationRow], dict[str, Any]]:
    """The drawn rows of all tasks, in the order of the tasks and sorted by id within each, and their counts:
    task -> `requested`, `rows`, and `labels` (rows of each).

    Raises:
        UserError: as `load_evaluation_rows`.
    """
    rows: list[EvaluationRow] = []
    counts: dict[str, Any] = {}
    for task in params.tasks:
        drawn = load_evaluation_rows(task, seed, cache)
        labels = Counter(row.label for row in drawn)
        counts[task.name] = {
            "requested": task.rows,
            "rows": len(drawn),
            "labels": {label: labels[label] for label in task.labels},
        }
        rows += drawn
    return rows, counts


def load_evaluation_rows(task: EvaluationTask, seed: int, cache: Path) -> list[EvaluationRow]:
    """The rows of a task, sorted by id: `task.rows` of them, or all there are if there are fewer.

    Texts that stand in the source more than once count once, and not at all if their labels differ.

    Raises:
        UserError: an unknown corpus, a missing or broken file; a row of a file without
            text or with a label that is not in `task.labels`; a label without any row.
    """
    pool = list(_file_rows(task) if task.is_file else _corpus_rows(task, cache))
    pool = _distinct(pool)
    absent = [label for label in task.labels if label not in {row.label for row in pool}]
    if absent:
        raise UserError(f"{task.location}: no row with label {absent[0]!r} (evaluation task {task.name!r})")
    drawn = draw_evenly({row.id: row.label for row in pool}, task.rows, stage_seed(seed, f"evaluation:{task.name}"))
    rows = {row.id: row for row in pool}
    return [rows[key] for key in drawn]


def _corpus_rows(task: EvaluationTask, cache: Path) -> Iterator[EvaluationRow]:
    """The corpus rows with a label of this task: a corpus also holds rows its raters disagree on."""
    declared = find_corpus(task.location).licence
    licence = declared if task.licence == UNSTATED else task.licence
    for row in load_corpus(task.location, task.part, cache):
        text = "" if row.fault else normalise(row.text)
        if text and row.label in task.labels:
            yield EvaluationRow(task=task.name, text=text, label=str(row.label), source_row=row.row, licence=licence)


def _file_rows(task: EvaluationTask) -> Iterator[EvaluationRow]:
    for number, record in read_jsonl_objects(Path(task.location)):
        where = f"{task.location}: line {number}"
        text, label = record.get("text"), record.get("label")
        if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS or not normalise(text):
            raise UserError(f"{where}: 'text' must be a string of 1 to {MAX_TEXT_CHARACTERS} characters")
        if label not in task.labels:
            raise UserError(f"{where}: label {label!r} is not one of {', '.join(task.labels)}")
        if task.part in ("all", part_of(task.location, str(number))):
            yield EvaluationRow(
                task=task.name,
                text=normalise(text),
                label=label,
                source_row=str(number),
                licence=task.licence,
            )


def _distinct(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """One row, that of the smallest id, for each text by letters and digits; none where the labels
    disagree."""
    copies: defaultdict[str, list[EvaluationRow]] = defaultdict(list)
    for row in rows:
        copies[compact(row.text) or row.text].append(row)
    return [min(group, key=lambda row: row.id) for group in copies.values() if len({row.label for row in group}) == 1]
