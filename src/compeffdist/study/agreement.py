"""Do two runs agree which triplets are hard? Rank correlation, and how much of the kept sets is the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from compeffdist.difficulty.sampling import sample_rows
from compeffdist.errors import UserError
from compeffdist.params import SamplingParams
from compeffdist.study.measures import Scores, rank_correlations

RATES = (0.1, 0.25, 0.5)


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
