"""Percentile bootstrap intervals, of one system and of the paired difference between two on the same rows.

Drawing n rows with replacement and counting them into cells is the same as drawing the cell counts from a
multinomial with the observed shares. So a resample is not n row numbers but one count per non-empty cell:
(gold, predicted) for one system, (gold, first, second) for a pair, which keeps a row's two predictions
together. 2,000 resamples of 500 rows take milliseconds and are distributed exactly as with row numbers.

Means over tasks are stratified: every task is resampled by itself, with a generator of its own, so that
adding a task changes no other task's interval.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.errors import UserError
from compeffdist.evaluation.metrics import METRICS, encode_gold, encode_predicted
from compeffdist.seeds import stage_seed

Metric = Literal["macro_f1", "accuracy"]


@dataclass(frozen=True)
class Interval:
    """An estimate on the rows as they are, and a percentile interval around it."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Predictions:
    """One system's answers on one task, by row id. Raises UserError: no rows, or gold and predicted are of different
    rows."""

    labels: Sequence[str]
    gold: Mapping[str, str]
    predicted: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.gold:
            raise UserError("no rows to evaluate")
        _refuse_different_rows(self.gold, self.predicted, "gold labels", "predictions")


def metric_interval(
    tasks: Mapping[str, Predictions], metric: Metric, resamples: int, confidence: float, seed: int
) -> Interval:
    """Interval of a metric's plain mean over tasks; of the metric itself for a single task. Raises UserError: no tasks.

    Args:
        tasks: task name -> predictions; the name seeds the task's resampling.
        confidence: e.g. 0.95 for the 2.5th to the 97.5th percentile.
    """
    sampled = [
        sampled_metrics([predictions], METRICS[metric], resamples, stage_seed(seed, f"bootstrap:{name}"))[0]
        for name, predictions in _sorted(tasks)
    ]
    return interval_of(sampled, confidence)


def difference_interval(
    first: Mapping[str, Predictions],
    second: Mapping[str, Predictions],
    metric: Metric,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Interval of first minus second in the mean over tasks, paired by row id. Arguments as `metric_interval`. Raises
    UserError: no tasks, or the two differ in tasks, label sets, row ids or gold labels."""
    _refuse_different_rows(first, second, "the first system's tasks", "the second's")
    sampled = []
    for name, one in _sorted(first):
        other = second[name]
        refuse_other_set(name, one, other)
        seed_of_task = stage_seed(seed, f"bootstrap:{name}")
        ours, theirs = sampled_metrics([one, other], METRICS[metric], resamples, seed_of_task)
        sampled.append(ours - theirs)
    return interval_of(sampled, confidence)


def sampled_metrics(
    systems: Sequence[Predictions], metric: Callable[[Integers], Floats], resamples: int, seed: int
) -> list[Floats]:
    """For each system the metric on the rows as they are, then on each resample, the same for all: (1 + resamples,).
    The systems answered the same rows."""
    labels = systems[0].labels
    rows = sorted(systems[0].gold)
    gold = encode_gold([systems[0].gold[row] for row in rows], labels)
    predicted = [encode_predicted([system.predicted[row] for row in rows], labels) for system in systems]
    cells, observed = np.unique(np.stack([gold, *predicted]), axis=1, return_counts=True)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(rows), observed / len(rows), size=resamples)
    counts = np.concatenate([observed[None, :], drawn])
    return [metric(_confusions(counts, cells[0], answers, len(labels))) for answers in cells[1:]]


def _confusions(counts: Integers, gold: Integers, predicted: Integers, labels: int) -> Integers:
    """(R, cells) counts to (R, C, C + 1) confusion counts; several cells may fall on one entry."""
    place = np.zeros((len(gold), labels * (labels + 1)), dtype=np.int64)
    place[np.arange(len(gold)), gold * (labels + 1) + predicted] = 1
    return (counts @ place).reshape(len(counts), labels, labels + 1)


def interval_of(sampled: Sequence[Floats], confidence: float) -> Interval:
    """The interval of a mean: each of `sampled` is a metric of the rows as they are, then of each resample."""
    mean = np.mean(np.stack(sampled), axis=0)
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(mean[1:], [tail, 100.0 - tail])
    return Interval(float(mean[0]), float(low), float(high))


def _sorted(tasks: Mapping[str, Predictions]) -> list[tuple[str, Predictions]]:
    if not tasks:
        raise UserError("no evaluation tasks to take a mean over")
    return sorted(tasks.items())


def refuse_other_set(task: str, one: Predictions, other: Predictions) -> None:
    """Raises UserError: two systems differ in row ids, label sets or gold labels."""
    _refuse_different_rows(one.gold, other.gold, f"{task}: the first system's rows", "the second's")
    if list(one.labels) != list(other.labels):
        raise UserError(f"{task}: the systems were evaluated with different label sets; evaluate both again")
    changed = min((row for row, label in one.gold.items() if other.gold[row] != label), default=None)
    if changed is not None:
        raise UserError(f"{task}: row {changed} has another gold label for each system; evaluate both again")


def _refuse_different_rows(one: Mapping[str, object], other: Mapping[str, object], name: str, other_name: str) -> None:
    differing = sorted(one.keys() ^ other.keys())
    if differing:
        raise UserError(
            f"{name} and {other_name} are not of the same set: {len(differing)} are in one only, "
            f"such as {differing[0]}; evaluate both on the same rows"
        )
