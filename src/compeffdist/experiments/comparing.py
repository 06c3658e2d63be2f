"""Arms of an experiment in figures: means over seeds, and differences to the reference arm with intervals.

A difference is paired: the same evaluation rows and the same seeds of both arms. Its interval is a percentile
bootstrap over both: rows are resampled within a task, the same for every system, and seeds beside them. It says what
other rows and other draws of sample and training would have given; three seeds tell little of the second, and the
interval is the wider for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compeffdist.arrays import Floats
from compeffdist.evaluation.bootstrap import Interval, Predictions, refuse_other_set, sampled_metrics
from compeffdist.evaluation.metrics import METRICS
from compeffdist.seeds import stage_seed

Answers = Sequence[Mapping[str, Predictions]]
"""Of one arm: for each seed, what the student answered, by task."""


@dataclass(frozen=True)
class Comparison:
    """Of one arm: macro-F1, its mean over tasks."""

    arm: str
    mean: Interval
    difference: Interval | None
    """To the reference; None for the reference itself."""

    @property
    def verdict(self) -> str:
        """What the interval of the difference shows."""
        if self.difference is None:
            return "reference"
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "not decided"


def compare(
    arms: Mapping[str, Answers], reference: str, *, resamples: int, confidence: float, seed: int
) -> list[Comparison]:
    """Every arm against the reference, in the order given.

    Args:
        arms: the answers of each arm at the same seeds, in the same order of these.
        confidence: e.g. 0.95 for the 2.5th to the 97.5th percentile.

    Raises:
        UserError: arms were evaluated on different tasks, rows or labels.
        ValueError: arms have different numbers of seeds.
    """
    names = list(arms)
    seeds = {len(answers) for answers in arms.values()}
    if len(seeds) != 1 or not min(seeds):
        raise ValueError(f"arms with {sorted(seeds)} seeds cannot be paired")
    sampled = _means(arms, resamples, seed)
    drawn = _seed_weights(len(arms[reference]), resamples, seed)
    averages = {name: (sampled[name] * drawn).sum(axis=0) for name in names}
    return [
        Comparison(
            name,
            _interval(averages[name], confidence),
            None if name == reference else _interval(averages[name] - averages[reference], confidence),
        )
        for name in names
    ]


def _means(arms: Mapping[str, Answers], resamples: int, seed: int) -> dict[str, Floats]:
    """For each arm the mean over tasks of macro-F1: (seeds, 1 + resamples), first of the rows as they are."""
    systems = [answers for of_arm in arms.values() for answers in of_arm]
    tasks = sorted(systems[0])
    totals = [np.zeros(1 + resamples) for _ in systems]
    for task in tasks:
        for other in systems[1:]:
            refuse_other_set(task, systems[0][task], other[task])
        values = sampled_metrics(
            [answers[task] for answers in systems],
            METRICS["macro_f1"],
            resamples,
            stage_seed(seed, f"bootstrap:{task}"),
        )
        totals = [total + value / len(tasks) for total, value in zip(totals, values, strict=True)]
    found, place = {}, 0
    for name, of_arm in arms.items():
        found[name] = np.stack(totals[place : place + len(of_arm)])
        place += len(of_arm)
    return found


def _seed_weights(seeds: int, resamples: int, seed: int) -> Floats:
    """How often each seed is drawn, as shares: (seeds, 1 + resamples); the first column has each once."""
    generator = np.random.default_rng(stage_seed(seed, "bootstrap of seeds"))
    drawn = generator.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=resamples)
    return np.concatenate([np.ones((1, seeds)), drawn]).T / seeds


def _interval(values: Floats, confidence: float) -> Interval:
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(values[1:], [tail, 100.0 - tail])
    return Interval(float(values[0]), float(low), float(high))
