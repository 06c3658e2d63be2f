"""Sampling keeps rows with exactly the probabilities it records, whatever the order of rows."""

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compeffdist.difficulty.sampling import (
    CONTROL,
    cumulative_probability,
    rank_in_groups,
    sample_rows,
    soft_probability,
    uniform_draws,
)
from compeffdist.params import SamplingParams

RATES = st.floats(0.01, 1.0)
PEAKS = st.floats(0.01, 1.0)


def params(**changes: Any) -> SamplingParams:
    return SamplingParams(**changes)


def columns(rows: int, groups: int = 1) -> tuple[list[str], list[str], np.ndarray[Any, Any]]:
    ids = [f"sample_{number:05d}" for number in range(rows)]
    return (
        ids,
        [f"instruction_{number % groups}" for number in range(rows)],
        np.arange(rows, dtype=np.float64),
    )


def inclusion_probability(x: np.ndarray[Any, Any], rate: float, peak: float) -> np.ndarray[Any, Any]:
    """F(x) for x in (0, 1), as the module says it."""
    falling = (1.0 - x) / (1.0 - peak) if peak < 1.0 else np.ones_like(x)
    return np.where(x < peak, x / peak, falling) ** (1.0 / rate - 1.0)


@given(rate=RATES, peak=PEAKS)
def test_the_family_integrates_to_the_rate(rate: float, peak: float) -> None:
    assert cumulative_probability(np.array([1.0]), rate, peak)[0] == pytest.approx(rate)


@given(rate=st.floats(0.1, 0.95), peak=PEAKS, x=st.floats(0.02, 0.98))
def test_the_integral_is_that_of_the_family(rate: float, peak: float, x: float) -> None:
    grid = (np.arange(200_000) + 0.5) / 200_000 * x
    numeric = inclusion_probability(grid, rate, peak).mean() * x
    assert cumulative_probability(np.array([x]), rate, peak)[0] == pytest.approx(numeric, abs=1e-4)


@given(size=st.integers(1, 300))
def test_the_papers_setting_keeps_rank_minus_half_over_size(size: int) -> None:
    rank = np.arange(1, size + 1)
    expected = (rank - 0.5) / size
    assert soft_probability(rank, np.full(size, size), 0.5, 1.0) == pytest.approx(expected, abs=1e-12)
    assert inclusion_probability(expected, 0.5, 1.0) == pytest.approx(expected, abs=1e-12)


@given(size=st.integers(1, 200), rate=RATES, peak=PEAKS)
def test_expected_size_is_exact_in_groups_of_any_size(size: int, rate: float, peak: float) -> None:
    probability = soft_probability(np.arange(1, size + 1), np.full(size, size), rate, peak)
    assert probability.sum() == pytest.approx(rate * size, abs=1e-9)
    assert probability.min() >= 0.0
    assert probability.max() <= 1.0


@given(rate=RATES, peak=PEAKS)
@settings(max_examples=25)
def test_large_groups_approach_the_family_at_midpoints(rate: float, peak: float) -> None:
    size = 5000
    rank = np.arange(1, size + 1)
    midpoints = inclusion_probability((rank - 0.5) / size, rate, peak)
    probability = soft_probability(rank, np.full(size, size), rate, peak)
    inside = np.abs((rank - 0.5) / size - peak) > 0.05
    inside &= (rank > 250) & (rank <= size - 250)
    assert probability[inside] == pytest.approx(midpoints[inside], abs=2e-3)


def test_probability_is_highest_at_the_peak() -> None:
    probability = soft_probability(np.arange(1, 101), np.full(100, 100), 0.3, 0.7)
    assert np.argmax(probability) in (69, 70)
    assert (np.diff(probability[:70]) > 0).all()
    assert (np.diff(probability[71:]) < 0).all()


@pytest.mark.parametrize("method", ["soft", "hard", "random"])
def test_rows_are_kept_as_often_as_recorded(method: str) -> None:
    """4,000 seeds; 6 standard errors: for 13 rows the chance of a false alarm is below 1e-7."""
    seeds = 4000
    ids, groups, difficulty = columns(13, groups=2)
    chosen = params(method=method, rate=0.35, peak=0.8)
    probability = sample_rows(ids, groups, difficulty, chosen, 0).inclusion_probability
    kept = sum(sample_rows(ids, groups, difficulty, chosen, seed).kept.astype(int) for seed in range(seeds))
    bound = 6 * np.sqrt(probability * (1 - probability) / seeds) + 1e-12
    assert (np.abs(kept / seeds - probability) <= bound).all()
    assert probability.sum() == pytest.approx(0.35 * 13)


def test_draws_of_different_rows_are_uncorrelated_and_uniform() -> None:
    draws = uniform_draws([f"sample_{number}" for number in range(100_000)], seed=5)
    assert draws.min() >= 0.0 and draws.max() < 1.0
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert np.abs(counts - 5000).max() < 6 * np.sqrt(5000)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 6 / np.sqrt(100_000)


def test_hard_keeps_the_hardest_and_rounds_without_bias() -> None:
    ids, groups, difficulty = columns(7)
    sizes = []
    for seed in range(2000):
        kept = sample_rows(ids, groups, difficulty, params(method="hard", rate=0.35), seed).kept
        assert (np.diff(kept.astype(int)) >= 0).all()
        sizes.append(int(kept.sum()))
    assert set(sizes) == {2, 3}  # 0.35 x 7 = 2.45
    assert abs(np.mean(sizes) - 2.45) < 6 * np.sqrt(0.45 * 0.55 / 2000)


@given(order=st.permutations(range(40)), method=st.sampled_from(["soft", "hard", "random"]))
@settings(max_examples=30)
def test_the_sample_does_not_depend_on_row_order(order: list[int], method: str) -> None:
    ids, groups, difficulty = columns(40, 3)
    difficulty //= 7  # ties
    straight = sample_rows(ids, groups, difficulty, params(method=method, rate=0.4), 11)
    shuffled = sample_rows(
        [ids[n] for n in order], [groups[n] for n in order], difficulty[order], params(method=method, rate=0.4), 11
    )
    for name in ("rank", "group_size", "inclusion_probability", "draw", "kept"):
        assert (getattr(shuffled, name) == getattr(straight, name)[order]).all()


def test_lists_arrays_chunks_and_dictionaries_give_the_same_sample() -> None:
    ids, groups, difficulty = columns(50, 4)
    cut = [slice(0, 7), slice(7, 8), slice(8, 50)]
    given = [
        (pa.array(ids), pa.array(groups)),
        (
            pa.chunked_array([ids[part] for part in cut]),
            # each chunk with a dictionary of its own
            pa.chunked_array([pa.array(groups[part]).dictionary_encode() for part in cut]).unify_dictionaries(),
        ),
    ]
    listed = sample_rows(ids, groups, difficulty, params(), 3)
    for arrow_ids, arrow_groups in given:
        sample = sample_rows(arrow_ids, arrow_groups, difficulty, params(), 3)
        assert (sample.draw == listed.draw).all()
        assert (sample.rank == listed.rank).all()
        assert (sample.group_size == listed.group_size).all()


def test_rows_of_one_instruction_leave_the_others_alone() -> None:
    ids, groups, difficulty = columns(60, 3)
    others = [n for n in range(60) if n % 3 != 1]
    together = sample_rows(ids, groups, difficulty, params(), 3)
    alone = sample_rows([ids[n] for n in others], [groups[n] for n in others], difficulty[others], params(), 3)
    assert (together.kept[others] == alone.kept).all()
    assert (together.inclusion_probability[others] == alone.inclusion_probability).all()


def test_ranks_run_within_groups_easiest_first_with_ties_by_id() -> None:
    rank, size = rank_in_groups(
        ["d", "c", "b", "a", "e"], np.array([0, 0, 1, 0, 1]), np.array([0.5, 0.5, 0.9, 0.7, 0.1])
    )
    assert rank.tolist() == [2, 1, 2, 3, 1]
    assert size.tolist() == [3, 3, 2, 3, 2]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from([0.0, 0.25, 1.0])), max_size=50))
def test_ranks_agree_with_plain_sorting(rows: list[tuple[str, float]]) -> None:
    ids = [f"s{(number * 37) % 101:03d}" for number in range(len(rows))]
    groups = [group for group, _ in rows]
    difficulty = np.array([value for _, value in rows], dtype=np.float64)
    members = defaultdict(list)
    for triplet_id, group, value in zip(ids, groups, difficulty, strict=True):
        members[group].append((value, triplet_id))
    codes = np.array(["xyz".index(group) for group in groups], dtype=np.int64)
    rank, size = rank_in_groups(ids, codes, difficulty)
    for index, triplet_id in enumerate(ids):
        ordered = sorted(members[groups[index]])
        assert rank[index] == ordered.index((difficulty[index], triplet_id)) + 1
        assert size[index] == len(ordered)


def test_global_scope_ranks_all_rows_together() -> None:
    sample = sample_rows(*columns(50, 4), params(scope="global"), 1)
    assert sample.rank.tolist() == list(range(1, 51))
    assert (sample.group_size == 50).all()


def test_random_difficulty_says_nothing_of_the_draw() -> None:
    ids, _, _ = columns(20_000)
    difficulty = uniform_draws(ids, 4, CONTROL)
    assert abs(np.corrcoef(difficulty, uniform_draws(ids, 4))[0, 1]) < 6 / np.sqrt(20_000)
    assert (difficulty != uniform_draws(ids, 5, CONTROL)).all()


def test_rate_one_keeps_everything() -> None:
    for method in ("soft", "hard", "random"):
        assert sample_rows(*columns(9, 2), params(method=method, rate=1.0, peak=0.4), 2).kept.all()


def test_another_seed_is_another_sample() -> None:
    first, second = (sample_rows(*columns(200), params(), seed).kept for seed in (1, 2))
    assert (first != second).any()


def test_a_tiny_rate_with_a_steep_family_keeps_its_expected_size() -> None:
    probability = sample_rows(*columns(3), params(rate=1e-6), 0).inclusion_probability
    assert probability.sum() == pytest.approx(3e-6, rel=1e-6)


def test_a_difficulty_that_is_not_finite_is_refused_by_name() -> None:
    ids, groups, difficulty = columns(5)
    difficulty[3] = np.nan
    with pytest.raises(ValueError, match="sample_00003 is not finite"):
        sample_rows(ids, groups, difficulty, params(), 0)


@pytest.mark.parametrize("method", ["soft", "hard", "random"])
@pytest.mark.parametrize("scope", ["instruction", "global"])
def test_no_rows_are_an_empty_sample(method: str, scope: str) -> None:
    assert len(sample_rows([], [], np.empty(0), params(method=method, scope=scope), 0).kept) == 0
