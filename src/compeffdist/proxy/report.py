"""How well predicted difficulty stands in for direct scores, on rows that have both.

Sampling ranks rows within an instruction, so what counts is order within an instruction; overall figures are
given beside, because telling instructions apart is easy and lifts them. A rank correlation within instructions
is the mean over instructions, weighted by rows; an instruction in which either side is constant has no order
to find and is left out (`ordered_rows` counts the rows of the others). Intervals are percentiles of resamples:
of rows for an overall figure, of instructions for one within instructions (none of fewer than two).

Whether there is any order at all is asked apart, of all instructions with two rows or more: `chance` is the probability
that predictions shuffled within instructions (or over all) agree with direct scores as well. With ranks r, s of the m
rows of an instruction, centred and divided by m, agreement is the sum of r s over all rows; shuffled, it has mean 0 and
variance sum over instructions of (sum of r^2)(sum of s^2) / (m - 1), and is taken for normal.

At rate r, direct order keeps the hardest r x n rows of each instruction, rounded (`overlap` is the share of them
that predicted order keeps too, `overlap_by_chance` what any order would), and soft sampling with peak 1 keeps rows
by their inclusion probabilities:

    kept difficulty = sum of P(keep) x direct score / sum of P(keep)
    gain            = (predicted order's - chance's) / (direct order's - chance's)

so a gain of 0 is a random sample of the same size and 1 is what direct scoring of every row gives. The teacher
is asked for the scored part and for the kept rows, where direct scoring asks for all rows:

    calls saved     = 1 - (scored + r x (pairs - scored)) / pairs

That is at an equal number of rows kept. At equal quality: `equal_quality_rate` is the rate at which predicted order
keeps rows as hard, on the mean, as direct order does at r. Pairs cost nothing before they are asked, so r /
equal_quality_rate times as many of them give as many rows, as hard, for the same calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.difficulty.sampling import rank_in_groups, soft_probability

RATES = (0.1, 0.25, 0.5)
LOWEST_RATE, TRIED_RATES = 0.01, 60
"""How far down, and in how many steps, a rate of equal quality is looked for."""
RESAMPLES = 500
CONFIDENCE = 0.95
FEWEST_ROWS = 5
"""Rows an instruction needs for a rank correlation of its own."""


@dataclass(frozen=True)
class Compared:
    """n rows with both difficulties: arrays of length n in one order."""

    ids: Sequence[str]
    instruction_ids: Sequence[str]
    predicted: Floats
    direct: Floats

    def codes(self) -> Integers:
        """Each row's instruction as a number from 0, by instruction id."""
        return np.unique(np.asarray(self.instruction_ids), return_inverse=True)[1]

    def groups(self) -> list[Integers]:
        """Places of the rows of each instruction."""
        codes = self.codes()
        return [np.flatnonzero(codes == code) for code in range(int(codes.max(initial=-1)) + 1)]


def proxy_report(rows: Compared, scored: int, pairs: int, seed: int, overall: Compared | None = None) -> dict[str, Any]:
    """The report on held-out rows, in plain numbers; what is not defined is null. Of all `pairs`, `scored` are asked
    whatever comes.

    Args:
        rows: with predictions of weights that had not seen them.
        overall: the rows for figures over all instructions, if `rows` went into the levels of their instructions.
    """
    overall = overall or rows
    return {
        "rows": len(rows.direct),
        "instructions": len(rows.groups()),
        "ordered_rows": sum(len(places) for places in ordered_groups(rows)),
        "chance": {
            "within_instruction": chance_of_order(rows.predicted, rows.direct, rows.groups()),
            "overall": chance_of_order(overall.predicted, overall.direct, [np.arange(len(overall.direct))]),
        },
        "spearman": _overall("spearmanr", overall, seed),
        "kendall": _overall("kendalltau", overall, seed),
        "spearman_within_instruction": _within("spearmanr", rows, seed),
        "kendall_within_instruction": _within("kendalltau", rows, seed),
        "rates": {
            f"{rate:g}": {**at_rate(rows, rate), "calls_saved": 1.0 - (scored + rate * (pairs - scored)) / pairs}
            for rate in RATES
        },
    }


def at_rate(rows: Compared, rate: float) -> dict[str, float | None]:
    """Overlap, kept difficulty, gain and equal-quality rate: as at the head of this module."""
    direct_rank, size = rank_in_groups(rows.ids, rows.codes(), rows.direct)
    predicted_rank, _ = rank_in_groups(rows.ids, rows.codes(), rows.predicted)
    hardest = size - np.round(rate * size)
    both = ((direct_rank > hardest) & (predicted_rank > hardest)).sum()
    kept = (direct_rank > hardest).sum()
    by_any_order = ((size - hardest) / size)[direct_rank > hardest].sum()
    by_direct = _kept_difficulty(rows, direct_rank, size, rate)
    by_predicted = _kept_difficulty(rows, predicted_rank, size, rate)
    # a random sample within instructions has the mean of its rows, whatever the rate
    by_chance = float(rows.direct.mean())
    reach = by_direct - by_chance
    lower = np.geomspace(rate, LOWEST_RATE, TRIED_RATES)
    as_hard = (one for one in lower if _kept_difficulty(rows, predicted_rank, size, one) >= by_direct)
    equal = next(as_hard, None)
    return {
        "overlap": float(both / kept) if kept else None,
        "overlap_by_chance": float(by_any_order / kept) if kept else None,
        "kept_difficulty": by_predicted,
        "kept_difficulty_direct": by_direct,
        "kept_difficulty_by_chance": by_chance,
        "gain": (by_predicted - by_chance) / reach if reach > 0 else None,
        "equal_quality_rate": None if equal is None else float(equal),
    }


def _kept_difficulty(rows: Compared, rank: Integers, size: Integers, rate: float) -> float:
    """Expected mean of the direct scores of what soft sampling (peak 1) keeps in the given order."""
    probability = soft_probability(rank, size, rate, 1.0)
    return float((probability * rows.direct).sum() / probability.sum())


def _overall(name: str, rows: Compared, seed: int) -> dict[str, float | None]:
    """The correlation over all rows, with an interval over resampled rows."""
    count = len(rows.direct)
    generator = np.random.default_rng(seed)
    resamples = [_correlation(name, rows, generator.integers(0, count, count)) for _ in range(RESAMPLES)]
    return {"value": _correlation(name, rows, np.arange(count)), **_interval(resamples)}


def _within(name: str, rows: Compared, seed: int) -> dict[str, float | None]:
    """The mean correlation over instructions, with an interval over resampled instructions."""
    found = [(_correlation(name, rows, places), len(places)) for places in ordered_groups(rows)]
    values = np.array([value for value, _ in found], dtype=np.float64)
    weights = np.array([weight for _, weight in found], dtype=np.float64)
    if not len(values):
        return {"value": None, "low": None, "high": None}
    picks = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    resamples = (values[picks] * weights[picks]).sum(axis=1) / weights[picks].sum(axis=1)
    # of one instruction every resample is the same, which says nothing of others
    interval = _interval(resamples.tolist() if len(values) > 1 else [])
    return {"value": float(np.average(values, weights=weights)), **interval}


def chance_of_order(predicted: Floats, direct: Floats, groups: Sequence[Integers]) -> float:
    """The probability at the head of this module, one-sided; 1 where either side has no order in any group."""
    from scipy.stats import norm, rankdata

    agreement = variance = 0.0
    for places in groups:
        if len(places) > 1:
            one, other = (rankdata(side[places]) / len(places) for side in (predicted, direct))
            one, other = one - one.mean(), other - other.mean()
            agreement += float(one @ other)
            variance += float((one @ one) * (other @ other)) / (len(places) - 1)
    return float(norm.sf(agreement / np.sqrt(variance))) if variance > 0.0 else 1.0


def ordered_groups(rows: Compared) -> list[Integers]:
    """Places of the rows of each instruction that has an order to find."""
    return [
        places
        for places in rows.groups()
        if len(places) >= FEWEST_ROWS and np.ptp(rows.direct[places]) > 0 and np.ptp(rows.predicted[places]) > 0
    ]


def _correlation(name: str, rows: Compared, places: Integers) -> float | None:
    from scipy import stats

    predicted, direct = rows.predicted[places], rows.direct[places]
    if len(places) < 2 or np.ptp(predicted) == 0 or np.ptp(direct) == 0:
        return None
    return float(getattr(stats, name)(predicted, direct).statistic)


def _interval(resamples: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in resamples if value is not None]
    if not known:
        return {"low": None, "high": None}
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return {"low": float(low), "high": float(high)}
