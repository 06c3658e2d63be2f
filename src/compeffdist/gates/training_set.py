"""What must hold of the set the student was trained on: what was sampled, nothing of the evaluation rows, and learnt.

The hashes of the student's card are derived here again from the artefacts, and not by the code that wrote them: a
check that shares what it checks proves nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.files import canonical_json, hash_text, read_json
from compeffdist.gates.curves import curve_figures
from compeffdist.gates.expected import Figure, accounted, none_of
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import read_table
from compeffdist.gates.texts import contamination, evaluation_texts
from compeffdist.params import TrainingSetGateParams
from compeffdist.record_files import read_records
from compeffdist.records import Draw, Reject, Text, Triplet, by_id

CARD = Path("models/student/student.json")
REJECTS = Path("data/rejects/train_student.parquet")
SAMPLED = Path("data/sampled.parquet")
TRAINING = Path("data/training.parquet")
REFUSED = Path("data/rejects/collect_sampled.parquet")
TEXTS = Path("data/texts.parquet")
CURVE = Path("metrics/training_curve.csv")

RETRAIN = "the student was trained on something else than what was sampled: run dvc repro -f train_student"
UNLEARNT = "the student did not learn: look at training.learning_rate, training.epochs and the curve"


def look_at_training_set(bounds: TrainingSetGateParams, overlap: float) -> Evidence:
    """The student's card, what was sampled, what came of it, what training rejected, and the training curve.

    Args:
        overlap: `texts.contamination_overlap`.

    Raises:
        UserError: if one of them cannot be read.
    """
    card, rejects = read_json(CARD), read_table(REJECTS, Reject)
    curve = curve_figures("training", CURVE, bounds.loss_ratio, "gates.training_set.loss_ratio", UNLEARNT)
    training, refused = read_table(TRAINING, Triplet), read_table(REFUSED, Reject)
    kept = [draw.pair_id for draw in read_records(SAMPLED, Draw) if draw.kept]
    return Evidence(
        [rejects, training, refused],
        lambda: Measured(
            [
                *_accounts(kept, training.records, refused.records),
                *_figures(training.records, rejects.records, card, overlap),
                *curve,
            ]
        ),
    )


def _accounts(kept: Sequence[str], training: Sequence[Triplet], refused: Sequence[Reject]) -> list[Figure]:
    """Kept pairs in = training set + answers refused, pair by pair."""
    found = [row.pair_id for row in training] + [reject.record_id for reject in refused]
    advice = "every kept pair is in the training set or refused, and one of them: run dvc repro -f collect_sampled"
    return [Figure("kept", len(kept)), *accounted("kept_pairs", kept, found, advice)]


def _figures(
    training: Sequence[Triplet], rejects: Sequence[Reject], card: Mapping[str, Any], overlap: float
) -> list[Figure]:
    triplets, rejected = by_id(training), {reject.record_id for reject in rejects}
    ids = sorted(triplets.keys() - rejected)
    trained = [triplets[key] for key in ids]
    contents = [[row.id, row.prompt, row.response] for row in trained]
    texts = by_id(read_records(TEXTS, Text))
    return [
        Figure("training_set", len(training)),
        Figure("trained", card.get("rows"), low=len(ids), high=len(ids), advice=RETRAIN),
        none_of("rejects_never_sampled", sorted(rejected - triplets.keys()), RETRAIN),
        _same("sample_ids_as_sampled", card.get("sample_ids_sha256"), ids),
        _same("contents_as_sampled", card.get("training_set_sha256"), contents),
        none_of("texts_unknown", sorted({row.text_id for row in trained} - texts.keys()), "run dvc repro"),
        contamination(
            [texts[key] for key in sorted({row.text_id for row in trained} & texts.keys())], evaluation_texts(), overlap
        ),
    ]


def _same(name: str, given: object, value: object) -> Figure:
    """1 if the card's hash is that of `value`."""
    return Figure(name, int(given == hash_text(canonical_json(value))), low=1, high=1, advice=RETRAIN)
