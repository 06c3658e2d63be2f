"""Figures of made-up gold rows whose truth is known: what is planted is found, holes are null, intervals cover."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from compeffdist.evaluation.agreement import Resampling
from compeffdist.study.gold import AS_GIVEN, CALIBRATED, DIFFICULTIES, GoldRow
from compeffdist.study.mistakes import MARGIN, doubts, mistakes

HOW = Resampling(resamples=200, confidence=0.95, seed=1)


def gold(number: int, wrong: bool, difficulty: float = 0.5, first: float = 0.6, **fields: Any) -> GoldRow:
    """A row whose teacher gave its label the probability `first`, of two."""
    weighed = {CALIBRATED: (first, 1 - first), AS_GIVEN: (first, 1 - first)}
    known = {"row_id": f"row {number}", "task": "films", "probabilities": weighed}
    return GoldRow(**(known | {"wrong": wrong, "difficulty": dict.fromkeys(DIFFICULTIES, difficulty)} | fields))


def drawn(chance: np.random.Generator, rows: int, tasks: int = 2, ties: bool = True) -> list[GoldRow]:
    """Wrong the more often, the harder and the less sure."""
    made = []
    for number in range(rows):
        difficulty, first = chance.random(), 0.5 + chance.random() / 2
        wrong = chance.random() < 0.1 + 0.4 * difficulty * (1 - first) * 2
        made.append(gold(number, wrong, round(difficulty, 1) if ties else difficulty, first, task=f"t{number % tasks}"))
    return made


def test_doubts_by_hand() -> None:
    found = doubts(np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.2, 0.3, 0.5]]))
    assert found["margin"] == pytest.approx([-0.25, -1.0, -0.2])
    assert found["top_probability"] == pytest.approx([-0.5, -1.0, -0.5])
    entropy = -(0.2 * math.log(0.2) + 0.3 * math.log(0.3) + 0.5 * math.log(0.5)) / math.log(3)
    assert found["entropy"] == pytest.approx([1.5 * math.log(2) / math.log(3), 0.0, entropy])


def test_what_is_not_tied_to_difficulty_is_even_over_it_and_what_is_planted_is_found() -> None:
    # the hardest two of ten wrong in each task; the second task is easier as a whole
    rows = [gold(n, n % 10 >= 8, n % 10 - 20 * (n >= 10), task=f"t{n // 10}") for n in range(20)]
    found = mistakes(rows, HOW, rate=0.2, peak=1.0)
    deciles = found["deciles"]["ranking"]
    assert [one["estimate"] for one in deciles["within"]] == [0.0] * 8 + [1.0] * 2
    assert [one["estimate"] for one in deciles["over_all"]] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert found["wrong"]["all"]["estimate"] == 0.2
    assert found["auroc"]["ranking"]["within"]["estimate"] == 1.0
    assert found["auroc"]["ranking"]["over_all"]["estimate"] == pytest.approx(48 / 64)
    assert found["selection"]["ranking"]["hard"]["0.2"]["wrong"]["estimate"] == pytest.approx(1.0)
    assert found["selection"]["ranking"]["hard"]["0.2"]["less_random"]["estimate"] == pytest.approx(0.8)
    assert deciles["largest_tie"] == {"within": 1, "over_all": 1}


def test_areas_are_those_of_scikit_learn_and_within_tasks_their_mean_by_pairs() -> None:
    rows = drawn(np.random.default_rng(4), 80)
    wrong, tasks = np.array([row.wrong for row in rows]), np.array([row.task for row in rows])
    difficulty = np.array([row.difficulty["ranking"] for row in rows])
    found = mistakes(rows, HOW, 0.35, 1.0)["auroc"]["ranking"]
    assert found["over_all"]["estimate"] == pytest.approx(roc_auc_score(wrong, difficulty))
    areas, pairs = [], []
    for task in ("t0", "t1"):
        own = tasks == task
        areas.append(roc_auc_score(wrong[own], difficulty[own]))
        pairs.append(int(wrong[own].sum() * (~wrong[own]).sum()))
        assert found["tasks"][task]["estimate"] == pytest.approx(areas[-1])
    assert found["within"]["estimate"] == pytest.approx(np.average(areas, weights=pairs))


def test_rows_of_one_score_are_no_order() -> None:
    rows = [gold(n, n < 5) for n in range(20)]
    found = mistakes(rows, HOW, 0.35, 1.0)
    assert {round(one["estimate"], 9) for one in found["deciles"]["ranking"]["within"]} == {0.25}
    assert found["auroc"]["ranking"]["within"] == {"estimate": 0.5, "low": 0.5, "high": 0.5}
    for line in found["selection"]["ranking"]["soft"].values():
        assert all(math.isclose(value, 0.0, abs_tol=1e-9) for value in line["less_random"].values())


def test_where_no_answer_is_wrong_there_is_no_area_and_no_mean_over_holes() -> None:
    rows = [gold(n, False, n / 10, task="right") for n in range(10)]
    found = mistakes(rows, HOW, 0.35, 1.0)
    assert found["auroc"]["ranking"]["within"] is None and found["wrong"]["all"]["estimate"] == 0.0
    both = mistakes([*rows, *(gold(n, n % 2 == 0, n, task="half") for n in range(10))], HOW, 0.35, 1.0)
    alone = mistakes([gold(n, n % 2 == 0, n, task="half") for n in range(10)], HOW, 0.35, 1.0)
    assert both["auroc"]["ranking"]["within"] == alone["auroc"]["ranking"]["within"]
    assert both["auroc"]["ranking"]["tasks"]["right"] is None


def test_a_task_of_chosen_labels_has_no_confidence_and_the_others_keep_theirs() -> None:
    chosen = {CALIBRATED: (), AS_GIVEN: ()}
    rows = drawn(np.random.default_rng(6), 40, tasks=1)
    more = [gold(100 + n, n % 3 == 0, n / 20, task="chosen", probabilities=chosen) for n in range(20)]
    both, alone = mistakes([*rows, *more], HOW, 0.35, 1.0), mistakes(rows, HOW, 0.35, 1.0)
    assert both["auroc"][MARGIN] == alone["auroc"][MARGIN] and both["auroc"][MARGIN]["rows"] == 40
    assert both["floor"] == alone["floor"] and both["rows"] == 60
    nothing = mistakes(more, HOW, 0.35, 1.0)
    assert nothing["floor"] is None and set(nothing["auroc"]) == set(DIFFICULTIES)


def test_a_floor_drops_the_least_sure_and_then_as_many_are_kept() -> None:
    # ten rows by difficulty; the three of least margin are wrong, and in the middle of the order
    sure = [0.9, 0.91, 0.92, 0.51, 0.52, 0.53, 0.94, 0.95, 0.96, 0.97]
    rows = [gold(n, first < 0.6, n, first) for n, first in enumerate(sure)]
    found = mistakes(rows, HOW, 0.5, 1.0)["floor"]["0.5"]
    assert found["0.3"]["wrong"]["floor"]["estimate"] == pytest.approx(0.0)
    # rate 0.5: the chance of rank k of 10 is (k - 0.5) / 10
    assert found["0.3"]["wrong"]["no_floor"]["estimate"] == pytest.approx((3.5 + 4.5 + 5.5) / 50)
    # of two dropped, one wrong is left, the sixth, fourth of eight; rate 0.625 there
    rank, power = 4, 1 / 0.625
    chance = 8 * 0.625 * ((rank / 8) ** power - ((rank - 1) / 8) ** power)
    assert found["0.2"]["wrong"]["floor"]["estimate"] == pytest.approx(chance / 5)
    assert found["0.2"]["mean_place"]["no_floor"] == pytest.approx(sum(((k - 0.5) / 10) ** 2 for k in range(1, 11)) / 5)


def test_dropping_at_random_is_what_many_draws_give() -> None:
    rows = drawn(np.random.default_rng(8), 30, tasks=1)
    expected = mistakes(rows, HOW, 0.35, 1.0)["floor"]["0.35"]["0.3"]["wrong"]["random_drop"]["estimate"]
    chance, shares = np.random.default_rng(9), []
    for _ in range(100):
        left = [rows[place] for place in chance.choice(30, 21, replace=False)]
        found = mistakes(left, Resampling(1, 0.95, 1), 0.35 / 0.7, 1.0)
        shares.append(found["selection"]["ranking"]["soft"]["0.5"]["wrong"]["estimate"])
    assert expected == pytest.approx(np.mean(shares), abs=4 * np.std(shares) / 10)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """40 experiments at 95%, the truth being that of 2,000 rows: fewer than 33 hits have a chance below 1e-3."""
    chance = np.random.default_rng(10)

    def figures(rows: list[GoldRow], resamples: int) -> dict[str, Any]:
        found = mistakes(rows, Resampling(resamples, 0.95, 3), 0.35, 1.0)
        floor = found["floor"]["0.35"]["0.2"]
        return {
            "kept": found["selection"]["ranking"]["soft"]["0.35"]["less_random"],
            "area": found["auroc"][MARGIN]["within"],
            "tenth": found["deciles"]["ranking"]["within"][9],
            "floor": floor["less_random_drop"],
        }

    truth = {name: one["estimate"] for name, one in figures(drawn(chance, 2000, ties=False), 1).items()}
    hits = dict.fromkeys(truth, 0)
    for _ in range(40):
        for name, one in figures(drawn(chance, 120, ties=False), 100).items():
            hits[name] += one["low"] <= truth[name] <= one["high"]
    assert min(hits.values()) >= 33, hits
