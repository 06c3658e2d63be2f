"""Figures of rows in an order with ties, for the rows as they are and all their resamples at once.

A resample of n rows is how often each was drawn: (R, n) weights, the first row of which is all ones. Rows of one value
are one block, and count as if their order were drawn at random, all orders alike: what half of a block is taken takes
half of its wrong rows. For the share of wrong rows that is the mean over all ways to break ties; for the area under the
ROC curve it is ranks at their mean.

What is taken of an order is a profile: a function from a place x in [0, 1], easiest first, to the share of all rows
that is taken of those up to x. A tenth, the hardest half and the sampler's soft selection are each one profile.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.difficulty.sampling import cumulative_probability
from compeffdist.seeds import stage_seed

Profile = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Ordered:
    """n rows by a value, lowest first."""

    order: Integers
    """(n,) places of the rows."""
    starts: Integers
    """(B,) where in `order` each block begins."""
    block: Integers
    """(n,) of each row, the number of its block."""

    @classmethod
    def by(cls, values: Floats) -> "Ordered":
        """Of n values, at least one. Raises ValueError if one is not finite."""
        if not np.isfinite(values).all():
            raise ValueError("a value that rows are ordered by is not finite")
        _, block, sizes = np.unique(values, return_inverse=True, return_counts=True)
        return cls(np.argsort(values, kind="stable"), np.cumsum(sizes) - sizes, block)

    def sums(self, weights: Floats) -> Floats:
        """(R, n) to (R, B): the sum over each block."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    @property
    def largest_block(self) -> int:
        """How many rows share a value, at most."""
        return int(np.bincount(self.block).max())


def resample(rows: int, resamples: int, seed: int, name: str) -> Floats:
    """(1 + resamples, rows) weights: the rows as they are, then as often as each was drawn. `name` seeds the draw."""
    generator = np.random.default_rng(stage_seed(seed, f"bootstrap:{name}"))
    drawn = generator.multinomial(rows, np.full(rows, 1.0 / rows), size=resamples)
    return np.concatenate([np.ones((1, rows)), drawn.astype(np.float64)])


def taken(ordered: Ordered, weights: Floats, values: Floats, profile: Profile) -> tuple[Floats, Floats]:
    """What a profile takes.

    Args:
        weights: (R, n).
        values: (n,) what is added up of each row, such as 1 if it is wrong.

    Returns:
        (R,) sum of `values` over the rows taken, and (R,) how many rows are taken.
    """
    sizes, sums = ordered.sums(weights), ordered.sums(weights * values)
    ends = np.cumsum(sizes, axis=1)
    whole = ends[:, -1:]
    rows = whole * (profile(ends / whole) - profile((ends - sizes) / whole))
    means = np.divide(sums, sizes, out=np.zeros_like(sums), where=sizes > 0)
    return (rows * means).sum(axis=1), rows.sum(axis=1)


def concordance(ordered: Ordered, weights: Floats, wrong: Floats) -> tuple[Floats, Floats]:
    """Of the pairs of a wrong and a right row, (R,) how many have the wrong one later in the order, a tie being half,
    and (R,) how many there are. Their quotient is the area under the ROC curve."""
    bad, good = ordered.sums(weights * wrong), ordered.sums(weights * (1.0 - wrong))
    before = np.cumsum(good, axis=1) - good
    return (bad * (before + good / 2)).sum(axis=1), bad.sum(axis=1) * good.sum(axis=1)


def without_lowest(ordered: Ordered, weights: Floats, share: float) -> Floats:
    """(R, n) weights without the lowest `share` of each resample's rows; of a block at the edge, each row loses the
    same part."""
    sizes = ordered.sums(weights)
    ends = np.cumsum(sizes, axis=1)
    left = np.clip(ends - share * ends[:, -1:], 0.0, sizes)
    part = np.divide(left, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    return weights * part[:, ordered.block]


# ---------------------------------------------------------------- profiles


def soft(rate: float, peak: float) -> Profile:
    """The sampler's soft selection (`difficulty/sampling.py`)."""
    return lambda place: cumulative_probability(np.clip(place, 0.0, 1.0), rate, peak)


def between(low: float, high: float) -> Profile:
    """All of what lies there: the hardest tenth is from 0.9 to 1."""
    return lambda place: np.clip(place, low, high) - low


def after_random_loss(rows: int, left: int, profile: Profile) -> Profile:
    """What a profile takes of `left` of `rows` rows, drawn at random before they are ordered, in the mean of all draws.

    The row of rank k of n is left in m / n of the draws; of those, it is the j-th of m in
    C(k-1, j-1) C(n-k, m-j) / C(n-1, m-1).
    """
    from scipy.special import gammaln

    def chosen(among: Integers, count: Integers) -> Floats:
        there = (count >= 0) & (count <= among)
        inside = np.where(there, count, 0)
        ways = gammaln(among + 1.0) - gammaln(inside + 1.0) - gammaln(among - inside + 1.0)
        return np.where(there, ways, -np.inf)

    later = np.arange(1, left + 1)
    of_rank = left * (profile(later / left) - profile((later - 1) / left))
    every = chosen(np.array([rows - 1]), np.array([left - 1]))
    means = []
    for rank in range(1, rows + 1):
        ways = chosen(np.full(left, rank - 1), later - 1) + chosen(np.full(left, rows - rank), left - later)
        means.append(float(np.exp(ways - every) @ of_rank))
    ends = np.concatenate([[0.0], np.cumsum(means)]) * left / rows / rows
    places = np.arange(rows + 1) / rows
    return lambda place: np.interp(place, places, ends)
