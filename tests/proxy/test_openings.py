"""The fit is the maximum that the formula states; shares are shares, whatever an instruction has had for answers."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from compeffdist.proxy.openings import SLOPE_PRECISION, SMOOTHING, OpeningModel, fit_openings

INSTRUCTIONS, OPENINGS, INPUTS = 3, 4, 2


def make_rows(count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, log-probabilities, instructions (the last has none) and openings (the last is never given)."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, INSTRUCTIONS - 1, count)
    x, log_p = generator.standard_normal((count, INPUTS)), generator.standard_normal((count, OPENINGS))
    given = (log_p[:, : OPENINGS - 1] + generator.gumbel(size=(count, OPENINGS - 1))).argmax(axis=1)
    return x, log_p, codes, given


def test_it_is_the_maximum_of_the_stated_likelihood() -> None:
    x, log_p, codes, given = make_rows()
    counts = np.zeros((INSTRUCTIONS, OPENINGS))
    for code, opening in zip(codes, given, strict=True):
        counts[code, opening] += 1
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (counts + SMOOTHING) * (counts > 0)
        prior = np.log(share / share.sum(axis=1, keepdims=True))

    def unpack(flat: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        own, bias, weights = np.split(flat[1:], [INSTRUCTIONS, INSTRUCTIONS + INSTRUCTIONS * OPENINGS])
        return flat[0], own, bias.reshape(INSTRUCTIONS, OPENINGS), weights.reshape(INSTRUCTIONS, OPENINGS, INPUTS)

    def loss(flat: np.ndarray) -> float:
        slope, own, bias, weights = unpack(flat)
        total = 0.5 * SLOPE_PRECISION * slope**2 + 0.5 * float((flat[1:] ** 2).sum())
        for row, code in enumerate(codes):
            logits = prior[code] + bias[code] + (slope + own[code]) * log_p[row] + weights[code] @ x[row]
            total -= log_softmax(logits)[given[row]]
        return total

    size = 1 + INSTRUCTIONS + INSTRUCTIONS * OPENINGS * (1 + INPUTS)
    slope, own, bias, weights = unpack(minimize(loss, np.zeros(size), method="L-BFGS-B", options={"maxfun": 10**6}).x)
    found = fit_openings(x, log_p, codes, given, INSTRUCTIONS)
    np.testing.assert_allclose(found.slopes, slope + own, atol=1e-3)
    np.testing.assert_allclose(found.weights, weights, atol=1e-3)
    seen = counts > 0
    np.testing.assert_allclose(found.biases[seen], (prior + bias)[seen], atol=1e-3)
    assert np.isneginf(found.biases[~seen]).all()


def test_shares_are_of_the_openings_an_instruction_has_had() -> None:
    x, log_p, codes, given = make_rows()
    shares = fit_openings(x, log_p, codes, given, INSTRUCTIONS).shares(x, log_p, codes)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert (shares[:, -1] == 0).all() and (shares[:, :-1] > 0).all()


def test_an_instruction_without_an_answer_expects_none() -> None:
    x, log_p, codes, given = make_rows()
    model = fit_openings(x, log_p, codes, given, INSTRUCTIONS)
    assert np.array_equal(model.shares(x, log_p, np.full(len(x), INSTRUCTIONS - 1)), np.zeros((len(x), OPENINGS)))


def test_where_the_student_knows_the_answer_the_model_learns_to_follow_it() -> None:
    x, log_p, codes, _ = make_rows(400)
    slopes = fit_openings(x, log_p, codes, log_p.argmax(axis=1), INSTRUCTIONS).slopes
    against = fit_openings(x, log_p, codes, log_p.argmin(axis=1), INSTRUCTIONS).slopes
    assert (slopes[:-1] > 1).all() and (against[:-1] < -1).all()


def test_logits_beyond_what_an_exponential_holds_are_no_trouble() -> None:
    model = OpeningModel(np.zeros((1, 2)), np.array([1000.0]), np.zeros((1, 2, 1)))
    shares = model.shares(np.zeros((1, 1)), np.array([[5.0, 4.0]]), np.zeros(1, np.int64))
    assert shares.tolist() == [[pytest.approx(1.0), pytest.approx(0.0)]]
