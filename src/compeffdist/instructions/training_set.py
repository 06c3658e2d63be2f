"""From the sampler's decisions to the training set: the kept triplets, and the kept pairs that lack an answer.

Under `difficulty.mode: direct` every kept pair has its triplet, and nothing is asked. Under `proxy` the teacher is
asked about the kept pairs that were only predicted, with the questions and label priors of the first collection,
so that a pair's triplet is the same whichever part it was in.
"""

from collections.abc import Container, Sequence
from typing import Any

from compeffdist.errors import UserError
from compeffdist.instructions.responses import Collected
from compeffdist.records import Draw, Pair, Triplet, by_id

STAGE = "collect_sampled"


def kept_triplets(
    draws: Sequence[Draw], triplets: Sequence[Triplet], pairs: Sequence[Pair]
) -> tuple[list[Triplet], list[Pair]]:
    """The kept triplets, and the kept pairs without one, each in the order of the draws.

    Raises:
        UserError: if a kept draw speaks of a triplet or pair that is not there.
    """
    known, made = by_id(triplets), by_id(pairs)
    kept = [draw for draw in draws if draw.kept]
    for draw in kept:
        _check_there(draw.pair_id, made, "data/pairs.parquet")
        if draw.sample_id:
            _check_there(draw.sample_id, known, "data/triplets.parquet")
    return (
        [known[draw.sample_id] for draw in kept if draw.sample_id],
        [made[draw.pair_id] for draw in kept if not draw.sample_id],
    )


def _check_there(key: str, records: Container[str], artefact: str) -> None:
    if key not in records:
        raise UserError(f"data/sampled.parquet: {key} is not in {artefact}; run: dvc repro")


def buying_metrics(pairs: Sequence[Pair], first: int, bought: Collected | None) -> dict[str, Any]:
    """What the teacher was asked for, and what it was not.

    Args:
        pairs: all there are.
        first: those of them that were asked before sampling.
        bought: what was asked after; None if nothing was.
    """
    after = len(bought.triplets) + len(bought.rejects) if bought else 0
    return {
        "pairs": len(pairs),
        "asked_before_sampling": first,
        "asked_after_sampling": after,
        "never_asked": len(pairs) - first - after,
        "calls_saved": 1.0 - (first + after) / len(pairs) if pairs else 0.0,
    }
