"""Distribution of the scores, as figures and as a histogram."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from compeffdist.difficulty.summary import BINS, summarise_scores, write_histogram
from compeffdist.records import ScoredTriplet
from tests.factories import make_score


def scored(values: list[float], perplexity: float | None = None) -> list[ScoredTriplet]:
    return [
        make_score(
            None,
            value,
            triplet_id=f"s{n}",
            pair_id=f"p{n}",
            ranking_all=value / 2,
            perplexity=perplexity or 1 + value,
            tokens=n + 1,
        )
        for n, value in enumerate(values)
    ]


def test_saturation_is_the_share_at_each_end() -> None:
    ranking = summarise_scores(scored([0.0, 0.01, 0.5, 0.97, 1.0]))["ranking"]
    assert (ranking["share_near_zero"], ranking["share_near_one"]) == (0.4, 0.4)
    assert ranking["q50"] == 0.5


def test_a_measure_in_the_same_order_correlates_fully_and_a_constant_one_not_at_all() -> None:
    assert summarise_scores(scored([0.1, 0.5, 0.9]))["correlation_with_ranking"]["perplexity"] == pytest.approx(1.0)
    assert summarise_scores(scored([0.1, 0.5, 0.9], 2.0))["correlation_with_ranking"]["perplexity"] is None


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12))
def test_correlations_are_those_of_scipy_ties_included(values: list[int]) -> None:
    rows = scored([value / 4 for value in values])
    found = summarise_scores(rows)["correlation_with_ranking"]["tokens"]
    if len(set(values)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(values, [row.measures["tokens"] for row in rows]).statistic)


def test_no_scores_give_no_figures() -> None:
    assert summarise_scores([]) == {"ranking": None, "correlation_with_ranking": None}


def test_the_histogram_holds_every_score_once(tmp_path: Path) -> None:
    write_histogram(tmp_path / "h.csv", scored([0.0, 0.049, 0.05, 0.999, 1.0]))
    rows = list(csv.DictReader((tmp_path / "h.csv").open()))
    assert len(rows) == BINS
    assert [int(rows[place]["triplets"]) for place in (0, 1, BINS - 1)] == [2, 1, 2]
