"""Features are what the model shows at the first response token, whatever is batched, shared or padded with it."""

from typing import Any

import numpy as np
import pytest
import torch

from compeffdist.difficulty.scorer import token_figures
from compeffdist.proxy.prompt_features import (
    MOST_OPENINGS,
    SIGNALS,
    PromptFeatures,
    prompt_row,
    read_prompts,
)
from compeffdist.student.batching import TokenRow
from tests.difficulty.test_scorer import CONFIGS, VOCABULARY, make_model

TOP_P = 0.9


def make_rows(count: int = 12, seed: int = 0) -> list[TokenRow]:
    """Three instructions' prompts: beginnings in common, ends of their own."""
    generator = np.random.default_rng(seed)
    heads = [generator.integers(3, VOCABULARY, 40).tolist() for _ in range(3)]
    rows = []
    for number in range(count):
        own = generator.integers(3, VOCABULARY, int(generator.integers(2, 9))).tolist()
        openings = generator.permutation(np.arange(3, VOCABULARY))[: number % 5].tolist()
        rows.append(prompt_row(f"pair_{number:02d}", heads[number % 3] + own, openings))
    return rows


def plainly(model: Any, row: TokenRow) -> list[list[float]]:
    """The features of one prompt, read alone, by the definitions."""
    with torch.inference_mode():
        output = model(torch.tensor([row.prompt_ids]), output_hidden_states=True)
    logits, state = output.logits[0, -1:], output.hidden_states[-1][0, -1]
    p = logits.softmax(dim=1)[0]
    ordered = p.sort(descending=True).values
    nucleus = 1 + int((ordered.cumsum(0) < TOP_P).sum())
    signals = [
        float(-(p * p.log()).sum()),
        float(ordered[0]),
        float(ordered[0] - ordered[1]),
        float(np.log(nucleus)),
        float((p * p).sum()),
        float(np.log(len(row.prompt_ids))),
    ]
    empty = [0.0] * (MOST_OPENINGS - len(row.choices))
    scores = [float(token_figures(logits, torch.tensor([token]), TOP_P)[1]) for token in row.choices]
    return [state.tolist(), signals, [float(p[token].log()) for token in row.choices] + empty, scores + empty]


def parts(features: PromptFeatures) -> list[Any]:
    return [features.states, features.signals, features.log_p, features.scores]


@pytest.mark.parametrize("name", ["llama", "gemma2, soft cap", "gpt2, learned positions"])
@pytest.mark.parametrize("budget", [60, 400])
def test_features_are_those_of_the_prompt_read_alone(name: str, budget: int) -> None:
    model, rows = make_model(CONFIGS[name]), make_rows()
    found = read_prompts(model, rows, top_p=TOP_P, token_budget=budget)
    for part, expected in zip(parts(found), zip(*(plainly(model, row) for row in rows), strict=True), strict=True):
        np.testing.assert_allclose(part, np.array(expected), rtol=2e-5, atol=2e-5)


def test_a_small_workspace_changes_nothing() -> None:
    model, rows = make_model(CONFIGS["llama"]), make_rows()
    whole = read_prompts(model, rows, top_p=TOP_P, token_budget=400)
    pieces = read_prompts(model, rows, top_p=TOP_P, token_budget=400, workspace_bytes=1)
    for one, other in zip(parts(whole), parts(pieces), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_the_order_of_rows_does_not_matter() -> None:
    model, rows = make_model(CONFIGS["llama"]), make_rows()
    straight = read_prompts(model, rows, top_p=TOP_P, token_budget=200)
    turned = read_prompts(model, rows[::-1], top_p=TOP_P, token_budget=200).rows(slice(None, None, -1))
    assert all(np.array_equal(one, other) for one, other in zip(parts(turned), parts(straight), strict=True))


def test_no_rows_are_no_features() -> None:
    model = make_model(CONFIGS["llama"])
    shapes = [part.shape for part in parts(read_prompts(model, [], top_p=TOP_P, token_budget=200))]
    assert shapes == [(0, 32), (0, len(SIGNALS)), (0, MOST_OPENINGS), (0, MOST_OPENINGS)]


@pytest.mark.parametrize("part", range(4))
def test_a_row_with_a_number_that_is_none_is_told_from_the_others(part: int) -> None:
    features = read_prompts(make_model(CONFIGS["llama"]), make_rows(), top_p=TOP_P, token_budget=200)
    parts(features)[part][3, 0] = np.nan
    assert np.flatnonzero(~features.finite()).tolist() == [3]
