"""A training set that is not what was sampled, or that taught nothing, stops the run."""

from collections.abc import Callable
from pathlib import Path

from compeffdist.artefacts import SAMPLED, TRAINING, TRIPLETS
from compeffdist.records import Triplet
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
