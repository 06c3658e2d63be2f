"""Evaluation without the pipeline: any labelled files, what any models answer to them, and how they compare.

Prompt, label likelihoods and figures are the pipeline's own. A label prior is taken from the answers to the texts of a
task themselves (their likelihoods; no gold label), for each model by itself: with `batch` each label's likelihood is
divided by its mean over those texts. Figures with and without are always both in the report.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from compeffdist.domain import Monitored
from compeffdist.errors import UserError
from compeffdist.evaluation.cells import interval_cell
from compeffdist.evaluation.earning import label_counts
from compeffdist.evaluation.predictions import task_instruction
from compeffdist.evaluation.priors import take_out
from compeffdist.evaluation.summary import METRICS, ByTask, by_task, difference, interval
from compeffdist.evaluation.table import difference_cell, markdown
from compeffdist.label_spelling import written_label
from compeffdist.models.references import short
from compeffdist.params import FILE_SUFFIXES, EvaluationParams, EvaluationTask, fault_of, in_sources
from compeffdist.records import Prediction
from compeffdist.texts.tables import no_column, read_rows
from compeffdist.yaml12 import read_yaml

Prior = Literal["none", "batch"]
PRIORS: tuple[Prior, ...] = ("batch", "none")
MOST_LABELS = 20
"""Different values of a label field that are taken for labels where none are named."""
NAME_CHARACTERS = 40
"""Of a model's name in the table."""


def read_tasks(source: Path, given: Mapping[str, Any]) -> list[EvaluationTask]:
    """The tasks of a YAML file (a list as `evaluation.tasks` of params, or a whole params file), or the one task of a
    labelled file.

    Args:
        given: for a labelled file, further fields of its EvaluationTask (`question`, `labels`, …); without labels,
            they are the values of its label field. A YAML file takes none.

    Raises:
        UserError: one line naming file and key; a task's location that is not there.
    """
    if source.suffix.lower() in FILE_SUFFIXES:
        return [_file_task(source, given)]
    if given:
        raise UserError(
            f"{source}: holds tasks, which say themselves what --{next(iter(given)).replace('_', '-')} says"
        )
    try:
        raw = read_yaml(source.read_bytes(), str(source))
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}") from None
    if isinstance(raw, dict):
        section = raw.get("evaluation", raw)
        raw = section.get("tasks") if isinstance(section, dict) else None
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        raise UserError(f"{source}: expected a list of evaluation tasks, as evaluation.tasks of params.yaml is")
    tasks = [
        _task(entry | {"location": _located(source, entry.get("location"))}, f"{source}: {n}")
        for n, entry in enumerate(raw)
    ]
    try:
        return EvaluationParams(tasks=tasks).tasks
    except ValidationError as error:
        raise UserError(f"{source}: {fault_of(error)}") from None


def asked_tasks(source: Path, given: Mapping[str, Any], monitored: Monitored) -> EvaluationParams:
    """The tasks of a file (`read_tasks`), those without a question with the domain's. Raises UserError, naming the
    file, as `read_tasks` and `Monitored.asked_in`."""
    tasks = read_tasks(source, given)
    try:
        return monitored.asked_in(EvaluationParams(tasks=tasks))
    except UserError as error:
        option = " (--question)" if source.suffix.lower() in FILE_SUFFIXES else ""
        raise UserError(f"{source}: {str(error).removeprefix('evaluation.tasks: ')}{option}") from None


def _file_task(source: Path, given: Mapping[str, Any]) -> EvaluationTask:
    name = re.sub(r"[^\w.-]+", "-", source.stem).strip("-") or "task"
    values = {"name": name, "location": str(source.absolute()), **given}
    if "labels" not in values:
        # with two labels of no meaning the other fields can be checked, and the reader be chosen
        draft = _task({**values, "labels": ["a", "b"], "label_map": {}}, str(source))
        values["labels"] = _labels_of(source, draft)
    return _task(values, str(source))


def _labels_of(source: Path, task: EvaluationTask) -> list[str]:
    found = set()
    for row in read_rows(source, task.kind, {task.label_field: "--label-field"}):
        if task.label_field in row.fields:
            found.add(written_label(row.fields[task.label_field]))
        elif not row.fault:  # one that cannot be read is told where all of the rows are
            raise no_column(source, task.label_field, "--label-field", sorted(row.fields), row.number)
    labels = sorted(label for label in found if label)
    if not 2 <= len(labels) <= MOST_LABELS:
        raise UserError(
            f"{source}: {len(labels)} different values in {task.label_field!r}: name the labels with --labels"
        )
    return labels


def _located(source: Path, location: Any) -> Any:
    """Where a task's file lies: beside the file of tasks, else as params say; corpora and what is no text stay."""
    if not isinstance(location, str) or not ("/" in location or Path(location).suffix):
        return location
    beside = source.parent / location
    if not beside.exists() and Path(in_sources(location)).exists():
        return in_sources(location)
    return str(beside if "/" in str(beside) else beside.absolute())


def _task(values: Mapping[str, Any], where: str) -> EvaluationTask:
    try:
        return EvaluationTask.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {fault_of(error)}") from None


# ---------------------------------------------------------------- figures


def decided(predictions: Sequence[Prediction], tasks: Sequence[EvaluationTask], prior: Prior) -> list[Prediction]:
    """The predictions with the label that a prior leaves likeliest; their likelihoods stay as they are."""
    return list(predictions) if prior == "none" else take_out(predictions, tasks, strength=1.0)


def compare_models(
    answers: Mapping[str, Sequence[Prediction]], params: EvaluationParams, prior: Prior, seed: int
) -> dict[str, Any]:
    """The report of `compeffdist evaluate`.

    Args:
        answers: model -> what it answers to the same rows, labels by likelihood alone; the first is held against each
            other.
        prior: by which the table's figures are; those of both are in the report.

    Returns:
        `tasks`: name -> `rows`, `prompt`, `gold` (rows of each label), `models`: model -> prior -> figures, and
        `differences`: model -> prior -> interval of the first model's macro-F1 less that model's; `mean`, over all
        tasks, likewise.

    Raises:
        UserError: the models answered different rows, or two of them are one.
    """
    ids = [own[0].system_id for own in answers.values()]
    if len(set(ids)) != len(ids):
        raise UserError(f"of {', '.join(answers)} two are the same model")
    systems = {
        kind: {name: by_task(decided(own, params.tasks, kind), params) for name, own in answers.items()}
        for kind in PRIORS
    }
    tasks = {}
    for task in params.tasks:
        own = {
            kind: {name: {task.name: grouped[task.name]} for name, grouped in models.items()}
            for kind, models in systems.items()
        }
        gold = next(iter(systems["none"].values()))[task.name].gold
        tasks[task.name] = {
            "rows": len(gold),
            "prompt": task_instruction(task),
            "gold": label_counts(task.labels, gold.values()),
            **_figures(own, params, seed),
        }
    return {
        "models": {name: own[0].system_id for name, own in answers.items()},
        "prior": prior,
        "confidence": params.confidence,
        "resamples": params.bootstrap,
        "seed": seed,
        "tasks": tasks,
        "mean": _figures(systems, params, seed),
    }


def _figures(systems: Mapping[Prior, Mapping[str, ByTask]], params: EvaluationParams, seed: int) -> dict[str, Any]:
    first, *others = systems["none"]
    return {
        "models": {
            name: {kind: _scores(models[name], params, seed) for kind, models in systems.items()}
            for name in (first, *others)
        },
        "differences": {
            other: {kind: difference(models[first], models[other], params, seed) for kind, models in systems.items()}
            for other in others
        },
    }


def _scores(tasks: ByTask, params: EvaluationParams, seed: int) -> dict[str, Any]:
    """Macro-F1 and accuracy with intervals; of a single task also the share of the rows that each label is said to."""
    figures: dict[str, Any] = {metric: interval(tasks, metric, params, seed) for metric in METRICS}
    if len(tasks) == 1:
        [answers] = tasks.values()
        said = label_counts(answers.labels, answers.predicted.values())
        figures["said"] = {label: count / len(answers.predicted) for label, count in said.items()}
    return figures


# ---------------------------------------------------------------- for people


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The report as a table, a line a task and model, and the differences."""
    percent, prior = f"{100 * report['confidence']:g}%", report["prior"]
    heads = ["task", "rows", "model", f"macro-F1 x 100 [{percent}]", f"accuracy x 100 [{percent}]", "said"]
    parts = dict(report["tasks"])
    if len(parts) > 1:
        parts["**mean**"] = {"rows": sum(part["rows"] for part in parts.values()), **report["mean"]}
    rows = [
        [task if place == 0 else "", str(part["rows"]) if place == 0 else "", _short(name), *_cells(models[prior])]
        for task, part in parts.items()
        for place, (name, models) in enumerate(part["models"].items())
    ]
    lines = [*markdown(heads, rows)]
    first, *others = report["models"]
    for other in others:
        lines += ["", f"{_short(first)} less {_short(other)}, macro-F1 x 100 [{percent}], paired:"]
        lines += [
            f"  {task.strip('*')}: {difference_cell(part['differences'][other][prior])}" for task, part in parts.items()
        ]
    taken = {
        "batch": "each label's likelihood divided by its mean over the task's texts (--prior none: as it is)",
        "none": "labels by likelihood as it is (--prior batch: divided by its mean over the task's texts)",
    }
    return [*lines, "", taken[prior]]


def _short(name: str) -> str:
    name, half = short(name), NAME_CHARACTERS // 2
    return name if len(name) <= NAME_CHARACTERS else f"{name[: half - 1]}…{name[-half:]}"


def _cells(scores: Mapping[str, Any]) -> list[str]:
    said = ", ".join(f"{label} {100 * share:.0f}%" for label, share in scores.get("said", {}).items())
    return [interval_cell(scores["macro_f1"]), interval_cell(scores["accuracy"]), said]
