"""What a person looks at after scoring: distribution of the score, and its agreement with the other measures."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.files import atomic_file
from compeffdist.measures.label_ranks import LABEL_RANK
from compeffdist.measures.registry import MEASURES, RANKING
from compeffdist.records import ScoredTriplet

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 20
NEAR = 0.05
"""A score below this, or above one minus this, counts as saturated."""


class Scores:
    """Scores column-wise, as they come: 8 bytes a value."""

    def __init__(self, scored: Sequence[ScoredTriplet] = ()) -> None:
        self.instructions: dict[str, int] = {}
        """The number of each instruction, by its id."""
        self._of: list[NDArray[np.int64]] = []
        self._values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (RANKING, *MEASURES)}
        self.add(scored)

    def add(self, scored: Sequence[ScoredTriplet]) -> None:
        """Add a block of scores."""
        numbers = self.instructions
        self._of.append(np.array([numbers.setdefault(row.instruction_id, len(numbers)) for row in scored], np.int64))
        self._values[RANKING].append(np.array([row.ranking for row in scored], np.float64))
        for name in MEASURES:  # None becomes NaN, which no value is
            self._values[name].append(np.array([row.measures[name] for row in scored], np.float64))

    @property
    def of_instruction(self) -> "NDArray[np.int64]":
        """The number of each row's instruction."""
        return np.concatenate(self._of)

    def __getitem__(self, name: str) -> "NDArray[np.float64]":
        """The ranking score or a measure of each row, NaN where it has no value."""
        return np.concatenate(self._values[name])


def summarise_scores(scores: Scores) -> dict[str, Any]:
    """Quantiles, saturation at both ends, and Spearman correlation with each measure over the rows that have it: null,
    as undefined, with a constant; a measure that no row has is left out."""
    ranking = scores[RANKING]
    if not len(ranking):
        return {"ranking": None, "correlation_with_ranking": None}
    quantiles = np.quantile(ranking, [0.1, 0.25, 0.5, 0.75, 0.9])
    correlations = {}
    for name in MEASURES:
        values = scores[name]
        has = ~np.isnan(values)
        if has.any():
            correlations[name] = spearman(ranking[has], values[has])
    return {
        "ranking": {
            "mean": float(ranking.mean()),
            "std": float(ranking.std()),
            **{f"q{round(100 * q):02d}": float(v) for q, v in zip([0.1, 0.25, 0.5, 0.75, 0.9], quantiles, strict=True)},
            "share_near_zero": float((ranking < NEAR).mean()),
            "share_near_one": float((ranking > 1 - NEAR).mean()),
        },
        "label_rank": _label_ranks(scores),
        "correlation_with_ranking": correlations,
    }


def _label_ranks(scores: Scores) -> dict[str, Any]:
    """How many rows have a rank among labels, its distribution, and how often rows tie by it and by the ranking score
    within an instruction."""
    ranks = scores[LABEL_RANK.name]
    has = ~np.isnan(ranks)
    if not has.any():
        return {"rows": 0}
    ranks, ranking, of_instruction = ranks[has], scores[RANKING][has], scores.of_instruction[has]
    return {
        "rows": len(ranks),
        "mean": float(np.mean(ranks)),
        "tied_share": _tied(of_instruction, ranks),
        "ranking_tied_share": _tied(of_instruction, ranking),
        "correlation_with_ranking": spearman(ranking, ranks),
    }


def _tied(groups: "NDArray[np.int64]", values: "NDArray[np.float64]") -> float:
    """Share of rows that share their group and value with another."""
    order = np.lexsort((values, groups))
    groups, values = groups[order], values[order]
    as_next = (groups[1:] == groups[:-1]) & (values[1:] == values[:-1])
    return float((np.append(as_next, False) | np.insert(as_next, 0, False)).mean())


def spearman(ranking: Any, values: Any) -> float | None:
    """Pearson's correlation of the ranks of two columns, ties at their mean; SciPy's takes a second to import.
    None where one is constant."""
    if len(ranking) < 2 or not np.ptp(ranking) or not np.ptp(values):
        return None
    return float(np.corrcoef(_ranks(ranking), _ranks(values))[0, 1])


def _ranks(values: Any) -> Any:
    _, places, times = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(times) - (times - 1) / 2)[places]


def write_histogram(target: Path, scores: Scores) -> None:
    """Counts of scores in equal bins of [0, 1], as CSV for `dvc plots` (which has no histogram of its own)."""
    counts = np.bincount(np.minimum((scores[RANKING] * BINS).astype(int), BINS - 1), minlength=BINS).tolist()
    with atomic_file(target) as path, path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["difficulty", "triplets"])
        writer.writerows((f"{place / BINS:.2f}", count) for place, count in enumerate(counts))
