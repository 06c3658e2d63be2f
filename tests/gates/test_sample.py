"""A sample that is not the draw it says it is stops the run, and so does a proxy that orders by chance."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compeffdist.artefacts import PREDICTED, SAMPLED, SCORED, TRIPLETS
from compeffdist.files import write_json
from compeffdist.gates.expected import Bound
from compeffdist.gates.judging import judge
from compeffdist.gates.sample import proxy_order
from compeffdist.params import SamplingParams
from compeffdist.records import by_id
from tests.factories import make_predicted
from tests.gates import world as plant
from tests.gates.conftest import Check, stopped


def test_a_class_that_swells_is_named_with_both_shares(check: Check) -> None:
    plant.make_scores(lambda triplet, number: number * 0.1 + (0.8 if triplet.monitored == "neutral" else 0.0))
    plant.make_sample("hard")
    done = check("sample", class_growth=0.25)
    finding = stopped(done, "monitored.class_growth", "must be at most 0.25", "Class 'neutral' went from 33% to 67%")
    triplets = by_id(TRIPLETS.read())
    assert {triplets[key].monitored for key in finding["offenders"]} == {"neutral"}
    assert "Overall polarity" in done.page
    assert "before" in done.page


def test_every_measure_of_balance_has_its_bound(check: Check) -> None:
    plant.make_scores(lambda triplet, number: number * 0.5 + (0.2 if triplet.monitored == "neutral" else 0.0))
    plant.make_sample()
    done = check("sample", largest_class_share=0.3, class_growth=0.0, js_distance=0.0, entropy_loss=0.0)
    for name in ("largest_class_share", "class_growth", "js_distance", "entropy_loss"):
        stopped(done, f"monitored.{name}", f"gates.sample.{name}", "Class 'neutral' went from")


def test_groups_with_too_few_rows_are_not_judged(check: Check) -> None:
    done = check("sample", class_rows=100, js_distance=0.0)
    assert done.report["figures"]["task.js_distance"] is None
    assert "task.js_distance" not in {finding["name"] for finding in done.report["expectations"]}
    assert "monitored.js_distance" in done.failed()


def test_rows_kept_against_their_draw_are_named(check: Check) -> None:
    turned = SAMPLED.read()[0].pair_id
    plant.changed_draws(lambda row: row | {"kept": row["kept"] != (row["pair_id"] == turned)})
    assert stopped(check("sample"), "kept_against_the_draw")["offenders"] == [turned]


def test_more_rows_than_promised_stop(check: Check) -> None:
    plant.changed_draws(lambda row: row | {"kept": True, "draw": row["draw"] * row["inclusion_probability"] * 0.999})
    stopped(check("sample"), "kept_off_expected", "must be at most 4", "rows were kept where")


def test_probabilities_off_the_rate_stop(check: Check) -> None:
    plant.changed_draws(lambda row: row | {"inclusion_probability": row["inclusion_probability"] * 0.8})
    stopped(check("sample"), "mean_inclusion_probability", "is 0.4,", "sampling.rate")


def test_rows_below_the_confidence_floor_are_not_promised(
    check: Check, laptop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    TRIPLETS.write([replace(one, labels=["yes", "no"], probabilities=[0.7, 0.3]) for one in TRIPLETS.read()])
    plant.make_sample(confidence_floor=0.3)
    assert any(draw.rank == 0 for draw in SAMPLED.read())
    monkeypatch.setitem(laptop["sampling"], "confidence_floor", 0.3)
    done = check("sample")
    assert not {"mean_inclusion_probability", "unranked_otherwise"} & set(done.failed())
    assert done.report["figures"]["mean_inclusion_probability"] < 0.45
    assert done.report["figures"]["below_confidence_floor"] > 0


def test_rows_left_unranked_without_a_floor_are_named(check: Check) -> None:
    out = SAMPLED.read()[0].pair_id
    unranked = {"rank": 0, "group_size": 0, "inclusion_probability": 0.0, "kept": False}
    plant.changed_draws(lambda row: row | (unranked if row["pair_id"] == out else {}))
    assert stopped(check("sample"), "unranked_otherwise", "confidence_floor")["offenders"] == [out]


def test_a_pair_without_a_draw_is_named(check: Check) -> None:
    lost = SAMPLED.read()[0]
    plant.edit("data/sampled.parquet", lambda rows: rows[1:])
    assert stopped(check("sample"), "pairs_dropped")["offenders"] == [lost.pair_id]


def test_an_instruction_that_lost_all_its_rows_is_named(check: Check) -> None:
    lost = SAMPLED.read()[0].instruction_id
    plant.changed_draws(lambda row: row | ({"kept": False, "draw": 0.9999} if row["instruction_id"] == lost else {}))
    assert stopped(check("sample"), "instructions_lost", "gates.sample.absence_chance")["offenders"] == [lost]


def predict(held_out: dict[str, Any]) -> None:
    """As in mode proxy: one pair is not scored but predicted, by a proxy that is known to be what `held_out` says."""
    lost = SCORED.read()[0]
    plant.edit("data/scored.parquet", lambda rows: rows[1:])
    PREDICTED.write([make_predicted(pair_id=lost.pair_id, instruction_id=lost.instruction_id)])
    write_json(Path("metrics/predict_difficulty.json"), {"held_out": {"rows": 90, **held_out}})
    plant.draw()


def test_a_proxy_that_orders_by_chance_stops_the_run_before_the_teacher_is_asked(check: Check) -> None:
    predict({"chance": {"within_instruction": 0.2, "overall": 0.001}})
    stopped(
        check("sample"), "proxy_chance", "gates.sample.proxy_chance", "it learnt from 90", "difficulty.mode: direct"
    )
    assert check("sample", proxy_chance=0.3).code == 0
    assert check("sample", proxy_chance=None).code == 0


def test_a_proxy_that_orders_better_than_chance_passes(check: Check) -> None:
    predict({"chance": {"within_instruction": 0.001, "overall": 0.2}})
    assert check("sample").code == 0


def test_the_proxy_is_judged_by_the_order_that_the_sample_is_drawn_in() -> None:
    held_out = {"chance": {"within_instruction": 0.2, "overall": 0.001}}

    def judged(**sampling: Any) -> tuple[Any, Any]:
        [finding] = judge([proxy_order(held_out, SamplingParams(**sampling), Bound(high=0.05))[1]])
        return finding.value, finding.high

    assert judged() == (0.2, 0.05)
    assert judged(scope="global") == (0.001, 0.05)
    assert judged(method="random") == judged(metric="random") == (0.2, None)


def test_a_sample_whose_triplets_are_gone_is_a_finding(check: Check) -> None:
    plant.edit("data/triplets.parquet", lambda rows: [])
    assert stopped(check("sample"), "draws_without_triplet", "no balance is judged")["value"] > 1
