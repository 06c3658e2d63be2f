"""Scores as columns: the ranking score, the measures it is compared with, the place of each row in its order; and how
far two runs agree on which triplets are hard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.columns import read_columns
from compeffdist.difficulty.sampling import rank_in_groups, sample_rows
from compeffdist.errors import UserError
from compeffdist.measures.registry import COLUMNS, RANKING
from compeffdist.params import SamplingParams
from compeffdist.records import ScoredTriplet

if TYPE_CHECKING:
    import pyarrow as pa


DECILES = 10
RATES = (0.1, 0.25, 0.5)
"""Of sampling, at which two runs are compared."""


@dataclass(frozen=True)
class Scores:
    """The scores of one run as columns of n rows."""

    name: str
    triplet_ids: "pa.ChunkedArray"
    instruction_ids: "pa.ChunkedArray"
    """Dictionary-encoded."""
    ranking: Floats
    measures: Mapping[str, Floats]
    """Those that a row of the file has, but for the variant that the ranking score is; NaN where a row has none."""

    def __len__(self) -> int:
        return len(self.ranking)

    @cached_property
    def decile(self) -> Integers:
        """0 for the easiest tenth of all rows to 9 for the hardest, by score and then id."""
        rank, size = rank_in_groups(self.triplet_ids, np.zeros(len(self), np.int64), self.ranking)
        return DECILES * (rank - 1) // size


def read_scores(source: Path, name: str = "") -> Scores:
    """Read a scored.parquet. Raises UserError if it cannot be read, or holds fewer than two rows."""
    names = ["triplet_id", "instruction_id", RANKING, *COLUMNS]
    table = read_columns(source, ScoredTriplet, names, ["instruction_id"], COLUMNS)
    if len(table) < 2:
        raise UserError(f"{source}: {len(table)} scores; a study needs at least two")
    ranking = table[RANKING].to_numpy()
    values = {measure: table[measure].to_numpy().astype(np.float64) for measure in COLUMNS}
    told = {
        measure: column
        for measure, column in values.items()
        if np.isfinite(column).any() and not np.array_equal(column, ranking)
    }
    return Scores(name or str(source), table["triplet_id"], table["instruction_id"], ranking, told)


def rank_correlations(one: Floats, other: Floats) -> dict[str, Any]:
    """Spearman's rho and Kendall's tau-b over the rows where both are finite; null where one is constant."""
    from scipy.stats import kendalltau, spearmanr

    both = np.isfinite(one) & np.isfinite(other)
    one, other = one[both], other[both]
    if len(one) < 2 or (one == one[0]).all() or (other == other[0]).all():
        return {"rows": len(one), "spearman": None, "kendall": None}
    return {
        "rows": len(one),
        "spearman": float(spearmanr(one, other).statistic),
        "kendall": float(kendalltau(one, other).statistic),
    }


def largest_tie(scores: Scores) -> tuple[float, int]:
    """The score most rows share, the lowest if there are several, and how many rows that is."""
    values, counts = np.unique(scores.ranking, return_counts=True)
    place = int(counts.argmax())
    return float(values[place]), int(counts[place])


def correlations(scores: Scores) -> dict[str, dict[str, Any]]:
    """Of the ranking score with each measure there is."""
    return {measure: rank_correlations(scores.ranking, column) for measure, column in scores.measures.items()}


def decile_figures(scores: Scores) -> list[dict[str, Any]]:
    """Rows, range of scores and median of each measure, decile by decile; one without rows is left out."""
    figures = []
    for decile in range(DECILES):
        of_it = scores.decile == decile
        if of_it.any():
            medians = {
                measure: float(np.nanmedian(column[of_it]))
                for measure, column in scores.measures.items()
                if np.isfinite(column[of_it]).any()
            }
            figures.append(
                {
                    "decile": decile + 1,
                    "rows": int(of_it.sum()),
                    "lowest": float(scores.ranking[of_it].min()),
                    "highest": float(scores.ranking[of_it].max()),
                    "median": medians,
                }
            )
    return figures


@dataclass(frozen=True)
class Agreement:
    """One run against the first."""

    run: str
    rows: int
    """Triplets that both scored."""
    missing: int
    """Triplets that only one of them scored."""
    spearman: float | None
    kendall: float | None
    overlap: dict[str, float]
    """By rate: of the rows kept by `hard` sampling per instruction on one run's scores, the share kept on the other's
    too. Two runs that have nothing in common overlap by the rate."""


def agreements(runs: Sequence[Scores]) -> list[Agreement]:
    """Every run after the first, compared with the first on the triplets both scored. Raises UserError if a run has
    fewer than two triplets in common with the first."""
    return [_agreement(runs[0], run) for run in runs[1:]]


def _agreement(first: Scores, other: Scores) -> Agreement:
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.index_in(first.triplet_ids, value_set=other.triplet_ids.combine_chunks())
    shared = pc.is_valid(places).to_numpy()
    there = places.drop_null().to_numpy()
    if len(there) < 2:
        raise UserError(f"{other.name}: {len(there)} triplets in common with {first.name}; compare runs on the same")
    ours, theirs = first.ranking[shared], other.ranking[there]
    correlations = rank_correlations(ours, theirs)
    ids = first.triplet_ids.filter(pa.array(shared))
    groups = first.instruction_ids.filter(pa.array(shared))
    overlap = {}
    for rate in RATES:
        # the seed decides only how small groups are rounded, alike for both runs
        hardest = SamplingParams(method="hard", rate=rate)
        kept, kept_too = (sample_rows(ids, groups, values, hardest, 0).kept for values in (ours, theirs))
        overlap[f"{rate:g}"] = float((kept & kept_too).sum() / kept.sum()) if kept.any() else float("nan")
    return Agreement(
        run=other.name,
        rows=len(there),
        missing=len(first) + len(other) - 2 * len(there),
        spearman=correlations["spearman"],
        kendall=correlations["kendall"],
        overlap={rate: share for rate, share in overlap.items() if share == share},
    )
