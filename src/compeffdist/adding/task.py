"""A labelled file as an entry of `evaluation.tasks`: its labels with their counts, and the question it answers."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from compeffdist.adding.guessing import MOST_LABELS, label_column, text_column
from compeffdist.adding.places import Place, name_of, place_of
from compeffdist.adding.table import Table, look_at, overheard
from compeffdist.domain import Monitored
from compeffdist.errors import UserError
from compeffdist.evaluation.rows import load_evaluation_rows
from compeffdist.models import cache_folder
from compeffdist.params import EvaluationParams, EvaluationTask, Params, fault_of
from compeffdist.records import EvaluationRow

UNEVEN = 1.5
"""Rows of the most frequent label for one of the rarest, from which on rows are called uneven."""
KEYS = ("evaluation", "tasks")


@dataclass(frozen=True)
class NewTask:
    """An evaluation task that is not in params.yaml yet."""

    table: Table
    place: Place
    task: EvaluationTask
    asked: str
    """The question, the domain's where the task has none of its own."""
    why_text: str
    """How the text column was found."""
    why_label: str
    """How the label column was found."""
    pool: Mapping[str, int]
    """Label -> rows there are, texts that come again counted once and such with several labels not at all."""
    drawn: Mapping[str, int]
    """Label -> rows that are drawn of them."""
    is_source: bool
    """Whether a source of texts reads the same file: evaluation takes its texts from that."""

    @property
    def entry(self) -> dict[str, Any]:
        """What goes into params.yaml."""
        return self.task.model_dump(mode="json")

    @property
    def is_even(self) -> bool:
        """Whether the rows drawn are about as many of each label."""
        return max(self.drawn.values()) <= UNEVEN * min(self.drawn.values())

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            **self.table.to_json(),
            "why_text": self.why_text,
            "why_label": self.why_label,
            "question": self.asked,
            "labels": dict(self.pool),
            "drawn": dict(self.drawn),
            "even": self.is_even,
            **self.place.to_json(),
            "entry": self.entry,
        }


def new_task(
    file: Path, params: Params, monitored: Monitored, given: Mapping[str, Any], ask: Callable[[list[str]], str]
) -> NewTask:
    """Look at a labelled file and make an evaluation task of it.

    Args:
        given: fields of the EvaluationTask that the user states; the others are guessed or left at their defaults.
        ask: asks the user for the question, given the labels, where neither they nor the domain have one that goes
            with them; returns an empty string if nobody can be asked.

    Raises:
        UserError: as `look_at` and `load_evaluation_rows`; no column looks like texts, none or several like labels; no
            question goes with the labels; params have a task of that name; another file lies where this one would.
    """
    table, place = look_at(file), place_of(file)
    text, why_text = _named(table, given, "text_field") or text_column(table)
    label, why_label = _named(table, given, "label_field") or label_column(table, text.name)
    labels = given.get("labels") or _ordered([value for value in label.counts if value])
    if not 2 <= len(labels) <= MOST_LABELS and "labels" not in given:
        many = "too many" if label.various or labels else "no"
        raise UserError(f"{file}: {label.name!r} has {many} different values to be labels; name them with --labels")
    name = name_of(file, given.get("name"))
    if name in (task.name for task in params.evaluation.tasks):
        raise UserError(f"params.yaml: evaluation.tasks has {name!r} already; choose another with --name")
    fields = {
        **{"name": name, "location": place.location, "text_field": text.name, "label_field": label.name},
        **given,
        "labels": labels,
    }
    task, asked = _with_question(_task(file, fields), params, monitored, ask)
    here = task.model_copy(update={"location": str(file.absolute())})
    cache = cache_folder(params.runtime.cache)
    with overheard():
        pool = load_evaluation_rows(here.model_copy(update={"rows": None}), params.seed, cache)
        drawn = load_evaluation_rows(here, params.seed, cache) if task.rows else pool
    is_source = any(source.location == place.location for source in params.texts.sources)
    counts, taken = (_counted(rows, task.labels) for rows in (pool, drawn))
    return NewTask(table, place, task, asked, why_text, why_label, counts, taken, is_source)


def _ordered(labels: Sequence[str]) -> list[str]:
    """By number if all are numbers, else by text."""
    try:
        numbers = {label: float(label) for label in labels}
    except ValueError:
        return sorted(labels)
    if not all(map(math.isfinite, numbers.values())):  # "nan" and "inf" are words
        return sorted(labels)
    return sorted(labels, key=lambda label: (numbers[label], label))


def _counted(rows: Sequence[EvaluationRow], labels: Sequence[str]) -> Mapping[str, int]:
    found = Counter(row.label for row in rows)
    return {label: found[label] for label in labels}


def _named(table: Table, given: Mapping[str, Any], option: str) -> Any:
    if option not in given:
        return None
    return table.column(given[option], f"--{option.replace('_', '-')}"), "as said"


def _with_question(
    task: EvaluationTask, params: Params, monitored: Monitored, ask: Callable[[list[str]], str]
) -> tuple[EvaluationTask, str]:
    """The task with a question of its own where it needs one, and what is asked."""
    if not task.question and not set(task.labels) <= set(monitored.labels):
        question = ask(task.labels).strip()
        if not question:
            raise UserError(
                f"{task.name}: the domain's question is answered with {', '.join(monitored.labels)}, not with "
                f"{', '.join(task.labels)}: say what is asked with --question, or the labels with --labels"
            )
        task = _task(Path(task.location), {**task.model_dump(), "question": question})
    one = EvaluationParams(tasks=[task], bootstrap=params.evaluation.bootstrap)
    return task, monitored.asked_in(one).tasks[0].question


def _task(file: Path, fields: Mapping[str, Any]) -> EvaluationTask:
    try:
        return EvaluationTask(**fields)
    except ValidationError as error:
        raise UserError(f"{file}: {fault_of(error)}") from None
