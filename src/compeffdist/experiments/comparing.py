"""Arms of an experiment in figures: means over seeds, and differences to the reference arm with intervals.

A difference is paired: the same evaluation rows and the same seeds of both arms. Its interval is of Student's t, over
two variances: that of a mean over seeds, from the difference at each seed (n - 1), and that of the rows, from a
bootstrap in which every system has the same rows. Degrees of freedom are by Welch and Satterthwaite, so that a
difference which hangs on three seeds has the width of t with two. A single seed says nothing of others: there is no
verdict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compeffdist.arrays import Floats
from compeffdist.errors import UserError
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

    seeds: int

    @property
    def verdict(self) -> str:
        """What the interval of the difference shows."""
        if self.difference is None:
            return "reference"
        if self.seeds == 1:
            return "one seed"
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
    sampled, count = _means(arms, resamples, seed), min(seeds)
    return [
        Comparison(
            name,
            _interval(sampled[name], confidence),
            None if name == reference else _interval(sampled[name] - sampled[reference], confidence),
            count,
        )
        for name in names
    ]


def _means(arms: Mapping[str, Answers], resamples: int, seed: int) -> dict[str, Floats]:
    """For each arm the mean over tasks of macro-F1: (seeds, 1 + resamples), first of the rows as they are."""
    systems = [answers for of_arm in arms.values() for answers in of_arm]
    tasks = sorted(systems[0])
    for other in systems[1:]:
        if other.keys() != systems[0].keys():
            differing = sorted(other.keys() ^ systems[0].keys())
            raise UserError(f"the arms were evaluated on different tasks: {differing[0]} is of some only")
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


def _interval(values: Floats, confidence: float) -> Interval:
    """Of the mean over seeds. `values`: (seeds, 1 + resamples), first of the rows as they are; of a single seed, the
    rows alone count."""
    from scipy.stats import t

    seeds = len(values)
    of_seeds = float(np.var(values[:, 0], ddof=1)) / seeds if seeds > 1 else 0.0
    of_rows = float(np.var(values[:, 1:].mean(axis=0), ddof=1))
    spread = of_seeds + of_rows
    # Welch and Satterthwaite; the variance of the rows is known as well as there are resamples
    freedom = spread**2 * (seeds - 1) / of_seeds**2 if of_seeds > 0.0 else np.inf
    reach = float(t.ppf(0.5 + confidence / 2.0, freedom)) * spread**0.5
    middle = float(values[:, 0].mean())
    return Interval(middle, middle - reach, middle + reach)
