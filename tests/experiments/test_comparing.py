"""Arms are compared on the same rows and seeds; held against slow, plain resampling."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import f1_score

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
    return float(f1_score([one.gold[r] for r in rows], [one.predicted[r] for r in rows], average="macro"))


def test_estimates_and_intervals_are_those_of_plain_resampling() -> None:
    arms = {"a": [answers(0.7, 1), answers(0.72, 2)], "b": [answers(0.8, 3), answers(0.85, 4)]}
    ours = compared(arms)["b"].difference
    assert ours is not None
    generator, drawn = np.random.default_rng(0), []
    tasks = {task: sorted(arms["a"][0][task].gold) for task in ("films", "news")}
    for number in range(1500):
        rows = {t: rows if number == 0 else list(generator.choice(rows, len(rows))) for t, rows in tasks.items()}
        seeds = [0, 1] if number == 0 else generator.integers(0, 2, 2)
        means = [
            np.mean([macro_f1(arms[arm][s][task], rows[task]) for s in seeds for task in tasks]) for arm in ("a", "b")
        ]
        drawn.append(means[1] - means[0])
    assert ours.estimate == pytest.approx(drawn[0])
    assert (ours.low, ours.high) == pytest.approx(tuple(np.percentile(drawn[1:], [2.5, 97.5])), abs=0.012)


def test_verdicts() -> None:
    found = compared(
        {"a": [answers(0.7, 1)], "same": [answers(0.7, 1)], "up": [answers(0.95, 2)], "down": [answers(0.4, 3)]}
    )
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
    with pytest.raises(UserError, match="are not of the same set"):
        compared({"a": [answers(0.7, 1)], "b": [answers(0.7, 1, ROWS - 1)]}, 10)
