"""The scorer on real weights, those of the laptop profile's student, with a vocabulary of 49,152.

python -m pytest -m pipeline tests/difficulty/test_real_weights.py
"""

from pathlib import Path
from typing import Any

import pytest

from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.models import cache_folder, model_folder, resolve_model
from compeffdist.params import validate_params
from compeffdist.profiles import compose
from compeffdist.student.batching import TokenRow, plan_batches
from compeffdist.student.loading import load_student
from tests.fakes import SYSTEM

from .same_logits import assert_logits_are_those_of_rows_alone, assert_scores_are_the_oracles, scored_with_logits

pytestmark = pytest.mark.pipeline

SETTINGS: dict[str, Any] = {"top_p": 0.95, "max_length": 1024, "token_budget": 700}
INSTRUCTION = """Decide what the text feels about the {subject} it speaks of: negative, neutral or positive.

Input: The {subject} arrived a week late and nobody cared to say why.
Output: negative

Input: It is the third {subject} of that name.
Output: neutral

Input: {text}
Output:"""
TEXTS = [
    ("I could look at it all day long!", "positive"),
    ("It broke on the second evening, and so did my patience.", "negative"),
    ("Its colour is grey.", "neutral"),
    ("Good? Hardly. But I have seen worse 🙂", "The text is mixed, with irony; on the whole it is negative."),
    ("Ça marche, sans plus.", '{"feeling": "neutral", "about": ["ça"]}'),
]


@pytest.fixture(scope="module")
def folder() -> Path:
    profiles = Path(__file__).parents[2] / "profiles"
    params = validate_params(compose("laptop", profiles), "laptop")
    cache = cache_folder(params.runtime.cache)
    return model_folder(resolve_model("student", params.models.student, cache), cache)


def make_rows(tokenizer: Any) -> list[TokenRow]:
    return [
        TokenRow(
            f"{subject} {number}",
            encode_prompt(tokenizer, SYSTEM, INSTRUCTION.format(subject=subject, text=text)),
            encode_response(tokenizer, response, end=False),
        )
        for subject in ("film", "lamp")
        for number, (text, response) in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_real_weights_are_scored_as_the_oracle_scores_them(folder: Path, dtype: str, share: bool) -> None:
    model, tokenizer = load_student(folder, "cpu", dtype)
    rows = make_rows(tokenizer)
    assert any(batch.prefix for batch in plan_batches(rows, SETTINGS["token_budget"]))
    scores, seen = scored_with_logits(model, rows, share_prefixes=share, **SETTINGS)
    assert_scores_are_the_oracles(rows, scores, seen, SETTINGS["top_p"])
    assert len({score.scores.mean() for score in scores}) > 5
    if dtype == "float32":
        assert_logits_are_those_of_rows_alone(model, rows, seen, SETTINGS["top_p"], epsilon=1e-5)
