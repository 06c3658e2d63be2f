"""Correlations, deciles and agreement between runs, against what is known of made-up scores."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from compeffdist.errors import UserError
from compeffdist.study.findings import choose_examples, read_triplets
from compeffdist.study.measures import (
    agreements,
    correlations,
    decile_figures,
    largest_tie,
    rank_correlations,
    read_scores,
)
from tests.factories import write_scored
from tests.study.world import numbered_triplet, score_of, write_world


def test_correlations_are_those_of_what_was_written(tmp_path: Path) -> None:
    write_world(tmp_path)
    found = correlations(read_scores(tmp_path / "data/scored.parquet"))
    assert found["perplexity"] == {"rows": 200, "spearman": pytest.approx(1.0), "kendall": pytest.approx(1.0)}
    assert found["miss_rate"]["spearman"] == pytest.approx(-1.0)
    assert found["tokens"] == {"rows": 200, "spearman": None, "kendall": None}  # constant


def test_rows_without_a_value_are_left_out_and_counted() -> None:
    one, other = np.array([1.0, 2.0, np.nan, 3.0]), np.array([1.0, 3.0, 9.0, 2.0])
    assert rank_correlations(one, other)["rows"] == 3
    assert rank_correlations(one, other)["spearman"] == pytest.approx(spearmanr([1, 2, 3], [1, 3, 2]).statistic)


def test_deciles_are_tenths_of_the_rows_in_order_of_score(tmp_path: Path) -> None:
    write_world(tmp_path, rows=200)
    scores = read_scores(tmp_path / "data/scored.parquet")
    figures = decile_figures(scores)
    assert [decile["rows"] for decile in figures] == [20] * 10
    assert all(one["highest"] <= other["lowest"] for one, other in itertools.pairwise(figures))


def test_rows_that_all_score_alike_still_fall_into_tenths_by_id(tmp_path: Path) -> None:
    scored = [score_of(numbered_triplet(number), 0.0) for number in range(30)]
    write_scored(tmp_path / "s.parquet", scored)
    scores = read_scores(tmp_path / "s.parquet")
    assert np.bincount(scores.decile).tolist() == [3] * 10
    assert largest_tie(scores) == (0.0, 30)


def test_examples_are_drawn_by_seed_whatever_the_order_of_rows(tmp_path: Path) -> None:
    scored = write_world(tmp_path)
    write_scored(tmp_path / "turned.parquet", scored[::-1])
    chosen = []
    for source, seed in (("data/scored", 1), ("turned", 1), ("data/scored", 2)):
        scores = read_scores(tmp_path / f"{source}.parquet")
        places = choose_examples(scores, 3, seed)
        assert scores.decile[places].tolist() == [decile for decile in range(10) for _ in range(3)]
        chosen.append([scores.triplet_ids[int(place)].as_py() for place in places])
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_triplets_are_found_by_id_or_the_missing_one_is_named(tmp_path: Path) -> None:
    write_world(tmp_path, rows=20)
    wanted = numbered_triplet(7)
    assert read_triplets(tmp_path / "data/triplets.parquet", [wanted.id]) == {wanted.id: wanted}
    with pytest.raises(UserError, match="sample_x has a score but is not there"):
        read_triplets(tmp_path / "data/triplets.parquet", [wanted.id, "sample_x"])


def test_a_run_agrees_with_itself_and_a_noisy_one_less(tmp_path: Path) -> None:
    scored = write_world(tmp_path)
    write_world(tmp_path, noise=0.2, name="noisy")
    shuffled = [scored[n] for n in np.random.default_rng(3).permutation(200)][:150]
    write_scored(tmp_path / "data/part.parquet", shuffled)
    runs = [read_scores(tmp_path / f"data/{name}.parquet", name) for name in ("scored", "part", "noisy")]
    part, noisy = agreements(runs)
    assert (part.rows, part.missing, part.spearman) == (150, 50, pytest.approx(1.0))
    assert set(part.overlap.values()) == {1.0}
    assert 0.5 < noisy.spearman < 0.99  # type: ignore[operator]
    assert noisy.overlap["0.1"] <= noisy.overlap["0.5"] < 1.0


def test_overlap_by_hand(tmp_path: Path) -> None:
    triplets = [numbered_triplet(number, instruction_id="instruction") for number in range(4)]
    for name, rankings in (("one", [0.1, 0.2, 0.3, 0.4]), ("two", [0.4, 0.2, 0.1, 0.3])):
        scored = [score_of(t, value) for t, value in zip(triplets, rankings, strict=True)]
        write_scored(tmp_path / f"{name}.parquet", scored)
    (found,) = agreements([read_scores(tmp_path / f"{name}.parquet") for name in ("one", "two")])
    assert found.overlap["0.5"] == 0.5  # the last two; the first and the last
    assert found.overlap["0.25"] == 0.0


def test_runs_without_common_triplets_are_refused(tmp_path: Path) -> None:
    write_world(tmp_path)
    write_scored(tmp_path / "o.parquet", [score_of(numbered_triplet(n), 0.1 * n) for n in range(500, 505)])
    runs = [read_scores(tmp_path / name) for name in ("data/scored.parquet", "o.parquet")]
    with pytest.raises(UserError, match=r"o\.parquet: 0 triplets in common"):
        agreements(runs)
    write_scored(tmp_path / "few.parquet", [score_of(numbered_triplet(1), 0.1)])
    with pytest.raises(UserError, match="1 scores"):
        read_scores(tmp_path / "few.parquet")
