"""Evaluation tasks: labelled rows that teacher, base student and student are all asked about.

Rows come from a package corpus with labels or from a file (JSON Lines, CSV, Parquet). They are drawn evenly over
labels, so that macro-F1 and accuracy speak of the same thing and a rare label has enough rows to judge by. The draw is
by content and seed alone; ingest removes from the user texts whatever these rows hold.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError, one_line
from compeffdist.label_spelling import folded, written_label
from compeffdist.params import EvaluationParams, EvaluationTask
from compeffdist.records import EvaluationRow
from compeffdist.seeds import stage_seed
from compeffdist.texts.corpora import find_corpus, load_corpus, part_of
from compeffdist.texts.decontaminate import compact
from compeffdist.texts.draw import draw_evenly
from compeffdist.texts.lines import MAX_LINE_BYTES
from compeffdist.texts.normalise import normalise
from compeffdist.texts.sources import MAX_TEXT_CHARACTERS, UNSTATED
from compeffdist.texts.tables import read_rows

MAX_FIELD_CHARACTERS = 300
"""Of a field that a question is filled with."""

_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def load_evaluation(params: EvaluationParams, seed: int, cache: Path) -> tuple[list[EvaluationRow], dict[str, Any]]:
    """The drawn rows of all tasks, in the order of the tasks and sorted by id within each, and their counts: task ->
    `requested`, `rows`, and `labels` (rows of each). Raises UserError as `load_evaluation_rows`."""
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

    Texts that stand in the source more than once (with the same fields, if the question has any) count once, and not at
    all if their labels differ. Raises UserError: an unknown corpus; a file as `read_rows`; a row of a file without
    text, label or a field of the question, or with a label that is not in `task.labels`; a label without any row.
    """
    pool = _distinct(_file_rows(task) if task.is_file else _corpus_rows(task, cache))
    absent = [label for label in task.labels if label not in {row.label for row in pool}]
    if absent:
        raise UserError(f"{task.location}: no row with label {absent[0]!r} (evaluation task {task.name!r})")
    wanted = task.rows or len(pool)
    drawn = draw_evenly({row.id: row.label for row in pool}, wanted, stage_seed(seed, f"evaluation:{task.name}"))
    rows = {row.id: row for row in pool}
    return [rows[key] for key in drawn]


def _corpus_rows(task: EvaluationTask, cache: Path) -> Iterator[EvaluationRow]:
    """The corpus rows with a label of this task: a corpus also holds rows its raters disagree on."""
    declared = find_corpus(task.location).licence
    licence = declared if task.licence == UNSTATED else task.licence
    for row in load_corpus(task.location, task.part, cache):
        text, label = "" if row.fault else normalise(row.text), find_label(task, row.label)
        if text and label is not None:
            fields = _question_fields(task, row.fields, f"{task.location}: row {row.row}")
            yield EvaluationRow(
                task=task.name, text=text, label=label, source_row=row.row, licence=licence, fields=fields
            )


def _file_rows(task: EvaluationTask) -> Iterator[EvaluationRow]:
    wanted = task_fields(task)
    unit = "line" if task.kind == "jsonl" else "row"
    for row in read_rows(Path(task.location), task.kind, wanted):
        where = f"{task.location}: {unit} {row.number}"
        if row.fault:
            raise UserError(f"{where}: {row.fault}: a line of more than {MAX_LINE_BYTES} bytes; take it out")
        for field, wanted_as in wanted.items():
            if row.fields.get(field) is None:
                there = one_line(", ".join(sorted(row.fields)), 300) or "none"
                raise UserError(f"{where}: there is no {field!r} ({wanted_as}); there are: {there}")
        text, label = row.fields[task.text_field], find_label(task, row.fields[task.label_field])
        if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS or not normalise(text):
            raise UserError(f"{where}: {task.text_field!r} must be a string of 1 to {MAX_TEXT_CHARACTERS} characters")
        if label is None:
            given = one_line(repr(row.fields[task.label_field]), 80)
            raise UserError(
                f"{where}: label {given} is not one of {', '.join(task.labels)} (labels of evaluation task "
                f"{task.name!r}; label_map says where the file has other words for them)"
            )
        if task.part in ("all", part_of(task.location, str(row.number))):
            yield EvaluationRow(
                task=task.name,
                text=normalise(text),
                label=label,
                source_row=str(row.number),
                licence=task.licence,
                fields=_question_fields(task, row.fields, where),
            )


def task_fields(task: EvaluationTask) -> dict[str, str]:
    """The fields of a row that a task reads, each with what it is wanted as, by its key in params."""
    of_task = f"of evaluation task {task.name!r}"
    wanted = dict.fromkeys(task.question_fields, f"a field of the question {of_task}")
    return wanted | {task.text_field: f"text_field {of_task}", task.label_field: f"label_field {of_task}"}


def find_label(task: EvaluationTask, value: object) -> str | None:
    """The label of the task that a row's value means, by the text of it; None if it means none.

    A number is matched by its digits (so 1.0, as programs write a whole number beside a missing one, is "1", also where
    a file of text says it), and case and space around it do not count.
    """
    text = written_label(value)
    mapped = _same(text, task.label_map)
    return _same(text if mapped is None else task.label_map[mapped], task.labels)


def _same(text: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is the same as `text`: to the letter, else but for case and space, else as a number."""
    for form in (str, folded, _digits):
        for name in names:
            if form(name) == form(text):
                return name
    return None


def _digits(text: str) -> str:
    whole = _WHOLE.fullmatch(text.strip())
    return whole[1] if whole else folded(text)


def _question_fields(task: EvaluationTask, fields: Mapping[str, Any], where: str) -> str:
    """What the question is filled with, normalised as texts are; see `EvaluationRow.fields`."""
    filled = {}
    for field in task.question_fields:
        value = normalise(str(fields.get(field, "")))
        if not 0 < len(value) <= MAX_FIELD_CHARACTERS:
            raise UserError(
                f"{where}: {field!r}, a field of the question of evaluation task {task.name!r}, must have 1 to "
                f"{MAX_FIELD_CHARACTERS} characters, and has {len(value)}"
            )
        filled[field] = value
    return canonical_json(filled) if filled else ""


def _distinct(rows: Iterable[EvaluationRow]) -> list[EvaluationRow]:
    """One row, that of the smallest id, for each text by letters and digits; none where the labels disagree."""
    copies: defaultdict[tuple[str, str], list[EvaluationRow]] = defaultdict(list)
    for row in rows:
        copies[compact(row.text) or row.text, row.fields].append(row)
    return [min(group, key=lambda row: row.id) for group in copies.values() if len({row.label for row in group}) == 1]
