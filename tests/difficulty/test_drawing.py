"""Scores as a file become draws as a file, one for one."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from compeffdist.difficulty.drawing import sample_triplets
from compeffdist.difficulty.sampling import random_difficulty
from compeffdist.errors import UserError
from compeffdist.params import SamplingParams
from compeffdist.records import Draw, ScoredTriplet, read_records, write_records


def make_scored(rows: int, instructions: int = 3, **changes: Any) -> list[ScoredTriplet]:
    generator = np.random.default_rng(0)
    return [
        ScoredTriplet(
            **{
                "sample_id": f"sample_{number:04d}",
                "instruction_id": f"instruction_{number % instructions}",
                "scorer_id": "scorer",
                "ranking": float(generator.integers(0, 4)) / 4,  # many ties
                "ranking_excluding_zero": float(generator.random()),
                "ranking_all": float(generator.random()),
                "perplexity": float(generator.uniform(1, 9)),
                "tokens": int(generator.integers(1, 90)),
                "miss_rate": 0.0,
                "nucleus_miss_rate": 0.0,
            }
            | changes
        )
        for number in range(rows)
    ]


def draw(folder: Path, scored: list[ScoredTriplet], seed: int = 3, **changes: Any) -> list[Draw]:
    write_records(folder / "scored.parquet", ScoredTriplet, scored)
    sample_triplets(folder / "scored.parquet", folder / "sampled.parquet", SamplingParams(**changes), seed)
    return read_records(folder / "sampled.parquet", Draw)


@pytest.mark.parametrize("metric", ["ranking", "ranking_excluding_zero", "ranking_all", "perplexity", "tokens"])
def test_difficulty_is_the_metric_asked_for(tmp_path: Path, metric: str) -> None:
    scored = make_scored(20)
    draws = draw(tmp_path, scored, metric=metric)
    assert [row.sample_id for row in draws] == [row.sample_id for row in scored]
    assert [row.instruction_id for row in draws] == [row.instruction_id for row in scored]
    assert [row.difficulty for row in draws] == [float(getattr(row, metric)) for row in scored]
    assert all(row.kept == (row.draw < row.inclusion_probability) for row in draws)


def test_random_difficulty_is_the_control_it_says_it_is(tmp_path: Path) -> None:
    scored = make_scored(20)
    draws = draw(tmp_path, scored, metric="random")
    assert [row.difficulty for row in draws] == random_difficulty([row.sample_id for row in scored], 3).tolist()


def test_scores_in_another_order_and_in_batches_are_the_same_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = make_scored(60)
    straight = draw(tmp_path, scored)
    for module in ("columns", "difficulty.drawing"):
        monkeypatch.setattr(f"compeffdist.{module}.BATCH_ROWS", 7)
    shuffled = draw(tmp_path, [scored[n] for n in np.random.default_rng(1).permutation(60)])
    assert pq.ParquetFile(tmp_path / "sampled.parquet").num_row_groups == 9
    assert sorted(shuffled, key=lambda row: row.id) == sorted(straight, key=lambda row: row.id)


def test_a_metric_without_values_is_refused_in_one_line(tmp_path: Path) -> None:
    scored = make_scored(5)
    holes = [*scored[:3], *make_scored(1, sample_id="sample_x", perplexity=float("nan"))]
    with pytest.raises(UserError, match=r"1 of 4 rows have no perplexity, the first that of sample_x"):
        draw(tmp_path, holes, metric="perplexity")
    with pytest.raises(UserError, match=r"no ifd.*another sampling\.metric"):
        draw(tmp_path, scored, metric="ifd")
    assert not (tmp_path / "sampled.parquet").exists()


def test_two_scores_of_one_triplet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sample_0001 has two scores"):
        draw(tmp_path, [*make_scored(3), *make_scored(1, sample_id="sample_0001", scorer_id="other")])


def test_no_scores_are_no_draws(tmp_path: Path) -> None:
    write_records(tmp_path / "scored.parquet", ScoredTriplet, [])
    metrics = sample_triplets(tmp_path / "scored.parquet", tmp_path / "sampled.parquet", SamplingParams(), 1)
    assert read_records(tmp_path / "sampled.parquet", Draw) == []
    assert (metrics["rows"], metrics["kept_share"], metrics["by_instruction"]) == (0, 0.0, {})


def test_metrics_count_rows_and_instructions(tmp_path: Path) -> None:
    write_records(tmp_path / "scored.parquet", ScoredTriplet, make_scored(30))
    metrics = sample_triplets(tmp_path / "scored.parquet", tmp_path / "sampled.parquet", SamplingParams(), 9)
    draws = read_records(tmp_path / "sampled.parquet", Draw)
    assert metrics["rows"] == 30
    assert metrics["kept"] == sum(row.kept for row in draws)
    assert metrics["expected_kept"] == pytest.approx(15.0)
    assert metrics["instructions"] == 3
    assert metrics["by_instruction"]["instruction_0"] == {
        "rows": 10,
        "kept": sum(row.kept for row in draws if row.instruction_id == "instruction_0"),
    }
