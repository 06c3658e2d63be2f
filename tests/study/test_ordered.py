"""Figures of rows in order against slow and obvious ways to have them: all orders of ties, all subsets, each row."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from compeffdist.arrays import Floats
from compeffdist.difficulty.sampling import sample_rows
from compeffdist.params import SamplingParams
from compeffdist.study.ordered import (
    Ordered,
    Profile,
    after_random_loss,
    between,
    concordance,
    resample,
    soft,
    taken,
    without_lowest,
)

VALUES = np.array([0.0, 0.3, 0.0, 0.7, 0.3, 0.0])
"""Three rows tie, and two."""
WRONG = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
ONCE = np.ones((1, len(VALUES)))
PROFILES = [soft(0.35, 1.0), soft(0.25, 0.6), between(0.5, 1.0), between(0.2, 0.3)]


def orders_of(values: Floats) -> list[tuple[int, ...]]:
    """Every order of the rows in which no value falls."""
    every = itertools.permutations(range(len(values)))
    return [order for order in every if all(values[a] <= values[b] for a, b in itertools.pairwise(order))]


def taken_slowly(values: Floats, wrong: Floats, profile: Profile) -> tuple[float, float]:
    """Row by row, in the mean of all orders of ties."""
    found, n = [], len(values)
    for order in orders_of(values):
        chance = {
            row: n * float(profile(np.array((k + 1) / n)) - profile(np.array(k / n))) for k, row in enumerate(order)
        }
        found.append((sum(chance[row] * wrong[row] for row in range(n)), sum(chance.values())))
    return tuple(np.mean(found, axis=0).tolist())


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_taken_is_the_mean_of_all_orders_of_ties(profile: Profile) -> None:
    wrong, rows = taken(Ordered.by(VALUES), ONCE, WRONG, profile)
    assert (wrong[0], rows[0]) == pytest.approx(taken_slowly(VALUES, WRONG, profile))


@pytest.mark.parametrize(("method", "profile"), [("soft", soft(0.35, 0.8)), ("hard", between(0.65, 1.0))])
def test_a_selection_keeps_with_the_sampler_s_own_probabilities(method: str, profile: Profile) -> None:
    values = np.random.default_rng(1).permutation(np.arange(23.0))
    wrong = (np.random.default_rng(2).random(23) < 0.3).astype(np.float64)
    params = SamplingParams.model_validate({"method": method, "rate": 0.35, "peak": 0.8})
    ids = [f"row {n}" for n in range(23)]
    expected = sample_rows(ids, ["one"] * 23, values, params, 1).inclusion_probability
    found, rows = taken(Ordered.by(values), np.ones((1, 23)), wrong, profile)
    assert (found[0], rows[0]) == pytest.approx((expected @ wrong, expected.sum()))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_resample_is_what_its_rows_would_be_if_written_out(profile: Profile) -> None:
    weights = resample(len(VALUES), 20, seed=3, name="films")
    assert weights[0].tolist() == [1.0] * 6 and (weights.sum(axis=1) == 6).all() and len(weights) == 21
    wrong, rows = taken(Ordered.by(VALUES), weights, WRONG, profile)
    above, below = concordance(Ordered.by(VALUES), weights, WRONG)
    for number, counts in enumerate(weights.astype(int)):
        places = np.repeat(np.arange(6), counts)
        one = taken(Ordered.by(VALUES[places]), ONCE, WRONG[places], profile)
        assert (wrong[number], rows[number]) == pytest.approx((one[0][0], one[1][0]))
        if 0 < WRONG[places].sum() < 6:
            area = roc_auc_score(WRONG[places], VALUES[places])
            assert above[number] / below[number] == pytest.approx(area)
        else:
            assert below[number] == 0


def test_concordance_is_pair_by_pair_with_ties_at_half() -> None:
    pairs = [(VALUES[a], VALUES[b]) for a in range(6) for b in range(6) if WRONG[a] and not WRONG[b]]
    expected = sum(1.0 if bad > good else 0.5 if bad == good else 0.0 for bad, good in pairs)
    above, below = concordance(Ordered.by(VALUES), ONCE, WRONG)
    assert (above[0], below[0]) == (expected, len(pairs))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("left", [1, 4, 6])
def test_random_loss_is_the_mean_of_all_subsets(left: int, profile: Profile) -> None:
    found = [
        taken_slowly(VALUES[list(rows)], WRONG[list(rows)], profile) for rows in itertools.combinations(range(6), left)
    ]
    wrong, rows = taken(Ordered.by(VALUES), ONCE, WRONG, after_random_loss(6, left, profile))
    assert (wrong[0], rows[0]) == pytest.approx(tuple(np.mean(found, axis=0)))


def test_the_lowest_go_and_rows_of_one_value_go_in_part() -> None:
    ordered = Ordered.by(VALUES)
    weights = np.array([[1.0] * 6, [0.0, 2.0, 1.0, 1.0, 0.0, 2.0]])
    left = without_lowest(ordered, weights, 1 / 3)
    assert left[0] == pytest.approx([1 / 3, 1.0, 1 / 3, 1.0, 1.0, 1 / 3])
    assert left[1] == pytest.approx([0.0, 2.0, 1 / 3, 1.0, 0.0, 2 / 3])
    assert without_lowest(ordered, weights, 0.0).tolist() == weights.tolist()
    distinct = np.array([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert without_lowest(Ordered.by(distinct), ONCE, 0.5)[0].tolist() == [0, 0, 0, 1, 1, 1]


def test_tenths_hold_all_rows_once() -> None:
    tenths = [taken(Ordered.by(VALUES), ONCE, WRONG, between(n / 10, (n + 1) / 10)) for n in range(10)]
    assert math.isclose(sum(float(wrong[0]) for wrong, _ in tenths), 3.0)
    assert [float(rows[0]) for _, rows in tenths] == pytest.approx([0.6] * 10)


def test_what_is_no_number_has_no_place_in_an_order() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Ordered.by(np.array([0.1, np.nan]))


def test_resamples_of_a_task_hang_on_its_name_and_the_seed_alone() -> None:
    first = resample(30, 10, 1, "films")
    assert (first == resample(30, 10, 1, "films")).all()
    assert (first != resample(30, 10, 1, "tweets")).any() and (first != resample(30, 10, 2, "films")).any()
