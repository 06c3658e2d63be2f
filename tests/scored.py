"""Scored triplets made up for tests: any measure there is, at its lowest value unless it is given."""

from collections.abc import Sequence
from pathlib import Path

from compeffdist.measures.registry import COLUMNS, MEASURES
from compeffdist.record_files import write_records
from compeffdist.records import ScoredTriplet, Triplet


def a_score(
    triplet: Triplet | None = None,
    ranking: float = 0.5,
    *,
    triplet_id: str = "sample",
    pair_id: str = "pair",
    instruction_id: str = "instruction",
    scorer_id: str = "scorer",
    **measures: float | None,
) -> ScoredTriplet:
    """A score of a triplet, or of one known by its ids alone; both variants of the ranking score are `ranking`."""
    lowest = {name: one.low if one.needs == "response" else None for name, one in MEASURES.items()}
    variants = {"ranking_excluding_zero": ranking, "ranking_all": ranking}
    return ScoredTriplet(
        triplet_id=triplet.id if triplet else triplet_id,
        pair_id=triplet.pair_id if triplet else pair_id,
        instruction_id=triplet.instruction_id if triplet else instruction_id,
        scorer_id=scorer_id,
        ranking=ranking,
        measures=lowest | variants | measures,
    )


def write_scored(target: Path, scored: Sequence[ScoredTriplet]) -> None:
    """As the stage writes them."""
    write_records(target, ScoredTriplet, scored, COLUMNS)
