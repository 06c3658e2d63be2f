"""The greedy choice against all choices there are, and against its own definition step by step."""

import itertools
import math

import numpy as np
import pytest

from compeffdist.arrays import Floats
from compeffdist.study.representatives import coverage, representatives, stands_for


def similarities(n: int, seed: int) -> Floats:
    points = np.random.default_rng(seed).normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.maximum(points @ points.T, 0.0)


def worth(similarity: Floats, chosen: tuple[int, ...]) -> float:
    """The sum over all of the largest similarity to one chosen, written out."""
    return sum(max(float(similarity[i, j]) for j in chosen) for i in range(len(similarity)))


@pytest.mark.parametrize("seed", range(5))
def test_each_step_takes_what_adds_most_and_the_whole_is_near_the_best_of_all_choices(seed: int) -> None:
    similarity, count = similarities(10, seed), 4
    chosen: list[int] = []
    for _ in range(count):
        waiting = [one for one in range(10) if one not in chosen]
        chosen.append(max(waiting, key=lambda one: round(worth(similarity, (*chosen, one)), 9)))
    assert representatives(similarity, count) == chosen
    best = max(worth(similarity, choice) for choice in itertools.combinations(range(10), count))
    assert (1 - 1 / math.e) * best <= worth(similarity, tuple(chosen)) <= best
    assert coverage(similarity, chosen) == pytest.approx(worth(similarity, tuple(chosen)) / 10)


def test_a_choice_of_all_covers_all_and_prefixes_are_smaller_choices() -> None:
    similarity = similarities(8, 1)
    everyone = representatives(similarity, 20)
    assert sorted(everyone) == list(range(8)) and coverage(similarity, everyone) == pytest.approx(1.0)
    assert representatives(similarity, 3) == everyone[:3]


def test_each_is_stood_for_by_the_most_similar_and_a_chosen_one_by_itself() -> None:
    similarity = np.array([[1.0, 0.9, 0.1, 1.0], [0.9, 1.0, 0.2, 0.9], [0.1, 0.2, 1.0, 0.1], [1.0, 0.9, 0.1, 1.0]])
    assert stands_for(similarity, [2, 0]) == [0, 0, 2, 0]
    assert stands_for(similarity, [0, 2, 3]) == [0, 0, 2, 3]  # twins, both chosen
    assert representatives(similarity, 2) == [0, 2]
