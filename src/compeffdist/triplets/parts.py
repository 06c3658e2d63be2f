"""Which pairs the teacher is asked about whatever comes, and which only if the sampler keeps them.

Under `difficulty.mode: proxy` a part of the pairs is answered and scored, and difficulty is predicted for the
others. The part is drawn at random and evenly over instructions: each gives the same share of its pairs, and at
least one as long as there is room, because what is learnt of an instruction (its label prior, its difficulty)
is learnt from its own pairs.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence

from compeffdist.params import DifficultyParams
from compeffdist.records import Pair

SCORED, PREDICTED = "scored", "predicted"


def assign_parts(pairs: Sequence[Pair], params: DifficultyParams, seed: int) -> list[Pair]:
    """The pairs in their order, each with its part: all `scored` in mode direct, `proxy.rows` of them in mode proxy, by
    a draw that depends on ids and seed alone."""
    if params.mode == "direct":
        return [_in(pair, SCORED) for pair in pairs]
    drawn = sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed}:{pair.id}".encode()).digest())
    sizes, seen = Counter(pair.instruction_id for pair in pairs), Counter[str]()
    turns: dict[str, float] = {}
    for pair in drawn:
        turns[pair.id] = seen[pair.instruction_id] / sizes[pair.instruction_id]
        seen[pair.instruction_id] += 1
    # sorting keeps the drawn order within a turn
    chosen = {pair.id for pair in sorted(drawn, key=lambda pair: turns[pair.id])[: params.proxy.rows]}
    return [_in(pair, SCORED if pair.id in chosen else PREDICTED) for pair in pairs]


def _in(pair: Pair, part: str) -> Pair:
    return pair if pair.part == part else dataclasses.replace(pair, part=part)


def in_part(pairs: Sequence[Pair], part: str) -> list[Pair]:
    """Those of the pairs that are in a part, in their order."""
    return [pair for pair in pairs if pair.part == part]


def part_counts(pairs: Sequence[Pair]) -> dict[str, int]:
    """Pairs in each part, for the stage's metrics."""
    return {part: len(in_part(pairs, part)) for part in (SCORED, PREDICTED)}
