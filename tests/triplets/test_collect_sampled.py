"""The training set is exactly what the sampler kept; what lacks an answer is what the teacher is asked."""

import dataclasses

import pytest

from compeffdist.errors import UserError
from compeffdist.triplets.collect_sampled import asked_of_the_teacher, kept_triplets
from compeffdist.triplets.parts import PREDICTED, SCORED
from tests.factories import make_draw, make_instruction, make_pair, make_score, make_text, make_triplet

INSTRUCTION, TEXTS = make_instruction(), [make_text(f"text {n}") for n in range(5)]
PAIRS = [make_pair(INSTRUCTION, text) for text in TEXTS]
TRIPLETS = [make_triplet(INSTRUCTION, text) for text in TEXTS[:3]]


def test_kept_draws_are_joined_by_id_and_those_without_an_answer_are_pairs() -> None:
    draws = [
        make_draw(make_score(TRIPLETS[2]), kept=True),
        make_draw(make_score(TRIPLETS[0]), kept=False),
        make_draw(PAIRS[4], kept=True),
        make_draw(make_score(TRIPLETS[1]), kept=True),
        make_draw(PAIRS[3], kept=False),
    ]
    assert kept_triplets(draws, TRIPLETS, PAIRS) == ([TRIPLETS[2], TRIPLETS[1]], [PAIRS[4]])


def test_a_kept_draw_of_an_unknown_triplet_or_pair_is_named() -> None:
    with pytest.raises(UserError, match=r"triplet_unknown is not in data/triplets\.parquet"):
        kept_triplets([make_draw(PAIRS[0], triplet_id="triplet_unknown")], TRIPLETS, PAIRS)
    with pytest.raises(UserError, match=r"pair_unknown is not in data/pairs\.parquet"):
        kept_triplets([make_draw(PAIRS[0], pair_id="pair_unknown")], TRIPLETS, PAIRS)


def test_calls_saved_are_the_pairs_never_asked() -> None:
    pairs = [dataclasses.replace(pair, part=PREDICTED if place > 1 else SCORED) for place, pair in enumerate(PAIRS)]
    assert asked_of_the_teacher(pairs, pairs[3:]) == {
        "pairs": 5,
        "before_sampling": 2,
        "after_sampling": 2,
        "calls_saved": pytest.approx(0.2),
    }
    assert asked_of_the_teacher(PAIRS, [])["calls_saved"] == 0.0
