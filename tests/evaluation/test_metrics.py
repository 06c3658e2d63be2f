"""Metrics against scikit-learn; bootstrap intervals against row-number resampling and known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from compeffdist.errors import UserError
from compeffdist.evaluation.bootstrap import Interval, Predictions, difference_interval, metric_interval
from compeffdist.evaluation.metrics import accuracy_of, confusion, macro_f1

LABELS = ["negative", "neutral", "positive"]
ANSWERS = [*LABELS, "unsure"]

rows = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(ANSWERS)), min_size=1, max_size=40)


@given(rows)
@hypothesis_settings(deadline=None)
def test_metrics_equal_scikit_learns_over_the_labels_that_occur(answers: list[tuple[str, str]]) -> None:
    gold, predicted = map(list, zip(*answers, strict=True))
    occurring = [label for label in LABELS if label in gold or label in predicted]
    expected = sk.f1_score(gold, predicted, labels=occurring, average="macro", zero_division=0)
    if "unsure" not in predicted:  # else scikit-learn takes it for a label, which it is not
        assert expected == pytest.approx(sk.f1_score(gold, predicted, average="macro"))
    assert macro_f1(gold, predicted, LABELS) == pytest.approx(expected)
    assert accuracy_of(confusion(gold, predicted, LABELS)) == pytest.approx(sk.accuracy_score(gold, predicted))
    counts = confusion(gold, predicted, LABELS)
    assert counts.sum() == len(answers)
    np.testing.assert_array_equal(counts, sk.confusion_matrix(gold, predicted, labels=ANSWERS)[:3])


def test_a_perfect_system_has_all_whatever_labels_the_rows_have_and_a_false_alarm_costs() -> None:
    assert macro_f1(["positive"] * 3, ["positive"] * 3, LABELS) == 1.0
    assert macro_f1(["positive", "negative"], ["positive", "negative"], LABELS) == 1.0
    # neutral: of no row, said of one
    assert macro_f1(["positive"] * 3, ["positive", "positive", "neutral"], LABELS) == pytest.approx((0.8 + 0) / 2)


def test_gold_labels_outside_the_set_and_empty_input_are_refused() -> None:
    with pytest.raises(ValueError, match="gold label 'mixed' is not one of"):
        macro_f1(["mixed"], ["positive"], LABELS)
    with pytest.raises(ValueError, match="no rows"):
        confusion([], [], LABELS)
    with pytest.raises(ValueError, match="3 gold, 1 predicted"):
        confusion(["positive"] * 3, ["positive"], LABELS)


def system(count: int, skill: float, seed: int, prefix: str = "row") -> Predictions:
    """`count` rows whose gold labels depend on the row alone; right with chance `skill`, else a random label."""
    rng = np.random.default_rng(seed)
    gold = {f"{prefix}{i}": LABELS[i % 3] for i in range(count)}
    predicted = {row: label if rng.random() < skill else str(rng.choice(LABELS)) for row, label in gold.items()}
    return Predictions(LABELS, gold, predicted)


def interval(tasks: dict[str, Predictions], metric: str = "macro_f1", seed: int = 1) -> Interval:
    return metric_interval(tasks, metric, 2000, 0.95, seed)  # type: ignore[arg-type]


def difference(one: dict[str, Predictions], other: dict[str, Predictions], seed: int = 1) -> Interval:
    return difference_interval(one, other, "macro_f1", 2000, 0.95, seed)


def values(predictions: Predictions) -> tuple[list[str], list[str]]:
    ids = sorted(predictions.gold)
    return [predictions.gold[i] for i in ids], [predictions.predicted[i] for i in ids]


def test_the_estimate_is_the_metric_on_the_rows_as_they_are_and_lies_in_its_interval() -> None:
    answers = system(300, 0.6, 0)
    found = interval({"tweets": answers})
    assert found.estimate == pytest.approx(macro_f1(*values(answers), LABELS))
    assert found.low < found.estimate < found.high


def test_the_interval_agrees_with_resampling_row_numbers() -> None:
    answers = system(120, 0.6, 0)
    gold, predicted = map(np.array, values(answers))
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, 120, 120) for _ in range(1500)]
    scores = [macro_f1(gold[i].tolist(), predicted[i].tolist(), LABELS) for i in drawn]
    found = interval({"tweets": answers})
    assert [found.low, found.high] == pytest.approx(list(np.percentile(scores, [2.5, 97.5])), abs=0.015)


def test_accuracy_intervals_are_as_wide_as_the_normal_approximation_says() -> None:
    answers = system(400, 0.6, 0)
    found = interval({"tweets": answers}, "accuracy")
    share = accuracy_of(confusion(*values(answers), LABELS))
    assert found.high - found.low == pytest.approx(2 * 1.96 * (share * (1 - share) / 400) ** 0.5, rel=0.1)


def test_the_difference_is_paired_by_row() -> None:
    """Two systems that differ on few rows: pairing gives a far narrower interval than their own."""
    one = system(400, 0.6, 0)
    predicted = dict(one.predicted)
    wrong = [row for row in sorted(predicted) if predicted[row] != one.gold[row]][:20]
    other = Predictions(LABELS, one.gold, predicted | {row: one.gold[row] for row in wrong})
    found, own = difference({"t": other}, {"t": one}), interval({"t": one})
    assert 0 < found.low < found.estimate < found.high
    assert found.high - found.low < 0.6 * (own.high - own.low)
    expected = macro_f1(*values(other), LABELS) - macro_f1(*values(one), LABELS)
    assert found.estimate == pytest.approx(expected)


def test_a_system_does_not_differ_from_itself_and_swapping_changes_the_sign() -> None:
    one, other = {"t": system(100, 0.7, 0)}, {"t": system(100, 0.5, 1)}
    assert difference(one, one) == Interval(0.0, 0.0, 0.0)
    forth, back = difference(one, other), difference(other, one)
    assert forth.estimate == pytest.approx(-back.estimate)
    assert forth.low == pytest.approx(-back.high, abs=0.02)


def test_rows_are_joined_by_id_whatever_their_order() -> None:
    one, other = system(100, 0.7, 0), system(100, 0.5, 1)
    reordered = Predictions(LABELS, dict(reversed(other.gold.items())), dict(reversed(other.predicted.items())))
    assert difference({"t": one}, {"t": other}) == difference({"t": one}, {"t": reordered})


def test_the_mean_over_tasks_weighs_tasks_alike_and_is_narrower_than_either() -> None:
    small, large = system(150, 0.8, 0), system(600, 0.4, 1)
    both = interval({"a": small, "b": large})
    alone = [interval({"a": small}), interval({"b": large})]
    assert both.estimate == pytest.approx(sum(found.estimate for found in alone) / 2)
    assert both.high - both.low < max(found.high - found.low for found in alone)


def test_results_depend_on_the_seed_and_on_nothing_else() -> None:
    tasks = {"a": system(150, 0.8, 0), "b": system(100, 0.4, 1)}
    assert interval(tasks, seed=1) == interval(dict(reversed(tasks.items())), seed=1)
    assert interval(tasks, seed=1) != interval(tasks, seed=2)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"u": system(9, 0.5, 0)}, "first system's tasks and the second's"),
        ({"t": system(10, 0.5, 0)}, "t: .* 1 are in one only, such as row9"),
        ({"t": system(9, 0.5, 0, prefix="line")}, "t: .* 18 are in one only"),
        ({"t": Predictions(LABELS[::-1], system(9, 0.5, 0).gold, system(9, 0.5, 0).predicted)}, "label sets"),
        (
            {"t": Predictions(LABELS, system(9, 0.5, 0).gold | {"row4": "positive"}, system(9, 0.5, 0).predicted)},
            "row row4 has another gold label",
        ),
    ],
)
def test_systems_evaluated_on_different_rows_are_not_compared(other: dict[str, Predictions], message: str) -> None:
    with pytest.raises(UserError, match=message):
        difference({"t": system(9, 0.5, 0)}, other)


def test_predictions_must_cover_the_gold_rows_exactly() -> None:
    with pytest.raises(UserError, match=r"gold labels and predictions .* such as b"):
        Predictions(LABELS, {"a": "positive", "b": "neutral"}, {"a": "positive"})
    with pytest.raises(UserError, match="no rows"):
        Predictions(LABELS, {}, {})
    with pytest.raises(UserError, match="no evaluation tasks"):
        interval({})
