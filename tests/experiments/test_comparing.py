"""Arms are compared on the same rows and seeds; held against slow, plain resampling."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import t

from compeffdist.errors import UserError
from compeffdist.evaluation.bootstrap import Predictions
from compeffdist.experiments.comparing import Comparison, compare

LABELS = ["bad", "good"]
ROWS = 120


def answers(right: float, seed: int, rows: int = ROWS) -> dict[str, Predictions]:
    """Of two tasks, right on about a share of the rows."""
    generator = np.random.default_rng(seed)
    found = {}
    for task in ("films", "news"):
        gold = {f"{task}{row:03d}": LABELS[row % 2] for row in range(rows)}
        said = {
            row: label if generator.random() < right else LABELS[1 - LABELS.index(label)] for row, label in gold.items()
        }
        found[task] = Predictions(LABELS, gold, said)
    return found


def compared(arms: dict[str, Sequence[dict[str, Predictions]]], resamples: int = 2000) -> dict[str, Comparison]:
    found = compare(arms, next(iter(arms)), resamples=resamples, confidence=0.95, seed=7)
    return {one.arm: one for one in found}


def macro_f1(one: Predictions, rows: Sequence[str]) -> float:
    def f1(label: str) -> float:
        said = sum(one.predicted[row] == label for row in rows)
        true = sum(one.gold[row] == label for row in rows)
        return 2 * sum(one.predicted[row] == one.gold[row] == label for row in rows) / (said + true)

    return sum(map(f1, LABELS)) / len(LABELS)


def test_estimates_and_intervals_are_those_of_plain_resampling_and_student_s_t() -> None:
    arms = {"a": [answers(0.7, 1), answers(0.72, 2), answers(0.7, 5)], "b": [answers(0.8, seed) for seed in (3, 4, 6)]}
    ours = compared(arms)["b"].difference
    assert ours is not None
    generator, drawn = np.random.default_rng(0), []
    tasks = {task: sorted(arms["a"][0][task].gold) for task in ("films", "news")}
    for number in range(600):
        rows = {t: rows if number == 0 else list(generator.choice(rows, len(rows))) for t, rows in tasks.items()}
        means = {
            arm: [np.mean([macro_f1(one[task], rows[task]) for task in tasks]) for one in of_arm]
            for arm, of_arm in arms.items()
        }
        drawn.append(np.subtract(means["b"], means["a"]))
    of_seeds, of_rows = np.var(drawn[0], ddof=1) / 3, np.var([np.mean(one) for one in drawn[1:]], ddof=1)
    freedom = (of_seeds + of_rows) ** 2 / (of_seeds**2 / 2)
    low, high = t.interval(0.95, freedom, np.mean(drawn[0]), np.sqrt(of_seeds + of_rows))
    assert ours.estimate == pytest.approx(np.mean(drawn[0]))
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.01)


def test_arms_that_differ_by_chance_alone_are_seldom_told_apart() -> None:
    """Seeds decide more than rows: an interval over three of them is right in about 19 of 20 all the same."""
    generator, told = np.random.default_rng(3), 0
    for number in range(120):
        rates = generator.normal(0.7, 0.06, (2, 3))
        arms = {
            arm: [answers(rate, 1000 * number + 10 * place + seed) for seed, rate in enumerate(of_arm)]
            for place, (arm, of_arm) in enumerate(zip("ab", rates, strict=True))
        }
        told += compared(arms, 100)["b"].verdict != "not decided"
    assert told <= 12


def test_one_seed_says_nothing_of_others() -> None:
    assert compared({"a": [answers(0.5, 1)], "b": [answers(0.9, 2)]})["b"].verdict == "one seed"


def test_verdicts() -> None:
    shares = {"a": 0.7, "same": 0.7, "up": 0.95, "down": 0.4}
    found = compared({arm: [answers(share, seed) for seed in (1, 2, 3)] for arm, share in shares.items()})
    assert {name: one.verdict for name, one in found.items()} == {
        "a": "reference",
        "same": "not decided",
        "up": "better",
        "down": "worse",
    }
    assert found["a"].difference is None


def test_seeds_that_disagree_widen_the_interval() -> None:
    steady = compared({"a": [answers(0.7, 1)] * 2, "b": [answers(0.8, 2)] * 2})["b"].difference
    spread = compared({"a": [answers(0.7, 1)] * 2, "b": [answers(0.65, 2), answers(0.95, 3)]})["b"].difference
    assert steady is not None and spread is not None
    assert spread.high - spread.low > 1.5 * (steady.high - steady.low)


def test_arms_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        compared({"a": [answers(0.7, 1)], "b": [answers(0.7, 1), answers(0.7, 2)]}, 10)
    with pytest.raises(UserError, match="evaluated on different tasks: news is of some only"):
        compared({"a": [answers(0.7, 1)], "b": [{"films": answers(0.7, 1)["films"]}]}, 10)
    with pytest.raises(UserError, match="are not of the same set"):
        compared({"a": [answers(0.7, 1)], "b": [answers(0.7, 1, ROWS - 1)]}, 10)
