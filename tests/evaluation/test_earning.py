"""What a student must show: one label for everything is found where gold is balanced; many tasks are a family."""

import pytest

from compeffdist.evaluation.bootstrap import Predictions, difference_interval
from compeffdist.evaluation.earning import family_confidence, is_balanced, label_counts, most_overused


def answers(gold: str, predicted: str) -> Predictions:
    """A task with the labels a, b and c, a letter a row."""
    rows = [f"row{number}" for number in range(len(gold))]
    return Predictions("abc", dict(zip(rows, gold, strict=True)), dict(zip(rows, predicted, strict=True)))


def test_the_label_with_the_largest_share_of_a_balanced_task_is_found() -> None:
    use = most_overused({"one": answers("aabbcc", "aabbca"), "two": answers("aabbcc", "bbbbca")})
    assert use is not None
    assert (use.task, use.label, use.given, use.true, use.rows) == ("two", "b", 4, 2, 6)
    assert str(use) == "'b' to 4 of 6 rows of two, where 2 are"


def test_a_task_with_uneven_gold_is_not_asked() -> None:
    assert most_overused({"one": answers("aaaabc", "aaaaaa")}) is None


@pytest.mark.parametrize(
    ("counts", "balanced"), [((10, 10), True), ((12, 8), True), ((13, 7), False), ((5, 5, 2), True)]
)
def test_gold_is_balanced_up_to_a_quarter_above_the_even_share(counts: tuple[int, ...], balanced: bool) -> None:
    assert is_balanced({str(place): count for place, count in enumerate(counts)}) is balanced


def test_an_answer_outside_the_labels_counts_for_none() -> None:
    assert label_counts(["a", "b"], ["a", "x", "b", "a"]) == {"a": 2, "b": 1}


def test_an_equal_student_is_rarely_found_worse_on_any_of_eight_tasks() -> None:
    """By chance alone, on 400 draws of eight tasks: more often than wanted at 95% each, and not so as a family."""
    import random

    chance, found = random.Random(5), {0.95: 0, family_confidence(0.95, 8): 0}
    for _ in range(60):
        worse = dict.fromkeys(found, False)
        for _ in range(8):
            gold = "ab" * 40
            pair = [answers(gold, "".join(chance.choice("ab") for _ in gold)) for _ in range(2)]
            for confidence in found:
                worse[confidence] |= (
                    difference_interval({"t": pair[0]}, {"t": pair[1]}, "accuracy", 400, confidence, 1).high < 0
                )
        for confidence, is_worse in worse.items():
            found[confidence] += is_worse
    assert family_confidence(0.95, 8) == pytest.approx(0.99375)
    assert found[0.95] >= 5
    assert found[family_confidence(0.95, 8)] <= 3
