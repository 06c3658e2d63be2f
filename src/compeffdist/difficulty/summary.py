"""What a person looks at after scoring: distribution of the score, and its agreement with the other measures."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.files import atomic_file
from compeffdist.measures.label_ranks import LABEL_RANK
from compeffdist.measures.registry import MEASURES
from compeffdist.records import ScoredTriplet

BINS = 20
NEAR = 0.05
"""A score below this, or above one minus this, counts as saturated."""


def summarise_scores(scored: Sequence[ScoredTriplet]) -> dict[str, Any]:
    """Quantiles, saturation at both ends, and Spearman correlation with each measure over the rows that have it: null,
    as undefined, with a constant; a measure that no row has is left out."""
    if not scored:
        return {"ranking": None, "correlation_with_ranking": None}
    ranking = np.array([row.ranking for row in scored])
    quantiles = np.quantile(ranking, [0.1, 0.25, 0.5, 0.75, 0.9])
    correlations = {}
    for name in MEASURES:
        both = [(row.ranking, value) for row in scored if (value := row.measures[name]) is not None]
        if both:
            correlations[name] = spearman(*zip(*both, strict=True))
    return {
        "ranking": {
            "mean": float(ranking.mean()),
            "std": float(ranking.std()),
            **{f"q{round(100 * q):02d}": float(v) for q, v in zip([0.1, 0.25, 0.5, 0.75, 0.9], quantiles, strict=True)},
            "share_near_zero": float((ranking < NEAR).mean()),
            "share_near_one": float((ranking > 1 - NEAR).mean()),
        },
        "label_rank": _label_ranks(scored),
        "correlation_with_ranking": correlations,
    }


def _label_ranks(rows: Sequence[ScoredTriplet]) -> dict[str, Any]:
    """How many rows have a rank among labels, its distribution, and how often rows tie by it and by the ranking score
    within an instruction."""
    ranked = [(row, rank) for row in rows if (rank := row.measures[LABEL_RANK.name]) is not None]
    if not ranked:
        return {"rows": 0}
    ranks = [rank for _, rank in ranked]
    return {
        "rows": len(ranked),
        "mean": float(np.mean(ranks)),
        "tied_share": _tied([(row.instruction_id, rank) for row, rank in ranked]),
        "ranking_tied_share": _tied([(row.instruction_id, row.ranking) for row, _ in ranked]),
        "correlation_with_ranking": spearman([row.ranking for row, _ in ranked], ranks),
    }


def _tied(keys: Sequence[tuple[str, float]]) -> float:
    """Share of rows that share their instruction and value with another."""
    times = Counter(keys)
    return sum(count for count in times.values() if count > 1) / len(keys)


def spearman(ranking: Sequence[float], values: Sequence[float]) -> float | None:
    """Pearson's correlation of ranks, ties at their mean; SciPy's takes a second to import, in a stage and its gate."""
    if len(set(values)) < 2 or len(set(ranking)) < 2:
        return None
    return float(np.corrcoef(_ranks(ranking), _ranks(values))[0, 1])


def _ranks(values: Any) -> Any:
    _, places, times = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(times) - (times - 1) / 2)[places]


def write_histogram(target: Path, scored: Sequence[ScoredTriplet]) -> None:
    """Counts of scores in equal bins of [0, 1], as CSV for `dvc plots` (which has no histogram of its own)."""
    counts = [0] * BINS
    for row in scored:
        counts[min(int(row.ranking * BINS), BINS - 1)] += 1
    with atomic_file(target) as path, path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["difficulty", "triplets"])
        writer.writerows((f"{place / BINS:.2f}", count) for place, count in enumerate(counts))
