"""Each fault planted in sound artefacts: the right gate stops, naming figure, bound, param, offenders and advice."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compeffdist.files import read_json, read_jsonl, write_json
from compeffdist.gates.outcome import GATES
from compeffdist.gates.sample import _proxy_figures
from compeffdist.params import SampleGateParams, SamplingParams
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Draw, Instruction, PredictedDifficulty, ScoredTriplet, Task, Triplet, by_id
from tests.gates import world as plant
from tests.gates.conftest import Run

Check = Callable[..., Run]


def stopped(done: Run, name: str, *words: str) -> dict[str, Any]:
    """That the gate stopped over this figure, said so, and left report and page but no token; the finding."""
    assert done.code == 1
    assert not done.token.exists()
    assert "Traceback" not in done.err
    assert name in done.failed()
    assert name in done.page
    assert "FAILS" in done.page
    finding = done.finding(name)
    line = done.line(name)
    for word in (*words, finding["param"]):
        assert word.casefold() in line.casefold()  # advice begins with a capital
    for offender in finding["offenders"]:
        assert offender in done.err
    assert done.err.splitlines()[-1].startswith(f"error: gate {done.gate}: ")
    return finding


# ---------------------------------------------------------------- texts


def first_id(path: str) -> str:
    table = plant.pq.read_table(path).to_pylist() if path.endswith(".parquet") else list(read_jsonl(Path(path)))
    return str(table[0]["id"])


TABLES = {
    "texts": "data/texts.parquet",
    "triplets": "data/triplets.parquet",
    "difficulty": "data/scored.parquet",
    "sample": "data/sampled.parquet",
    "tasks": "data/tasks.jsonl",
}


@pytest.mark.parametrize(("gate", "path"), [(gate, TABLES[gate]) for gate in ("texts", "sample", "tasks")])
def test_a_duplicate_id_is_named(check: Check, gate: str, path: str) -> None:
    plant.edit(path, lambda rows: [*rows, rows[0]])
    finding = stopped(check(gate), f"{Path(path).stem}.repeated_ids", "must be 0")
    assert finding["offenders"] == [first_id(path)]
    assert finding["value"] == 2


@pytest.mark.parametrize(("gate", "column"), [("triplets", "polarity"), ("sample", "kept")])
def test_a_missing_column_is_a_finding_and_no_traceback(check: Check, gate: str, column: str) -> None:
    plant.without_column(TABLES[gate], column)
    done = check(gate)
    finding = stopped(done, f"{Path(TABLES[gate]).stem}.misfit_columns", "run the stage that writes it again")
    assert finding["offenders"] == [f"missing:{column}"]


def test_a_table_without_ids_is_a_finding(check: Check) -> None:
    plant.without_column("data/texts.parquet", "id")
    finding = stopped(check("texts"), "texts.repeated_ids", "could not be computed", "there is no column id")
    assert finding["value"] is None


def test_an_altered_row_no_longer_fits_its_id(check: Check) -> None:
    plant.edit("data/texts.parquet", lambda rows: [rows[0] | {"text": "Something else."}, *rows[1:]])
    finding = stopped(check("texts"), "texts.ids_off_contents", "altered after it was written")
    assert finding["offenders"] == [first_id("data/texts.parquet")]


def test_an_id_of_another_form_and_a_null_are_named(check: Check) -> None:
    plant.edit("data/tasks.jsonl", lambda rows: [rows[0] | {"id": "task_1"}, rows[1] | {"name": None}, *rows[2:]])
    done = check("tasks")
    assert stopped(done, "tasks.malformed_ids")["offenders"] == ["task_1"]
    assert stopped(done, "tasks.rows_with_nulls")["value"] == 1


def test_a_score_that_is_no_number_is_named(check: Check) -> None:
    plant.edit("data/scored.parquet", lambda rows: [rows[0] | {"ranking": math.nan}, *rows[1:]])
    assert stopped(check("difficulty"), "scored.rows_with_nulls")["offenders"] == [first_id("data/scored.parquet")]


def test_a_value_of_another_type_is_named(check: Check) -> None:
    plant.edit("data/tasks.jsonl", lambda rows: [rows[0] | {"labels": "yes"}, *rows[1:]])
    assert stopped(check("tasks"), "tasks.mistyped_rows")["offenders"] == [first_id("data/tasks.jsonl")]


def test_a_dropped_text_breaks_the_account_and_names_its_source(check: Check) -> None:
    plant.edit("data/texts.parquet", lambda rows: rows[1:])
    finding = stopped(check("texts"), "rows_unaccounted", "is 1, must be 0", "dvc repro -f ingest_texts")
    assert finding["offenders"] == ["source:shop"]


def test_a_contaminated_text_is_named(check: Check) -> None:
    text = plant.add_text(plant.PROBE.upper())
    finding = stopped(check("texts"), "contaminated_texts", "is 1, must be 0", "texts.contamination_overlap")
    assert finding["offenders"] == [text.id]


@pytest.mark.parametrize("gate", GATES)
def test_a_missing_artefact_is_one_line(check: Check, gate: str) -> None:
    path = {**TABLES, "clusters": "data/clusters.json", "training_set": "models/student/student.json"}[gate]
    Path(path).unlink()
    done = check(gate)
    assert done.code == 1
    assert done.err.splitlines() == [f"error: {path}: no such file; run the stage that writes it (dvc repro)"]
    assert not done.token.exists()


EMPTIED = {
    "texts": ("data/texts.parquet", "texts"),
    "tasks": ("data/tasks.jsonl", "tasks"),
    "triplets": ("data/triplets.parquet", "triplets"),
    "difficulty": ("data/scored.parquet", "scores"),
    "sample": ("data/sampled.parquet", "kept"),
}


@pytest.mark.parametrize(("gate", "path", "name"), [(gate, *rest) for gate, rest in EMPTIED.items()])
def test_an_artefact_without_rows_is_a_finding(check: Check, gate: str, path: str, name: str) -> None:
    plant.edit(path, lambda rows: [])
    stopped(check(gate), name, "is 0, must be at least 1")


# ---------------------------------------------------------------- clusters


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        ({"sizes": [16]}, "perspectives", ["is 1", "from 2 to 8", "attributes.more_than", "clusters.damping"]),
        ({"sizes": [13, 1, 2]}, "largest_perspective_share", ["must be at most 0.7", "clusters.preference_percentile"]),
        ({"sizes": [1] * 16}, "perspectives", ["is 16", "from 2 to 8", "lower clusters.preference_percentile"]),
        ({"sizes": [1, 1, 1, 13]}, "singleton_share", ["is 0.75, must be at most 0.5"]),
        ({"converged": False}, "converged", ["is 0, must be 1", "clusters.damping or clusters.max_iterations"]),
        ({"coherence": 0.2}, "coherence", ["is 0.2, must be at least 0.4"]),
        ({"counts": [90] + [2] * 15}, "top_attribute_share", ["is 0.75, must be at most 0.5"]),
        ({"counts": [2] + [1] * 15}, "counted_once_share", ["must be at most 0.9", "attributes.more_than"]),
    ],
)
def test_a_misshapen_clustering_stops(check: Check, fault: dict[str, Any], name: str, words: list[str]) -> None:
    plant.make_clusters(**fault)
    stopped(check("clusters"), name, *words)


def test_no_perspective_at_all_stops(check: Check) -> None:
    write_json(Path("data/clusters.json"), {"perspectives": []})
    done = check("clusters")
    stopped(done, "perspectives", "is 0")
    stopped(done, "coherence", "could not be computed")


def test_the_fewest_and_most_perspectives_grow_with_the_vocabulary(check: Check) -> None:
    plant.make_clusters(sizes=[10] * 2, counts=[3] * 20)
    assert check("clusters").code == 0
    plant.make_clusters(sizes=[200] * 2, counts=[3] * 400)
    assert stopped(check("clusters"), "perspectives", "is 2", "from 10 to 200")["offenders"]


def test_an_attribute_in_no_perspective_or_in_two_is_named(check: Check) -> None:
    clusters = read_json(Path("data/clusters.json"))
    first, second = clusters["perspectives"][:2]
    lost, twice = first["member_ids"][0], second["member_ids"][1]
    first["member_ids"][0] = twice
    write_json(Path("data/clusters.json"), clusters)
    done = check("clusters")
    assert stopped(done, "attributes_dropped")["offenders"] == [lost]
    assert stopped(done, "attributes_more_than_once")["offenders"] == [twice]


# ---------------------------------------------------------------- tasks


def test_tasks_that_cannot_be_checked_are_named(check: Check) -> None:
    tasks = plant.default_tasks()
    perspective = tasks[1].perspective_id
    bad = {
        "closed_tasks_with_unfit_labels": Task(
            perspective_id=perspective, name="a", description="a", type="closed_classification", labels=["Up", "up "]
        ),
        "scoring_tasks_without_scale": Task(
            perspective_id=perspective, name="b", description="b", type="scoring", score_range=[5, 5]
        ),
        "schemas_that_do_not_parse": Task(
            perspective_id=perspective, name="c", description="c", type="extraction", json_schema='{"type": "nothing"}'
        ),
        "tasks_without_perspective": Task(perspective_id="perspective_x", name="d", description="d", type="analysis"),
        "tasks.unknown_type": Task(perspective_id=perspective, name="e", description="e", type="juggling"),
    }
    plant.make_tasks([*tasks, *bad.values()])
    done = check("tasks")
    for name, task in bad.items():
        assert stopped(done, name)["offenders"] == [task.id]


def test_a_dropped_task_breaks_the_account_and_orphans_its_instruction(check: Check) -> None:
    orphan = read_records(Path("data/instructions.jsonl"), Instruction)[0]
    plant.edit("data/tasks.jsonl", lambda rows: [row for row in rows if row["id"] != orphan.task_id])
    done = check("tasks")
    stopped(done, "generate_tasks.unaccounted", "is 1, must be 0", "dvc repro -f generate_tasks")
    assert stopped(done, "instructions_without_task")["offenders"] == [orphan.id]


def test_a_dropped_instruction_or_demonstration_is_noticed(check: Check) -> None:
    instructions = read_records(Path("data/instructions.jsonl"), Instruction)
    shown = next(i for i in instructions if i.demonstration_ids)
    plant.edit("data/instructions.jsonl", lambda rows: rows[1:])
    plant.edit(
        "data/demonstrations.jsonl", lambda rows: [row for row in rows if row["id"] not in shown.demonstration_ids]
    )
    done = check("tasks")
    assert stopped(done, "tasks_without_one_instruction")["offenders"] == [instructions[0].task_id]
    assert stopped(done, "instructions_without_demonstration")["offenders"] == [shown.id]
    stopped(done, "write_demonstrations.unaccounted", "is 1")


def test_tasks_without_a_demonstration_are_named(check: Check) -> None:
    plant.edit("data/demonstrations.jsonl", lambda rows: [])
    finding = stopped(check("tasks"), "tasks_without_demonstration_share", "is 1, must be at most 0.5")
    assert len(finding["offenders"]) == 4


def test_perspectives_without_a_task_are_named(check: Check) -> None:
    seed, task, *_ = plant.default_tasks()
    plant.make_tasks([seed, task])
    finding = stopped(check("tasks"), "idle_perspectives_share", "is 0.75, must be at most 0.5")
    assert len(finding["offenders"]) == 3


def test_a_run_of_the_seed_task_alone_passes_where_the_bound_allows_it(check: Check) -> None:
    plant.make_tasks(plant.default_tasks()[:1])
    assert check("tasks", idle_perspectives=1.0).code == 0


# ---------------------------------------------------------------- triplets


def test_a_dropped_pair_is_named(check: Check) -> None:
    lost = read_records(Path("data/triplets.parquet"), Triplet)[5]
    plant.edit("data/triplets.parquet", lambda rows: [row for row in rows if row["id"] != lost.id])
    finding = stopped(check("triplets"), "pairs_dropped", "is 1, must be 0", "dvc repro -f collect_responses")
    assert finding["offenders"] == [lost.pair_id]


def test_a_pair_both_answered_and_refused_is_named(check: Check) -> None:
    twice = read_records(Path("data/triplets.parquet"), Triplet)[0].pair_id
    refused = plant.pq.read_table("data/rejects/collect_responses.parquet")["record_id"].to_pylist()
    plant.rejects_of("collect_responses", [*refused, twice])
    assert stopped(check("triplets"), "pairs_more_than_once")["offenders"] == [twice]


def test_an_answer_outside_its_label_set_is_named(check: Check) -> None:
    plant.make_triplets(lambda instruction, place: "lukewarm" if instruction.labels and place == 3 else "1")
    done = check("triplets")
    wrong = [row for row in read_records(Path("data/triplets.parquet"), Triplet) if row.response == "lukewarm"]
    finding = stopped(done, "responses_outside_their_set")
    assert {row.id for row in wrong} & set(finding["offenders"])


def test_triplets_of_a_text_that_is_gone_are_named(check: Check) -> None:
    gone = read_records(Path("data/texts.parquet"), plant.Text)[3].id
    plant.edit("data/texts.parquet", lambda rows: [row for row in rows if row["id"] != gone])
    orphans = [row.id for row in read_records(Path("data/triplets.parquet"), Triplet) if row.text_id == gone]
    assert stopped(check("triplets"), "triplets_without_parents")["offenders"] == orphans


def test_too_many_refused_answers_stop(check: Check) -> None:
    triplets = read_records(Path("data/triplets.parquet"), Triplet)
    kept = triplets[: len(triplets) // 2]
    refused = plant.pq.read_table("data/rejects/collect_responses.parquet")["record_id"].to_pylist()
    write_records(Path("data/triplets.parquet"), Triplet, kept)
    plant.rejects_of("collect_responses", [*refused, *(t.pair_id for t in triplets[len(kept) :])])
    finding = stopped(check("triplets"), "rejected_share", "must be at most 0.3", "metrics/collect_responses.json")
    assert len(finding["offenders"]) == 20


# ---------------------------------------------------------------- difficulty


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
    lost = read_records(Path("data/scored.parquet"), plant.ScoredTriplet)[4]
    plant.edit("data/scored.parquet", lambda rows: [row for row in rows if row["id"] != lost.id])
    assert stopped(check("difficulty"), "triplets_dropped")["offenders"] == [lost.sample_id]
    plant.rejects_of("score_difficulty", [lost.sample_id])
    assert check("difficulty").code == 0


def test_a_score_outside_its_range_is_named(check: Check) -> None:
    plant.make_scores(lambda _, number: number if number < 0.99 else 7.0)
    assert stopped(check("difficulty"), "scored.ranking_out_of_range")["value"] >= 1


def test_ifd_of_some_rows_only_stops(check: Check) -> None:
    plant.edit("data/scored.parquet", lambda rows: [row | {"ifd": 0.4} for row in rows])
    assert check("difficulty").code == 0
    plant.edit("data/scored.parquet", lambda rows: [row | {"ifd": None} for row in rows[:2]] + rows[2:])
    finding = stopped(check("difficulty"), "scored_without_ifd", "is 2, must be 0", "for all rows or none")
    scored = plant.pq.read_table("data/scored.parquet").to_pylist()
    assert finding["offenders"] == [row["sample_id"] for row in scored[:2]]


def test_correlation_with_perplexity_is_reported_and_bounded_on_request(check: Check) -> None:
    done = check("difficulty")
    assert done.report["figures"]["perplexity_correlation"] == pytest.approx(1.0)
    assert "perplexity_correlation" not in {finding["name"] for finding in done.report["expectations"]}
    plant.edit("data/scored.parquet", lambda rows: [row | {"perplexity": 9 - row["ranking"]} for row in rows])
    stopped(check("difficulty", perplexity_correlation=0.2), "perplexity_correlation", "is -1, must be at least 0.2")


# ---------------------------------------------------------------- sample


def test_a_class_that_swells_is_named_with_both_shares(check: Check) -> None:
    plant.make_scores(lambda triplet, number: number * 0.1 + (0.8 if triplet.polarity == "neutral" else 0.0))
    plant.make_sample("hard")
    done = check("sample", class_growth=0.25)
    finding = stopped(done, "polarity.class_growth", "must be at most 0.25", "Class 'neutral' went from 33% to 67%")
    triplets = by_id(read_records(Path("data/triplets.parquet"), Triplet))
    assert {triplets[key].polarity for key in finding["offenders"]} == {"neutral"}
    assert "Overall polarity" in done.page
    assert "before" in done.page


def test_every_measure_of_balance_has_its_bound(check: Check) -> None:
    plant.make_scores(lambda triplet, number: number * 0.5 + (0.2 if triplet.polarity == "neutral" else 0.0))
    plant.make_sample()
    done = check("sample", largest_class_share=0.3, class_growth=0.0, js_distance=0.0, entropy_loss=0.0)
    for name in ("largest_class_share", "class_growth", "js_distance", "entropy_loss"):
        stopped(done, f"polarity.{name}", f"gates.sample.{name}", "Class 'neutral' went from")


def test_groups_with_too_few_rows_are_not_judged(check: Check) -> None:
    done = check("sample", class_rows=100, js_distance=0.0)
    assert done.report["figures"]["task.js_distance"] is None
    assert "task.js_distance" not in {finding["name"] for finding in done.report["expectations"]}
    assert "polarity.js_distance" in done.failed()


def changed_draws(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Alter draws and give them the ids of their new contents."""
    rows = [draw.to_row() for draw in read_records(Path("data/sampled.parquet"), Draw)]
    write_records(Path("data/sampled.parquet"), Draw, [Draw(**change(row) | {"id": ""}) for row in rows])


def test_rows_kept_against_their_draw_are_named(check: Check) -> None:
    turned = read_records(Path("data/sampled.parquet"), Draw)[0].pair_id
    changed_draws(lambda row: row | {"kept": row["kept"] != (row["pair_id"] == turned)})
    assert stopped(check("sample"), "kept_against_the_draw")["offenders"] == [turned]


def test_more_rows_than_promised_stop(check: Check) -> None:
    changed_draws(lambda row: row | {"kept": True, "draw": row["draw"] * row["inclusion_probability"] * 0.999})
    stopped(check("sample"), "kept_off_expected", "must be at most 4", "rows were kept where")


def test_probabilities_off_the_rate_stop(check: Check) -> None:
    changed_draws(lambda row: row | {"inclusion_probability": row["inclusion_probability"] * 0.8})
    stopped(check("sample"), "mean_inclusion_probability", "is 0.4,", "sampling.rate")


def test_a_pair_without_a_draw_is_named(check: Check) -> None:
    lost = read_records(Path("data/sampled.parquet"), Draw)[0]
    plant.edit("data/sampled.parquet", lambda rows: rows[1:])
    assert stopped(check("sample"), "pairs_dropped")["offenders"] == [lost.pair_id]


def test_an_instruction_that_lost_all_its_rows_is_named(check: Check) -> None:
    lost = read_records(Path("data/sampled.parquet"), Draw)[0].instruction_id
    changed_draws(lambda row: row | ({"kept": False, "draw": 0.9999} if row["instruction_id"] == lost else {}))
    assert stopped(check("sample"), "instructions_lost", "gates.sample.absence_chance")["offenders"] == [lost]


def predict(held_out: dict[str, Any]) -> None:
    """As in mode proxy: one pair is not scored but predicted, by a proxy that is known to be what `held_out` says."""
    lost = read_records(Path("data/scored.parquet"), ScoredTriplet)[0]
    plant.edit("data/scored.parquet", lambda rows: rows[1:])
    foretold = PredictedDifficulty(
        pair_id=lost.pair_id, instruction_id=lost.instruction_id, proxy_id="proxy", difficulty=0.5
    )
    write_records(Path("data/predicted.parquet"), PredictedDifficulty, [foretold])
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
    bounds, report = SampleGateParams(), {"held_out": {"chance": {"within_instruction": 0.2, "overall": 0.001}}}

    def judged(**sampling: Any) -> tuple[Any, Any]:
        figure = _proxy_figures(report, bounds, SamplingParams(**sampling))[1]
        return figure.value, figure.high

    assert judged() == (0.2, 0.05)
    assert judged(scope="global") == (0.001, 0.05)
    assert judged(method="random") == judged(metric="random") == (0.2, None)


# ---------------------------------------------------------------- training set


def changed_training(change: Callable[[list[Triplet]], list[Triplet]]) -> None:
    rows = change(read_records(Path("data/training.parquet"), Triplet))
    write_records(Path("data/training.parquet"), Triplet, rows)


def test_a_training_set_that_is_not_what_was_sampled_is_named(check: Check) -> None:
    draws = read_records(Path("data/sampled.parquet"), Draw)
    lost, strange = (next(d for d in draws if d.kept is kept) for kept in (True, False))
    changed_draws(lambda row: row | {"kept": row["kept"] != (row["pair_id"] in (lost.pair_id, strange.pair_id))})
    done = check("training_set")
    assert stopped(done, "kept_pairs_unknown", "collect_sampled")["offenders"] == [lost.pair_id]
    assert stopped(done, "kept_pairs_dropped")["offenders"] == [strange.pair_id]


def test_a_kept_pair_whose_answer_was_refused_is_accounted_for(check: Check) -> None:
    changed_training(lambda rows: rows[1:])
    assert "kept_pairs_dropped" in check("training_set").failed()
    lost = next(d for d in read_records(Path("data/sampled.parquet"), Draw) if d.kept)
    plant.rejects_of("collect_sampled", [lost.pair_id])
    assert "kept_pairs_dropped" not in check("training_set").failed()


def test_a_student_trained_on_another_sample_is_refused(check: Check) -> None:
    changed_training(lambda rows: rows[::2])
    done = check("training_set")
    stopped(done, "trained", "dvc repro -f train_student")
    stopped(done, "sample_ids_as_sampled", "is 0, must be 1")
    stopped(done, "contents_as_sampled", "is 0, must be 1")


def test_as_many_rows_but_others_are_noticed_by_hash(check: Check) -> None:
    kept = {row.id for row in read_records(Path("data/training.parquet"), Triplet)}
    other = next(row for row in read_records(Path("data/triplets.parquet"), Triplet) if row.id not in kept)
    changed_training(lambda rows: [*rows[:-1], other])
    assert check("training_set").failed() >= {"sample_ids_as_sampled", "contents_as_sampled"}


def test_a_contaminated_training_text_is_named(check: Check) -> None:
    text = plant.add_text(f"{plant.PROBE} In the end it did.")
    for step in (plant.make_triplets, plant.make_scores, plant.make_sample, plant.make_training):
        step()
    finding = stopped(check("training_set"), "contaminated_texts", "texts.contamination_overlap")
    assert finding["offenders"] == [text.id]


def test_a_training_that_learnt_nothing_stops(check: Check) -> None:
    plant.write_curve(Path("metrics/training_curve.csv"), [1.0, 1.1, 0.9, 1.2, 1.0, 1.1])
    stopped(check("training_set"), "training.loss_ratio", "must be at most 0.95", "training.learning_rate")
    assert check("training_set", loss_ratio=None).code == 0
