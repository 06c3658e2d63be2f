"""Distribution of the scores, as figures and as a histogram."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from compeffdist.difficulty.summary import BINS, Scores, summarise_scores, write_histogram
from tests.factories import make_score


def scored(values: list[float], perplexity: float | None = None) -> Scores:
    return Scores(
        [
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
    )


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
        assert found == pytest.approx(spearmanr(values, rows["tokens"]).statistic)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.1, 0.2, 0.3]), st.none() | st.integers(1, 3))))
def test_ties_are_counted_within_an_instruction_and_blocks_are_those_of_all(
    rows: list[tuple[str, float, int | None]],
) -> None:
    records = [
        make_score(None, ranking, triplet_id=f"s{n}", pair_id=f"p{n}", instruction_id=instruction, label_rank=rank)
        for n, (instruction, ranking, rank) in enumerate(rows)
    ]
    in_blocks = Scores(records[:2])
    in_blocks.add(records[2:])
    assert summarise_scores(in_blocks) == summarise_scores(Scores(records))
    ranked = [(instruction, ranking, rank) for instruction, ranking, rank in rows if rank is not None]
    if ranked:
        found = summarise_scores(in_blocks)["label_rank"]
        for name, column in (("ranking_tied_share", 1), ("tied_share", 2)):
            keys = [(row[0], row[column]) for row in ranked]
            assert found[name] == pytest.approx(sum(keys.count(key) > 1 for key in keys) / len(keys))
        assert found["rows"] == len(ranked)


def test_no_scores_give_no_figures() -> None:
    assert summarise_scores(Scores()) == {"ranking": None, "correlation_with_ranking": None}


def test_the_histogram_holds_every_score_once(tmp_path: Path) -> None:
    write_histogram(tmp_path / "h.csv", scored([0.0, 0.049, 0.05, 0.999, 1.0]))
    rows = list(csv.DictReader((tmp_path / "h.csv").open()))
    assert len(rows) == BINS
    assert [int(rows[place]["triplets"]) for place in (0, 1, BINS - 1)] == [2, 1, 2]
