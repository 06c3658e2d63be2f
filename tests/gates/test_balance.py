"""Measures of class balance against their definitions."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy

from compeffdist.gates.balance import MEASURES, Balance, balances_of


def balance(before: dict[str, int], after: dict[str, int]) -> Balance:
    return Balance("all rows", before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 50, "b": 30, "c": 20}, {"a": 10, "b": 5, "c": 25}),
        ({"a": 5, "b": 5}, {"b": 5}),
        ({"a": 7}, {"a": 2}),
        ({"a": 1, "b": 1, "c": 1}, {"a": 5, "b": 2, "c": 2}),
    ],
)
def test_measures_agree_with_scipy(before: dict[str, int], after: dict[str, int]) -> None:
    made = balance(before, after)
    p, q = made.shares(before), made.shares(after)
    assert made.js_distance() == pytest.approx(float(jensenshannon(p, q, base=2)), abs=1e-7)
    assert made.entropy_loss() == pytest.approx(float(scipy_entropy(p, base=2) - scipy_entropy(q, base=2)))
    assert made.largest_class_share() == max(after.values()) / sum(after.values())


def test_the_class_that_grew_is_the_one_that_gained_share_not_rows() -> None:
    assert balance({"a": 60, "b": 40}, {"a": 25, "b": 25}).grown() == ("b", 0.4, 0.5)


def test_a_class_lost_altogether_has_a_share_of_zero() -> None:
    assert balance({"a": 6, "b": 4}, {"a": 3}).shares({"a": 3}) == [1.0, 0.0]


def test_the_bounds_docstring_has_the_figures_of_soft_sampling_right() -> None:
    # the hardest of three equal classes at rate 0.5: p to 2p - p^2
    made = balance({"a": 9, "b": 9, "c": 9}, {"a": 5, "b": 2, "c": 2})
    assert made.class_growth() == pytest.approx(0.22, abs=0.005)
    assert made.js_distance() == pytest.approx(0.19, abs=0.005)


@given(st.lists(st.tuples(st.sampled_from("gh"), st.sampled_from("abc"), st.booleans()), max_size=40))
def test_the_worst_group_with_rows_enough_is_reported(rows: list[tuple[str, str, bool]]) -> None:
    balances = []
    for group in "gh":
        own = [(name, kept) for of, name, kept in rows if of == group]
        if len(own) >= 5 and any(kept for _, kept in own):
            before, after = Counter(name for name, _ in own), Counter(name for name, kept in own if kept)
            balances.append(Balance(group, before, after))
    columns = ([row[place] for row in rows] for place in range(3))
    found = MEASURES[Balance.class_growth](*columns, 5)
    assert found == max((one.class_growth() for one in balances), default=None)


def test_a_group_of_which_nothing_was_kept_has_no_balance() -> None:
    assert balances_of(["none"], ["a"], [False]) == []
