"""Scores as columns: the ranking score, the measures it is compared with, and the place of each row in its order."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.columns import read_columns
from compeffdist.difficulty.sampling import rank_in_groups
from compeffdist.errors import UserError
from compeffdist.measures.registry import COLUMNS, RANKING
from compeffdist.records import ScoredTriplet

if TYPE_CHECKING:
    import pyarrow as pa


DECILES = 10


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
