"""Label priors: taken out as the formula says, whole, in part or not at all; safe wherever likelihoods are extreme."""

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.label_priors import PSEUDO_TEXTS, calibrate, estimate_prior, likeliest, prior_of, shrunk_prior

LABELS = "abc"


def normalised(values: Sequence[float]) -> dict[str, float]:
    whole = math.log(math.fsum(map(math.exp, values)))
    return dict(zip(LABELS, (value - whole for value in values), strict=True))


rows = st.lists(st.tuples(*[st.floats(-8, 0)] * 3).map(normalised), min_size=1, max_size=12)
priors = st.tuples(*[st.floats(0.01, 1.0)] * 3).map(
    lambda values: dict(zip(LABELS, (value / sum(values) for value in values), strict=True))
)
strengths = st.floats(0, 1)


def divided(row: Mapping[str, float], prior: Mapping[str, float], strength: float) -> dict[str, float]:
    """The formula as it is written."""
    ratio = {label: math.exp(row[label]) / prior[label] ** strength for label in row}
    return {label: value / sum(ratio.values()) for label, value in ratio.items()}


@given(rows, priors, strengths)
def test_the_prior_is_divided_out(logprobs: list[dict[str, float]], prior: dict[str, float], strength: float) -> None:
    for row, found in zip(logprobs, calibrate(logprobs, prior, strength), strict=True):
        assert found == pytest.approx(divided(row, prior, strength), rel=1e-9)
        assert math.fsum(found.values()) == pytest.approx(1.0, rel=1e-12)


@given(rows)
def test_by_default_the_prior_is_that_of_the_rows_and_goes_whole(logprobs: list[dict[str, float]]) -> None:
    assert calibrate(logprobs) == calibrate(logprobs, prior_of(logprobs), 1.0)


@given(rows, priors)
def test_strength_0_and_an_even_prior_change_nothing(logprobs: list[dict[str, float]], prior: dict[str, float]) -> None:
    as_they_are = [{label: math.exp(value) for label, value in row.items()} for row in logprobs]
    even = dict.fromkeys(LABELS, 1 / 3)
    for found in (calibrate(logprobs, prior, 0.0), calibrate(logprobs, even, 1.0)):
        for one, other in zip(found, as_they_are, strict=True):
            assert one == pytest.approx(other, rel=1e-9)
    assert [likeliest(row) for row in calibrate(logprobs, prior, 0.0)] == [likeliest(row) for row in logprobs]


@given(rows)
def test_a_prior_is_the_mean_and_four_texts_that_say_nothing(logprobs: list[dict[str, float]]) -> None:
    sums = {label: sum(math.exp(row[label]) for row in logprobs) for label in LABELS}
    prior = prior_of(logprobs)
    for label in LABELS:
        assert prior[label] == pytest.approx((sums[label] + PSEUDO_TEXTS / 3) / (len(logprobs) + PSEUDO_TEXTS))
    assert math.fsum(prior.values()) == pytest.approx(1.0)


def test_a_preference_that_all_texts_share_is_undone() -> None:
    biased = [{"good": math.log(p), "bad": math.log(1 - p)} for p in [0.95] * 20 + [0.7] * 20]
    assert [likeliest(row) for row in calibrate(biased)] == ["good"] * 20 + ["bad"] * 20


def test_likelihoods_too_small_for_a_probability_are_still_told_apart() -> None:
    row = {"a": -2000.0, "b": -2001.0, "c": -3000.0}
    found = calibrate([row], {"a": 0.9, "b": 0.05, "c": 0.05})[0]
    assert likeliest(found) == "b" and math.fsum(found.values()) == pytest.approx(1.0)


def test_a_label_that_was_merely_chosen_stays() -> None:
    chosen = {"a": -math.inf, "b": 0.0, "c": -math.inf}
    assert calibrate([chosen], {"a": 0.01, "b": 0.98, "c": 0.01}) == [{"a": 0.0, "b": 1.0, "c": 0.0}]


def test_of_a_tie_the_first_declared_label_is_said() -> None:
    assert likeliest({"b": 0.5, "a": 0.5}) == "b"


def test_no_rows_need_no_prior() -> None:
    assert calibrate([]) == []


@given(rows)
def test_a_shrunk_prior_is_a_power_of_the_mean(logprobs: list[dict[str, float]]) -> None:
    count = len(logprobs)
    means = [sum(math.exp(row[label]) for row in logprobs) / count for label in LABELS]
    powers = [mean ** (count / (count + 1)) for mean in means]
    expected = {label: power / sum(powers) for label, power in zip(LABELS, powers, strict=True)}
    assert shrunk_prior(logprobs) == pytest.approx(expected, rel=1e-9)
    assert estimate_prior(logprobs) == pytest.approx(expected, rel=1e-5)


def test_a_label_that_is_hardly_ever_likely_is_told_apart_by_how_likely_it_is() -> None:
    rare = [{"good": math.log(p), "bad": math.log(1 - p)} for p in [0.012] * 50 + [0.004] * 50]
    said = [likeliest(row) for row in calibrate(rare, estimate_prior(rare))]
    assert said == ["good"] * 50 + ["bad"] * 50


def test_a_prior_is_above_0_however_unlikely_a_label_is() -> None:
    prior = estimate_prior([{"a": -900.0, "b": math.log(1.0), "c": -50.0}] * 10)
    assert all(value > 0 for value in prior.values())
