"""Scores that tell nothing apart, or that were lost, stop the run."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from compeffdist.artefacts import SCORED
from compeffdist.measures.registry import MEASURES
from tests.gates import world as plant
from tests.gates.conftest import Check, stopped


@pytest.mark.parametrize(
    ("score", "name", "words"),
    [
        (lambda number: number * 0.04, "near_zero_share", ["is 1, must be at most 0.9"]),
        (lambda number: 1 - number * 0.04, "near_one_share", ["is 1, must be at most 0.5"]),
        (lambda number: 0.5 + number * 0.01, "spread", ["must be at least 0.02"]),
        (lambda number: number if number < 0.3 else 0.4, "tied_share", ["must be at most 0.5"]),
    ],
)
def test_saturated_scores_stop(check: Check, score: Callable[[float], float], name: str, words: list[str]) -> None:
    plant.make_scores(lambda _, number: score(number))
    stopped(check("difficulty"), name, *words, "check warm_up (rows, training) and difficulty.top_p")


@pytest.mark.parametrize(
    ("losses", "name", "words"),
    [
        (
            [2.0, 2.1, 1.9, 2.0, 2.1, 1.95],
            "warm_up.loss_ratio",
            ["must be at most 0.95", "The warm-up has not finished: raise warm_up.rows"],
        ),
        ([2.0], "warm_up.loss_ratio", ["is 1,"]),
        ([2.0, math.nan, 0.5], "warm_up.losses_not_finite", ["is 1, must be 0"]),
        ([], "warm_up.steps", ["is 0, must be at least 1"]),
    ],
)
def test_an_unfinished_warm_up_stops(check: Check, losses: list[float], name: str, words: list[str]) -> None:
    plant.write_curve(Path("metrics/warm_up_curve.csv"), losses)
    stopped(check("difficulty"), name, *words)


def test_a_triplet_without_score_or_reason_is_named(check: Check) -> None:
    lost = SCORED.read()[4]
    plant.edit("data/scored.parquet", lambda rows: [row for row in rows if row["id"] != lost.id])
    assert stopped(check("difficulty"), "triplets_dropped")["offenders"] == [lost.triplet_id]
    plant.rejects_of("score_difficulty", [lost.triplet_id])
    assert check("difficulty").code == 0


@pytest.mark.parametrize("score", [7.0, -1.0, 1e308, math.inf])
def test_a_score_outside_its_range_is_named(check: Check, score: float) -> None:
    plant.edit("data/scored.parquet", lambda rows: [rows[0] | {"ranking": score}, *rows[1:]])
    done = check("difficulty")
    assert stopped(done, "scored.ranking_out_of_range")["value"] == 1
    assert "Warning" not in done.err


def test_an_infinite_measure_is_named(check: Check) -> None:
    plant.edit("data/scored.parquet", lambda rows: [row | {"perplexity": math.inf} for row in rows])
    assert stopped(check("difficulty"), "scored.perplexity_out_of_range")["value"] > 1


def test_every_measure_is_held_to_its_range_open_above_or_not(check: Check) -> None:
    too_low = {name: measure.low - 1 for name, measure in MEASURES.items()}
    plant.edit("data/scored.parquet", lambda rows: [rows[0] | too_low, *rows[1:]])
    assert {f"scored.{name}_out_of_range" for name in MEASURES} <= check("difficulty").failed()


def test_ifd_of_some_rows_only_stops(check: Check) -> None:
    plant.edit("data/scored.parquet", lambda rows: [row | {"ifd": 0.4} for row in rows])
    assert check("difficulty").code == 0
    plant.edit("data/scored.parquet", lambda rows: [row | {"ifd": None} for row in rows[:2]] + rows[2:])
    finding = stopped(check("difficulty"), "scored_without_ifd", "is 2, must be 0", "for all rows or none")
    scored = plant.pq.read_table("data/scored.parquet").to_pylist()
    assert finding["offenders"] == [row["triplet_id"] for row in scored[:2]]


def test_correlation_with_perplexity_is_reported_and_bounded_on_request(check: Check) -> None:
    done = check("difficulty")
    assert done.report["figures"]["perplexity_correlation"] == pytest.approx(1.0)
    assert "perplexity_correlation" not in {finding["name"] for finding in done.report["expectations"]}
    plant.edit("data/scored.parquet", lambda rows: [row | {"perplexity": 9 - row["ranking"]} for row in rows])
    stopped(check("difficulty", perplexity_correlation=0.2), "perplexity_correlation", "is -1, must be at least 0.2")
