"""What every stage asks stays what it was, byte for byte: answers are bought once, and kept under the question."""

import pytest

from compeffdist.canonical import hash_text
from compeffdist.teacher.requests import Request
from tests.asked import ask_every_stage
from tests.fakes import SENTIMENT

KEYS = {
    "enumerate_attributes": (2, "answer_8454c6b683e17fbccfe991ad", "0f0b11ea75d7256d7b51f6f3"),
    "generate_tasks": (14, "answer_7090d01579088f9741a31c7e", "a42bf5a9ec2d205b9ac1e97b"),
    "write_demonstrations": (28, "answer_0e1a54cae8fa910351a78b0b", "82f2bfdfa0790bc3cf722b65"),
    "collect_responses": (15, "answer_e34a36075b71221729b20fc0", "c3815fe42cae2c30f9d46254"),
    "collect_sampled": (15, "answer_e34a36075b71221729b20fc0", "95f3511d5875cc90989c6865"),
    "evaluate_teacher": (1, "answer_d6b6c544525bce5765d7efcd", "d4fe0dd49d974995ccc678d0"),
}
"""By stage: how many questions, the key of the last, and the first half of a hash over all keys in order."""


@pytest.fixture(scope="module")
def asked() -> dict[str, list[Request]]:
    return ask_every_stage(
        SENTIMENT,
        [
            "The parcel came late, and the box was open.",
            "Third call today; nobody knows <text> anything.",
            "It works since the update.",
        ],
    )


@pytest.mark.parametrize("stage", KEYS)
def test_the_keys_of_a_stage_s_questions_are_those_that_answers_were_bought_under(
    stage: str, asked: dict[str, list[Request]]
) -> None:
    keys = [request.key("model_fake") for request in asked[stage]]
    assert (len(keys), keys[-1], hash_text("".join(keys))[:24]) == KEYS[stage]
