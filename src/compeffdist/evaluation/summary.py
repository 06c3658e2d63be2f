"""The evaluation's figures: macro-F1 and accuracy of each system with intervals, and paired differences.

A mean is over all tasks or it is not given: systems evaluated on other rows than the rest are refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from compeffdist.evaluation.bootstrap import Metric, Predictions, difference_interval, metric_interval
from compeffdist.evaluation.earning import family_confidence, label_counts
from compeffdist.evaluation.predictions import task_instruction
from compeffdist.evaluation.priors import estimate_priors, take_out
from compeffdist.evaluation.table import SYSTEMS
from compeffdist.params import EvaluationParams
from compeffdist.records import Prediction

ByTask = Mapping[str, Predictions]

METRICS: tuple[Metric, ...] = ("macro_f1", "accuracy")
STRENGTHS = (0.0, 0.5, 1.0)
"""Strengths at which label priors are taken out for comparison, beside the one that is set."""


def by_task(predictions: Sequence[Prediction], params: EvaluationParams) -> dict[str, Predictions]:
    """One system's predictions, grouped. Raises UserError for a task without rows."""
    return {
        task.name: Predictions(
            labels=task.labels,
            gold={p.row_id: p.gold for p in predictions if p.task == task.name},
            predicted={p.row_id: p.predicted for p in predictions if p.task == task.name},
        )
        for task in params.tasks
    }


def interval(tasks: ByTask, metric: Metric, params: EvaluationParams, seed: int) -> dict[str, float]:
    """`metric_interval` as `params` has it, in plain numbers."""
    return asdict(metric_interval(tasks, metric, params.bootstrap, params.confidence, seed))


def difference(
    one: ByTask, other: ByTask, params: EvaluationParams, seed: int, confidence: float | None = None
) -> dict[str, float]:
    """`difference_interval` of macro-F1, in plain numbers; by default at the confidence of `params`."""
    return asdict(difference_interval(one, other, "macro_f1", params.bootstrap, confidence or params.confidence, seed))


def summarise(
    predictions: Mapping[str, Sequence[Prediction]], params: EvaluationParams, seed: int, strength: float = 0.0
) -> dict[str, Any]:
    """The contents of metrics/evaluation.json.

    Args:
        predictions: `teacher`, `base` and `student` -> predictions on the same rows; what they predicted is decided
            anew from their likelihoods.
        strength: at which label priors are taken out for `tasks`, `mean` and `headline`; `without_priors` has the first
            two at strength 0, `by_strength` the mean and each task's macro-F1 at several, `label_priors` the priors.

    Raises:
        UserError: if the systems answered different rows.
    """
    figures = {
        at: _figures({system: take_out(predictions[system], params.tasks, at) for system in SYSTEMS}, params, seed)
        for at in sorted({*STRENGTHS, strength} if strength else {0.0})
    }
    chosen = figures[strength]
    mean = chosen["mean"]
    return {
        "confidence": params.confidence,
        "resamples": params.bootstrap,
        "label_prior_strength": strength,
        "systems": {system: predictions[system][0].system_id for system in SYSTEMS},
        **chosen,
        "without_priors": figures[0.0],
        "label_priors": {
            system: estimate_priors(predictions[system], params.tasks) if strength else {} for system in SYSTEMS
        },
        "by_strength": {f"{at:g}": _brief(found) for at, found in figures.items()},
        "headline": {
            "macro_f1_student": mean["macro_f1"]["student"]["estimate"],
            "macro_f1_base": mean["macro_f1"]["base"]["estimate"],
            "macro_f1_teacher": mean["macro_f1"]["teacher"]["estimate"],
            "gain_over_base": mean["student_minus_base"]["estimate"],
        },
    }


def _figures(predictions: Mapping[str, Sequence[Prediction]], params: EvaluationParams, seed: int) -> dict[str, Any]:
    systems = {system: by_task(predictions[system], params) for system in SYSTEMS}
    family = family_confidence(params.confidence, len(params.tasks))
    tasks = {}
    for task in params.tasks:
        own = {system: {task.name: grouped[task.name]} for system, grouped in systems.items()}
        answers = {system: grouped[task.name].predicted.values() for system, grouped in systems.items()}
        gold = systems["student"][task.name].gold
        tasks[task.name] = {
            "rows": len(gold),
            "prompt": task_instruction(task),
            **_scores(own, params, seed),
            "gold": label_counts(task.labels, gold.values()),
            "answers": {system: label_counts(task.labels, given) for system, given in answers.items()},
            "student_minus_base_family": {
                "confidence": family,
                **difference(own["student"], own["base"], params, seed, family),
            },
        }
    return {"tasks": tasks, "mean": _scores(systems, params, seed)}


def _brief(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The mean's intervals, and the tasks' macro-F1 without theirs."""
    tasks = {
        name: {system: found["estimate"] for system, found in task["macro_f1"].items()}
        for name, task in figures["tasks"].items()
    }
    return {"mean": figures["mean"], "macro_f1_of_tasks": tasks}


def _scores(systems: Mapping[str, ByTask], params: EvaluationParams, seed: int) -> dict[str, Any]:
    student = systems["student"]
    return {
        **{
            metric: {system: interval(systems[system], metric, params, seed) for system in SYSTEMS}
            for metric in METRICS
        },
        "student_minus_base": difference(student, systems["base"], params, seed),
        "student_minus_teacher": difference(student, systems["teacher"], params, seed),
    }
