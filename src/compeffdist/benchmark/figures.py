"""A benchmark's figures: each task's metric with an interval, paired differences, means of families and of all.

A resample draws a task's rows with replacement, the same rows for every model and every seed, so that differences are
paired; a task with several seeds has the mean over them. Means are plain ones over tasks, each resampled by itself, and
are given where every task of the family, or of the benchmark, was asked.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from compeffdist.benchmark.asking import Asked
from compeffdist.benchmark.official import official_counts, official_metric
from compeffdist.benchmark.rows import BenchmarkRow
from compeffdist.benchmark.tasks import BenchmarkTask
from compeffdist.benchmark.tuples import (
    RowCounts,
    TupleAnswer,
    exact_counts,
    f1,
    gold_tuples,
    graph_counts,
    read_tuples,
)
from compeffdist.evaluation.bootstrap import interval_of
from compeffdist.evaluation.metrics import encode_gold, encode_predicted, macro_f1_of
from compeffdist.label_priors import calibrate, estimate_prior, likeliest
from compeffdist.seeds import stage_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PRIORS = ("batch", "none")
"""With each label's likelihood divided by its mean over the task's texts, and as it is."""
BINS = 10
"""Of confidence, for the calibration error."""


@dataclass(frozen=True)
class Counts:
    """What each row adds to a task's metric, and the metric of such sums."""

    rows: "Floats"
    """(rows, k)"""
    metric: "Callable[[Floats], Floats]"
    """(..., k) -> (...)"""

    def sampled(self, resamples: int, seed: int) -> "Floats":
        """The metric of the rows as they are, then of each resample: (1 + resamples,)."""
        import numpy as np

        n = len(self.rows)
        drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=resamples)
        return self.metric(np.concatenate([np.ones((1, n)), drawn]) @ self.rows)


@dataclass(frozen=True)
class TaskResult:
    """One model on one task."""

    counts: dict[str, list[Counts]]
    """How labels were decided (a task of tuples: `none` alone) -> for each seed the counts."""
    said: dict[str, Any]
    """What else there is to tell of its answers."""


def judge(task: BenchmarkTask, rows: Sequence[BenchmarkRow], asked: Asked, official: bool = False) -> TaskResult:
    """Answers held against gold; if `official`, counted as the benchmark's authors count them, of rows that
    `check_official` let pass."""
    cost = {"seconds": round(asked.seconds, 3), "answers": len(rows) * len(asked.answers)}
    if task.labels:
        return _judge_labels(task, rows, asked, cost, official)
    return _judge_tuples(task, rows, asked, cost, official)


def _judge_labels(
    task: BenchmarkTask, rows: Sequence[BenchmarkRow], asked: Asked, cost: Mapping[str, Any], official: bool
) -> TaskResult:
    import numpy as np

    labels, width = task.labels, len(task.labels) + 1
    gold = encode_gold([str(row.gold) for row in rows], labels)

    def macro_f1(sums: "Floats") -> "Floats":
        return macro_f1_of(sums.astype(int).reshape(*sums.shape[:-1], -1, width))

    counts: dict[str, list[Counts]] = {prior: [] for prior in PRIORS}
    said: dict[str, Any] = {prior: [] for prior in PRIORS}
    for answers in asked.answers.values():
        logprobs: list[Mapping[str, float]] = [answer for answer in answers if not isinstance(answer, str)]
        for prior in PRIORS:
            decided = _probabilities(logprobs, prior)
            predicted = [likeliest(one) for one in decided]
            cells = np.zeros((len(rows), len(labels) * width))
            cells[np.arange(len(rows)), gold * width + encode_predicted(predicted, labels)] = 1.0
            counts[prior].append(Counts(cells, official_metric(task, macro_f1) if official else macro_f1))
            shares = Counter(predicted)
            said[prior].append(
                {
                    "said": {label: shares[label] / len(rows) for label in labels},
                    "calibration_error": calibration_error(
                        [one[label] for one, label in zip(decided, predicted, strict=True)],
                        [label == row.gold for label, row in zip(predicted, rows, strict=True)],
                    ),
                }
            )
    return TaskResult(counts, {**{prior: _mean(entries) for prior, entries in said.items()}, **cost})


def _probabilities(logprobs: Sequence[Mapping[str, float]], prior: str) -> list[dict[str, float]]:
    """Of each label, the prior of the task's texts taken out or not."""
    taken = estimate_prior(logprobs) if prior == "batch" else {}
    if taken:
        return calibrate(logprobs, taken)
    return [{label: math.exp(value) for label, value in one.items()} for one in logprobs]


def _mean(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over seeds of figures of one shape."""
    first = entries[0]
    return {
        key: _mean([entry[key] for entry in entries])
        if isinstance(value, Mapping)
        else math.fsum(entry[key] for entry in entries) / len(entries)
        for key, value in first.items()
    }


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Expected calibration error (Guo et al. 2017): over ten bins of confidence, the mean difference of confidence and
    share of right answers, weighted by rows."""
    import numpy as np

    place = np.minimum((np.asarray(confidences) * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, np.asarray(confidences) - np.asarray(right, dtype=float), BINS)
    return float(np.abs(gap).sum() / len(confidences))


def _judge_tuples(
    task: BenchmarkTask, rows: Sequence[BenchmarkRow], asked: Asked, cost: Mapping[str, Any], official: bool
) -> TaskResult:
    import numpy as np

    counts, said = [], []
    for answers in asked.answers.values():
        read = [read_tuples(str(answer), task, row.text) for answer, row in zip(answers, rows, strict=True)]
        own = [
            official_counts(task, row, str(answer)) if official else _row_counts(task, row, one)
            for row, answer, one in zip(rows, answers, read, strict=True)
        ]
        counts.append(Counts(np.array(own, dtype=float), official_metric(task, f1) if official else f1))
        said.append(
            {
                "unreadable_answers": sum(not one.readable for one in read),
                "cut_answers": sum(one.cut for one in read),
                "predicted_tuples": sum(len(one.tuples) + one.invalid for one in read),
                "invalid_tuples": sum(one.invalid for one in read),
            }
        )
    return TaskResult({"none": counts}, {**_mean(said), **cost})


def _row_counts(task: BenchmarkTask, row: BenchmarkRow, answer: TupleAnswer) -> RowCounts:
    gold = gold_tuples(row.gold if isinstance(row.gold, list) else [])
    return graph_counts(answer, gold, row.text) if task.metric == "sentiment_graph_f1" else exact_counts(answer, gold)


# ---------------------------------------------------------------- the report


def report(
    tasks: Sequence[BenchmarkTask],
    results: Mapping[str, Mapping[str, TaskResult]],
    rows: Mapping[str, int],
    families: Mapping[str, Sequence[str]],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Any]:
    """The figures of models on tasks.

    Args:
        results: model -> task -> result; the first model is held against each other.
        rows: task -> how many.
        families: family -> all of its tasks in the benchmark.

    Returns:
        `tasks`: name -> `family`, `metric`, `rows`, `models`: model -> prior -> interval and what else was said,
        `differences`: model -> prior -> interval of the first's less its; `means`: family or `all` -> the same without
        what was said. Of a task of tuples both priors are the same figure.
    """
    sampled = {
        (model, task.name, prior): _sampled(
            own[task.name], prior, resamples, stage_seed(seed, f"bootstrap:{task.name}")
        )
        for model, own in results.items()
        for task in tasks
        for prior in PRIORS
    }
    models = list(results)

    def figures(names: Sequence[str]) -> dict[str, Any]:
        def interval(first: str, prior: str, other: str = "") -> dict[str, float]:
            values = [sampled[first, name, prior] - (sampled[other, name, prior] if other else 0.0) for name in names]
            return asdict(interval_of(values, confidence))

        return {
            "models": {model: {prior: interval(model, prior) for prior in PRIORS} for model in models},
            "differences": {
                other: {prior: interval(models[0], prior, other) for prior in PRIORS} for other in models[1:]
            },
        }

    asked = {task.name for task in tasks}
    whole = {name: list(members) for name, members in families.items() if set(members) <= asked}
    if len(whole) == len(families):
        whole["all"] = [name for members in families.values() for name in members]
    return {
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
        "tasks": {
            task.name: {
                "family": task.family,
                "metric": task.metric,
                "rows": rows[task.name],
                **_with_said(figures([task.name]), {model: own[task.name].said for model, own in results.items()}),
            }
            for task in tasks
        },
        "means": {name: figures(members) for name, members in whole.items()},
    }


def _sampled(result: TaskResult, prior: str, resamples: int, seed: int) -> "Floats":
    import numpy as np

    seeds = result.counts.get(prior) or result.counts["none"]
    return np.mean([counts.sampled(resamples, seed) for counts in seeds], axis=0)


def _with_said(figures: dict[str, Any], said: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {**figures, "answers": {model: dict(told) for model, told in said.items()}}
