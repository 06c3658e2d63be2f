"""The part that is asked whatever comes: of the size asked for, even over instructions, the same in any order."""

from collections import Counter

import pytest

from compeffdist.params import DifficultyParams, ProxyParams
from compeffdist.records import Pair
from compeffdist.triplets.parts import PREDICTED, SCORED, assign_parts, in_part, part_counts
from tests.factories import make_pair

SIZES = {"i0": 100, "i1": 50, "i2": 9, "i3": 1}
PAIRS = [make_pair(instruction_id=key, text_id=f"t{n}") for key, size in SIZES.items() for n in range(size)]


def assign(rows: int, pairs: list[Pair] = PAIRS, seed: int = 1) -> list[Pair]:
    return assign_parts(pairs, DifficultyParams(mode="proxy", proxy=ProxyParams(rows=rows)), seed)


def test_in_mode_direct_every_pair_is_scored() -> None:
    pairs = assign_parts(PAIRS, DifficultyParams(), 1)
    assert pairs == PAIRS and part_counts(pairs) == {SCORED: 160, PREDICTED: 0}


@pytest.mark.parametrize("rows", [4, 16, 40, 111])
def test_each_instruction_gives_its_share_and_at_least_one(rows: int) -> None:
    pairs = assign(rows)
    assert [pair.id for pair in pairs] == [pair.id for pair in PAIRS]
    assert part_counts(pairs) == {SCORED: rows, PREDICTED: 160 - rows}
    counts = Counter(pair.instruction_id for pair in in_part(pairs, SCORED))
    assert counts.keys() == SIZES.keys()
    for key, size in SIZES.items():
        assert counts[key] == pytest.approx(size * rows / 160, abs=1.5)


def test_the_part_depends_on_ids_and_seed_alone() -> None:
    chosen = {pair.id for pair in in_part(assign(40), SCORED)}
    assert {pair.id for pair in in_part(assign(40, PAIRS[::-1]), SCORED)} == chosen
    assert {pair.id for pair in in_part(assign(40, seed=2), SCORED)} != chosen
    assert chosen < {pair.id for pair in in_part(assign(41), SCORED)}
