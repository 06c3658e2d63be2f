"""Features are what the model shows at the first response token, whatever is batched, shared or padded with it."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from compeffdist.difficulty.prompt_features import (
    MOST_OPENINGS,
    SIGNALS,
    PromptRow,
    count_openings,
    read_prompts,
)
from compeffdist.difficulty.scorer import token_scores

from .test_scorer import CONFIGS, VOCABULARY, make_model

TOP_P = 0.9


def make_rows(count: int = 12, seed: int = 0) -> list[PromptRow]:
    """Three instructions' prompts: beginnings in common, ends of their own."""
    generator = np.random.default_rng(seed)
    heads = [generator.integers(3, VOCABULARY, 40).tolist() for _ in range(3)]
    rows = []
    for number in range(count):
        own = generator.integers(3, VOCABULARY, int(generator.integers(2, 9))).tolist()
        openings = count_openings(Counter(generator.integers(3, VOCABULARY, number % 5).tolist()))
        rows.append(PromptRow(f"pair_{number:02d}", heads[number % 3] + own, openings))
    return rows


def plainly(model: Any, row: PromptRow) -> list[float]:
    """The features of one prompt, read alone, by the definitions."""
    with torch.inference_mode():
        output = model(torch.tensor([row.prompt_ids]), output_hidden_states=True)
    logits, state = output.logits[0, -1:], output.hidden_states[-1][0, -1]
    p = logits.softmax(dim=1)[0]
    ordered = p.sort(descending=True).values
    nucleus = 1 + int((ordered.cumsum(0) < TOP_P).sum())
    tokens = torch.tensor(list(row.openings), dtype=torch.int64)
    shares = torch.tensor(list(row.openings.values()), dtype=p.dtype)
    scores = token_scores(logits.expand(len(tokens), -1), tokens, TOP_P)[0] if len(tokens) else shares
    weights = shares * p[tokens]
    signals = [
        float(-(p * p.log()).sum()),
        float(ordered[0]),
        float(ordered[0] - ordered[1]),
        float(np.log(nucleus)),
        float((p * p).sum()),
        float(shares @ scores),
        float(weights @ scores / weights.sum()) if len(tokens) else 0.0,
        float(np.log(len(row.prompt_ids))),
    ]
    return [*state.tolist(), *signals]


@pytest.mark.parametrize("name", ["llama", "gemma2, soft cap", "gpt2, learned positions"])
@pytest.mark.parametrize("budget", [60, 400])
def test_features_are_those_of_the_prompt_read_alone(name: str, budget: int) -> None:
    model, rows = make_model(CONFIGS[name]), make_rows()
    found = read_prompts(model, rows, top_p=TOP_P, token_budget=budget)
    assert found.shape == (len(rows), model.config.hidden_size + len(SIGNALS))
    np.testing.assert_allclose(found, np.array([plainly(model, row) for row in rows]), rtol=2e-5, atol=2e-5)


def test_a_small_workspace_changes_nothing() -> None:
    model, rows = make_model(CONFIGS["llama"]), make_rows()
    whole = read_prompts(model, rows, top_p=TOP_P, token_budget=400)
    pieces = read_prompts(model, rows, top_p=TOP_P, token_budget=400, workspace_bytes=1)
    np.testing.assert_allclose(whole, pieces, rtol=1e-6, atol=1e-6)


def test_the_order_of_rows_does_not_matter() -> None:
    model, rows = make_model(CONFIGS["llama"]), make_rows()
    straight = read_prompts(model, rows, top_p=TOP_P, token_budget=200)
    assert np.array_equal(read_prompts(model, rows[::-1], top_p=TOP_P, token_budget=200)[::-1], straight)


def test_no_rows_are_no_features() -> None:
    model = make_model(CONFIGS["llama"])
    assert read_prompts(model, [], top_p=TOP_P, token_budget=200).shape == (0, 32 + len(SIGNALS))


def test_openings_are_the_most_frequent_with_their_shares() -> None:
    assert count_openings(Counter([7, 5, 7, 9])) == {7: 0.5, 5: 0.25, 9: 0.25}
    assert count_openings(Counter()) == {}
    many = count_openings(Counter({number: 40 - number for number in range(40)}))
    assert list(many) == list(range(MOST_OPENINGS))
    assert sum(many.values()) == pytest.approx(1)
