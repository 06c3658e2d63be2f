"""From the sampler's decisions to the training set: the kept triplets, and the kept pairs that lack an answer.

Under `difficulty.mode: direct` every kept pair has its triplet, and nothing is asked. Under `proxy` the teacher is
asked about the kept pairs that were only predicted, with the questions and label priors of the first collection,
so that a pair's triplet is the same whichever part it was in.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from compeffdist.artefacts import PAIRS, SAMPLED, TRIPLETS
from compeffdist.errors import UserError
from compeffdist.records import Draw, Pair, Triplet, by_id
from compeffdist.triplets.parts import SCORED, in_part

STAGE = "collect_sampled"


def kept_triplets(
    draws: Iterable[Draw], triplets: Iterable[Triplet], pairs: Sequence[Pair]
) -> tuple[list[Triplet], list[Pair]]:
    """The kept triplets, and the kept pairs without one, each in the order of the draws; of `triplets` no more are held
    than that. Raises UserError if a kept draw speaks of a triplet or pair that is not there."""
    kept = [draw for draw in draws if draw.kept]
    wanted = {draw.triplet_id for draw in kept}
    known, made = by_id(triplet for triplet in triplets if triplet.id in wanted), by_id(pairs)
    for draw in kept:
        for key, records, artefact in ((draw.pair_id, made, PAIRS), (draw.triplet_id, known, TRIPLETS)):
            if key and key not in records:
                raise UserError(f"{SAMPLED}: {key} is not in {artefact}; run: dvc repro")
    return (
        [known[draw.triplet_id] for draw in kept if draw.triplet_id],
        [made[draw.pair_id] for draw in kept if not draw.triplet_id],
    )


def asked_of_the_teacher(pairs: Sequence[Pair], unanswered: Sequence[Pair]) -> dict[str, Any]:
    """Which of all pairs the teacher was asked about before and after sampling, for the stage's metrics."""
    before, after = len(in_part(pairs, SCORED)), len(unanswered)
    return {
        "pairs": len(pairs),
        "before_sampling": before,
        "after_sampling": after,
        "calls_saved": 1.0 - (before + after) / len(pairs) if pairs else 0.0,
    }
