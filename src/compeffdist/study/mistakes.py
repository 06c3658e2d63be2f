"""How the share of wrong teacher answers goes with difficulty, and what finds them: the figures.

Shares and areas are of rows in order (`ordered.py`): ties count in the mean over their orders, and a resample draws
rows with replacement within each task, the same rows for every figure, so that differences are paired. "Within" ranks
a row among those of its task, as the sampler ranks within an instruction, and adds tasks up; "over all" ranks it among
all rows. What a selection keeps is expected, not drawn: its inclusion probabilities are known. In every resample label
priors are those of the rows as they are.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.evaluation.agreement import Resampling, interval
from compeffdist.measures.registry import RANKING
from compeffdist.study.gold import CALIBRATED, DIFFICULTIES, READINGS, GoldRow
from compeffdist.study.ordered import (
    Ordered,
    Profile,
    after_random_loss,
    between,
    concordance,
    resample,
    soft,
    taken,
    without_lowest,
)

DECILES = 10
RATES = (0.25, 0.35, 0.5)
"""Of selection; that of the run is beside them."""
FLOORS = (0.1, 0.2, 0.3)
"""Shares of a task's rows, those of the smallest margin, that a confidence floor drops before rows are selected."""
Parts = tuple[Floats, Floats]
"""(R,) what is counted, and (R,) among what."""


def doubts(probabilities: Floats) -> dict[str, Floats]:
    """How far (n, labels) probabilities speak against their likeliest label, the larger the more: minus its distance to
    the second, the entropy as a share of the largest possible, minus its own probability."""
    falling = -np.sort(-probabilities, axis=1)
    logs = np.log(falling, out=np.zeros_like(falling), where=falling > 0)
    entropy = -(falling * logs).sum(axis=1) / np.log(falling.shape[1])
    return {"margin": falling[:, 1] - falling[:, 0], "entropy": entropy, "top_probability": -falling[:, 0]}


MARGIN = f"margin, {CALIBRATED}"


class Rows:
    """The rows of one reading and their resamples.

    Args:
        rows: at least one.
    """

    def __init__(self, rows: Sequence[GoldRow], how: Resampling) -> None:
        tasks = np.array([row.task for row in rows])
        self.how = how
        self.places: dict[str, Integers] = {str(task): np.flatnonzero(tasks == task) for task in dict.fromkeys(tasks)}
        self.wrong = np.array([row.wrong for row in rows], dtype=np.float64)
        self.weights = np.empty((1 + how.resamples, len(rows)))
        for task, own in self.places.items():
            self.weights[:, own] = resample(len(own), how.resamples, how.seed, task)
        self.difficulty = {name: np.array([row.difficulty[name] for row in rows]) for name in DIFFICULTIES}
        self.doubts: dict[str, Floats] = {}
        """NaN in a task of which the teacher did not weigh the labels of every row."""
        for own in self.places.values():
            for taken_as in READINGS:
                given = [rows[place].probabilities[taken_as] for place in own]
                for name, values in doubts(np.array(given)).items() if all(given) else ():
                    self.doubts.setdefault(f"{name}, {taken_as}", np.full(len(rows), np.nan))[own] = values

    def added(self, count: Callable[[Integers], Parts], values: Floats | None = None) -> Floats:
        """(R,) `count` of each task's places, added up; of tasks where all `values` are finite, if these are given."""
        own = [places for places in self.places.values() if values is None or np.isfinite(values[places]).all()]
        parts = [count(places) for places in own]
        return _quotient(sum(part[0] for part in parts), sum(part[1] for part in parts))

    def estimate(self, sampled: Floats) -> dict[str, float] | None:
        """The figure of the rows as they are, with its interval."""
        return interval(sampled, self.how.confidence)

    def taken(self, values: Floats, places: Integers, profile: Profile) -> Parts:
        """Wrong rows and rows that a profile takes of some rows, ordered by `values`."""
        return taken(Ordered.by(values[places]), self.weights[:, places], self.wrong[places], profile)

    def kept(self, values: Floats, profile: Profile) -> Floats:
        """(R,) share of wrong rows among those that a profile keeps of every task."""
        return self.added(lambda places: self.taken(values, places, profile))

    def share(self) -> Floats:
        """(R,) of wrong rows, which is that of rows chosen at random, at any rate within each task."""
        return _quotient(self.weights @ self.wrong, self.weights.sum(axis=1))

    def area(self, values: Floats, places: Integers) -> Parts:
        """The area under the ROC curve, of some rows."""
        return concordance(Ordered.by(values[places]), self.weights[:, places], self.wrong[places])


def _quotient(above: Any, below: Any) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def mistakes(rows: Sequence[GoldRow], how: Resampling, rate: float, peak: float) -> dict[str, Any]:
    """Everything of one reading.

    Args:
        rows: at least one.
        rate, peak: of the run's selection (`sampling`); other rates are those of RATES.

    Returns:
        `rows`; `wrong`: in all and by task; `deciles`, `selection`, `auroc`, `floor`. A figure is an estimate with its
        interval, null where it is not defined, such as an area where no answer is wrong.
    """
    own = Rows(rows, how)
    rates = sorted({*RATES, rate})
    return {
        "rows": len(rows),
        "wrong": {
            "all": own.estimate(own.share()),
            "tasks": {
                task: {"rows": len(places), "wrong": _of_task(own, places)} for task, places in own.places.items()
            },
        },
        "deciles": {name: _deciles(own, values) for name, values in own.difficulty.items()},
        "selection": {name: _selection(own, values, rates, peak) for name, values in own.difficulty.items()},
        "auroc": {name: _areas(own, values) for name, values in (own.difficulty | own.doubts).items()},
        "floor": _floors(own, rates, peak) if MARGIN in own.doubts else None,
    }


def _of_task(own: Rows, places: Integers) -> dict[str, float] | None:
    return own.estimate(_quotient(*own.taken(np.zeros(len(own.wrong)), places, between(0.0, 1.0))))


def _deciles(own: Rows, values: Floats) -> dict[str, Any]:
    tenths = [between(place / DECILES, (place + 1) / DECILES) for place in range(DECILES)]
    everyone = np.arange(len(values))
    within = [own.kept(values, tenth) for tenth in tenths]
    over_all = [_quotient(*own.taken(values, everyone, tenth)) for tenth in tenths]
    return {
        "within": [own.estimate(each) for each in within],
        "over_all": [own.estimate(each) for each in over_all],
        "hardest_less_easiest": {
            "within": own.estimate(within[-1] - within[0]),
            "over_all": own.estimate(over_all[-1] - over_all[0]),
        },
        "harder_half_less_easier": own.estimate(
            own.kept(values, between(0.5, 1.0)) - own.kept(values, between(0.0, 0.5))
        ),
        "largest_tie": {
            "within": max(Ordered.by(values[places]).largest_block for places in own.places.values()),
            "over_all": Ordered.by(values).largest_block,
        },
        "tasks": {
            task: [own.estimate(_quotient(*own.taken(values, places, tenth))) for tenth in tenths]
            for task, places in own.places.items()
        },
    }


def _selection(own: Rows, values: Floats, rates: Sequence[float], peak: float) -> dict[str, Any]:
    at_random = own.share()
    found: dict[str, Any] = {}
    for rate in rates:
        for method, profile in {"soft": soft(rate, peak), "hard": between(1.0 - rate, 1.0)}.items():
            kept = own.kept(values, profile)
            figures = {"wrong": own.estimate(kept), "less_random": own.estimate(kept - at_random)}
            found.setdefault(method, {})[f"{rate:g}"] = figures
    return found


def _areas(own: Rows, values: Floats) -> dict[str, Any]:
    everyone = np.flatnonzero(np.isfinite(values))
    within = own.added(lambda places: own.area(values, places), values)
    ranking = own.added(lambda places: own.area(own.difficulty[RANKING], places), values)
    return {
        "rows": len(everyone),
        "within": own.estimate(within),
        "over_all": own.estimate(_quotient(*own.area(values, everyone))),
        "within_less_ranking": own.estimate(within - ranking),
        "tasks": {
            task: own.estimate(_quotient(*own.area(values, places)))
            for task, places in own.places.items()
            if np.isfinite(values[places]).all()
        },
    }


def _floors(own: Rows, rates: Sequence[float], peak: float) -> dict[str, Any]:
    """By rate and share dropped: what is kept of rows ranked by the published score, as many rows in every case."""
    found: dict[str, Any] = {}
    for rate in rates:
        for share in FLOORS:
            if rate <= 1.0 - share:
                found.setdefault(f"{rate:g}", {})[f"{share:g}"] = _floor(own, rate, share, peak)
    return found


def _floor(own: Rows, rate: float, share: float, peak: float) -> dict[str, Any]:
    margin, values = own.doubts[MARGIN], own.difficulty[RANKING]
    place = np.zeros(len(values))
    for places in own.places.values():
        ordered = Ordered.by(values[places])
        ends = np.cumsum(np.bincount(ordered.block))
        place[places] = (ends - np.bincount(ordered.block) / 2)[ordered.block] / len(places)

    def dropped(places: Integers, what: Floats, how: str) -> Parts:
        rows, weights = len(places), own.weights[:, places]
        left = rows - round(share * rows) if how != "no_floor" else rows
        profile = soft(min(rate * rows / left, 1.0), peak)
        if how == "random_drop":
            profile = after_random_loss(rows, left, profile)
        if how == "floor":
            weights = without_lowest(Ordered.by(-margin[places]), weights, 1.0 - left / rows)
        return taken(Ordered.by(values[places]), weights, what[places], profile)

    shares, hardness = {}, {}
    for how in ("no_floor", "random_drop", "floor"):
        shares[how] = own.added(partial(dropped, what=own.wrong, how=how), margin)
        hardness[how] = float(own.added(partial(dropped, what=place, how=how), margin)[0])
    return {
        "wrong": {how: own.estimate(values) for how, values in shares.items()},
        "less_random_drop": own.estimate(shares["floor"] - shares["random_drop"]),
        "less_no_floor": own.estimate(shares["floor"] - shares["no_floor"]),
        "mean_place": hardness,
    }
