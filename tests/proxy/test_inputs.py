"""Inputs are the largest principal components of states and signals, each side half of the variance."""

import numpy as np
import pytest

from compeffdist.proxy import inputs
from compeffdist.proxy.inputs import COMPONENTS, fit_view, rows_through
from compeffdist.proxy.prompt_features import MOST_OPENINGS, SIGNALS, PromptFeatures

INSTRUCTIONS, HIDDEN = 4, 50


def make_prompts(count: int = 200, hidden: int = HIDDEN, seed: int = 0) -> tuple[PromptFeatures, np.ndarray]:
    """Features that differ much between instructions. The last instruction has one prompt; one signal is constant."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, INSTRUCTIONS - 1, count)
    codes[0] = INSTRUCTIONS - 1
    parts = []
    for width in (hidden, len(SIGNALS), MOST_OPENINGS, MOST_OPENINGS):
        mixing = generator.standard_normal((width, width))
        levels = 10 * generator.standard_normal((INSTRUCTIONS, width))
        parts.append((levels[codes] + generator.standard_normal((count, width)) @ mixing).astype(np.float32))
    parts[1][:, 2] = 7.0
    return PromptFeatures(*parts), codes


def plainly(prompts: PromptFeatures, codes: np.ndarray) -> np.ndarray:
    """All dimensions: centred by instruction, standardised, each side scaled to half of the variance."""
    sides = []
    for side in (prompts.states.astype(float), prompts.signals.astype(float)):
        centred = side - np.array([side[codes == code].mean(axis=0) for code in range(INSTRUCTIONS)])[codes]
        deviation = centred.std(axis=0)
        sides.append(centred / np.where(deviation > 1e-9, deviation, 1.0) * np.sqrt(0.5 / side.shape[1]))
    return np.concatenate(sides, axis=1)


@pytest.mark.parametrize("chunk", [7, 8192])
def test_inputs_are_the_largest_components(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "CHUNK_ROWS", chunk)
    prompts, codes = make_prompts()
    found = rows_through(fit_view(prompts, codes, INSTRUCTIONS), prompts, codes).x
    u, s, _ = np.linalg.svd(plainly(prompts, codes), full_matrices=False)
    largest = u[:, :COMPONENTS] * s[:COMPONENTS]
    assert found.shape == largest.shape
    np.testing.assert_allclose(found @ found.T, largest @ largest.T, atol=1e-5)  # whatever the signs


def test_of_fewer_dimensions_all_are_kept_and_each_side_is_half() -> None:
    prompts, codes = make_prompts(hidden=20)
    found = rows_through(fit_view(prompts, codes, INSTRUCTIONS), prompts, codes).x
    assert found.shape == (200, 26)
    plain = plainly(prompts, codes)
    np.testing.assert_allclose(found @ found.T, plain @ plain.T, atol=1e-5)
    # of the signals one is constant
    assert plain[:, :20].var(axis=0).sum() == pytest.approx(0.5)
    assert plain[:, 20:].var(axis=0).sum() == pytest.approx(0.5 * 5 / 6)


def test_beliefs_are_about_the_instructions_mean() -> None:
    prompts, codes = make_prompts()
    rows = rows_through(fit_view(prompts, codes, INSTRUCTIONS), prompts, codes)
    for code in range(INSTRUCTIONS):
        np.testing.assert_allclose(rows.beliefs[codes == code].mean(axis=0), 0.0, atol=1e-5)
    assert np.array_equal(rows.scores, prompts.scores.astype(np.float64))
