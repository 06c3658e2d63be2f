"""What the two trainings are given: a random part, and exactly what the sampler kept."""

import pytest

from compeffdist.errors import UserError
from compeffdist.records import Draw, Triplet
from compeffdist.student.runs import sampled_rows


def triplet(number: int) -> Triplet:
    return Triplet(
        pair_id="p",
        instruction_id=f"i{number}",
        text_id="t",
        teacher_id="m",
        decoding_id="d",
        answer_id="a",
        prompt=f"prompt {number}",
        response=f"response {number}",
        polarity="neutral",
        task_type="scoring",
        task_name="n",
    )


def draw(sample_id: str, kept: bool) -> Draw:
    return Draw(
        sample_id=sample_id,
        instruction_id="i",
        difficulty=0.5,
        rank=1,
        group_size=1,
        inclusion_probability=0.5,
        draw=0.1,
        kept=kept,
    )


def test_only_kept_draws_are_trained_on_joined_by_id() -> None:
    triplets = [triplet(n) for n in range(3)]
    rows = sampled_rows(triplets, [draw(triplets[2].id, True), draw(triplets[0].id, False), draw(triplets[1].id, True)])
    assert [(row.id, row.prompt, row.response) for row in rows] == [
        (triplets[2].id, "prompt 2", "response 2"),
        (triplets[1].id, "prompt 1", "response 1"),
    ]


def test_a_draw_of_an_unknown_triplet_is_named() -> None:
    with pytest.raises(UserError, match="sample_unknown"):
        sampled_rows([triplet(0)], [draw("sample_unknown", False)])
