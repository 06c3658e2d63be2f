"""The training set is exactly what the sampler kept; what lacks an answer is what the teacher is asked."""

import dataclasses

import pytest

from compeffdist.errors import UserError
from compeffdist.records import Draw, Pair, Triplet
from compeffdist.triplets.collect_sampled import asked_of_the_teacher, kept_triplets
from compeffdist.triplets.parts import PREDICTED, SCORED

PAIRS = [Pair(instruction_id="i", text_id=f"t{number}", method="random") for number in range(5)]


def triplet(pair: Pair) -> Triplet:
    return Triplet(
        pair_id=pair.id,
        instruction_id=pair.instruction_id,
        text_id=pair.text_id,
        teacher_id="m",
        decoding_id="d",
        answer_id="a",
        prompt=f"prompt on {pair.text_id}",
        response="good",
        monitored="neutral",
        task_type="scoring",
        task_name="n",
    )


TRIPLETS = [triplet(pair) for pair in PAIRS[:3]]


def draw(pair_id: str, triplet_id: str, kept: bool) -> Draw:
    return Draw(
        pair_id=pair_id,
        triplet_id=triplet_id,
        instruction_id="i",
        difficulty=0.5,
        rank=1,
        group_size=1,
        inclusion_probability=0.5,
        draw=0.1,
        kept=kept,
    )


def test_kept_draws_are_joined_by_id_and_those_without_an_answer_are_pairs() -> None:
    draws = [
        draw(PAIRS[2].id, TRIPLETS[2].id, True),
        draw(PAIRS[0].id, TRIPLETS[0].id, False),
        draw(PAIRS[4].id, "", True),
        draw(PAIRS[1].id, TRIPLETS[1].id, True),
        draw(PAIRS[3].id, "", False),
    ]
    assert kept_triplets(draws, TRIPLETS, PAIRS) == ([TRIPLETS[2], TRIPLETS[1]], [PAIRS[4]])


def test_a_kept_draw_of_an_unknown_triplet_or_pair_is_named() -> None:
    with pytest.raises(UserError, match=r"triplet_unknown is not in data/triplets\.parquet"):
        kept_triplets([draw(PAIRS[0].id, "triplet_unknown", True)], TRIPLETS, PAIRS)
    with pytest.raises(UserError, match=r"pair_unknown is not in data/pairs\.parquet"):
        kept_triplets([draw("pair_unknown", "", True)], TRIPLETS, PAIRS)


def test_calls_saved_are_the_pairs_never_asked() -> None:
    pairs = [dataclasses.replace(pair, part=PREDICTED if place > 1 else SCORED) for place, pair in enumerate(PAIRS)]
    assert asked_of_the_teacher(pairs, pairs[3:]) == {
        "pairs": 5,
        "before_sampling": 2,
        "after_sampling": 2,
        "calls_saved": pytest.approx(0.2),
    }
    assert asked_of_the_teacher(PAIRS, [])["calls_saved"] == 0.0
