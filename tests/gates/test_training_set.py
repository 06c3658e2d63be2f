"""A training set that is not what was sampled, or that taught nothing, stops the run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from compeffdist.artefacts import SAMPLED, TRAINING, TRIPLETS
from compeffdist.canonical import hash_json
from compeffdist.files import read_json, write_json
from compeffdist.record_files import read_records
from compeffdist.records import Reject, Triplet
from tests.gates import world as plant
from tests.gates.conftest import Check, stopped


def changed_training(change: Callable[[list[Triplet]], list[Triplet]]) -> None:
    rows = change(TRAINING.read())
    TRAINING.write(rows)


def test_a_training_set_that_is_not_what_was_sampled_is_named(check: Check) -> None:
    draws = SAMPLED.read()
    lost, strange = (next(d for d in draws if d.kept is kept) for kept in (True, False))
    plant.changed_draws(lambda row: row | {"kept": row["kept"] != (row["pair_id"] in (lost.pair_id, strange.pair_id))})
    done = check("training_set")
    assert stopped(done, "kept_pairs_unknown", "collect_sampled")["offenders"] == [lost.pair_id]
    assert stopped(done, "kept_pairs_dropped")["offenders"] == [strange.pair_id]


def test_a_kept_pair_whose_answer_was_refused_is_accounted_for(check: Check) -> None:
    changed_training(lambda rows: rows[1:])
    assert "kept_pairs_dropped" in check("training_set").failed()
    lost = next(d for d in SAMPLED.read() if d.kept)
    plant.rejects_of("collect_sampled", [lost.pair_id])
    assert "kept_pairs_dropped" not in check("training_set").failed()


def test_a_student_trained_on_another_sample_is_refused(check: Check) -> None:
    changed_training(lambda rows: rows[::2])
    done = check("training_set")
    stopped(done, "trained", "dvc repro -f train_student")
    stopped(done, "triplet_ids_as_sampled", "is 0, must be 1")
    stopped(done, "contents_as_sampled", "is 0, must be 1")


def test_as_many_rows_but_others_are_noticed_by_hash(check: Check) -> None:
    kept = {row.id for row in TRAINING.read()}
    other = next(row for row in TRIPLETS.read() if row.id not in kept)
    changed_training(lambda rows: [*rows[:-1], other])
    assert check("training_set").failed() >= {"triplet_ids_as_sampled", "contents_as_sampled"}


def test_a_student_trained_on_soft_labels_is_held_against_labels_and_probabilities(check: Check) -> None:
    refused = read_records(Path("data/rejects/train_student.parquet"), Reject)[0].record_id
    rows = [row for row in read_records(Path("data/training.parquet"), Triplet) if row.id != refused]
    contents = [[r.id, r.prompt, r.response, r.labels, r.probabilities] for r in sorted(rows, key=lambda r: r.id)]
    provenance = read_json(Path("models/student/student.json")) | {"settings": {"soft_labels": 0.5}}
    write_json(Path("models/student/student.json"), provenance)
    assert check("training_set").failed() == {"contents_as_sampled"}
    write_json(Path("models/student/student.json"), provenance | {"training_set_sha256": hash_json(contents)})
    assert check("training_set").code == 0


def test_label_probabilities_that_are_none_are_named(check: Check) -> None:
    def weigh(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [rows[0] | {"labels": [rows[0]["response"], "other"], "probabilities": [5.0, -4.0]}, *rows[1:]]

    plant.edit("data/training.parquet", weigh)
    assert stopped(check("training_set"), "label_probabilities_off")["value"] == 1


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
