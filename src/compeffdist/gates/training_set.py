"""What must hold of the set the student was trained on: what was sampled, nothing of the evaluation rows, and learnt.

The hashes of the student's card are derived here again from the artefacts, and not by the code that wrote them: a
check that shares what it checks proves nothing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.files import canonical_json, hash_text, read_json
from compeffdist.gates.curves import curve_figures
from compeffdist.gates.expected import Figure, none_of
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import read_table
from compeffdist.gates.texts import contamination, evaluation_texts
from compeffdist.params import TrainingSetGateParams
from compeffdist.records import Draw, Reject, Text, Triplet, by_id, read_records

CARD = Path("models/student/student.json")
REJECTS = Path("data/rejects/train_student.parquet")
SAMPLED = Path("data/sampled.parquet")
TRIPLETS = Path("data/triplets.parquet")
TEXTS = Path("data/texts.parquet")
CURVE = Path("metrics/training_curve.csv")

RETRAIN = "the student was trained on something else than what was sampled: run dvc repro -f train_student"
UNLEARNT = "the student did not learn: look at training.learning_rate, training.epochs and the curve"


def look_at_training_set(bounds: TrainingSetGateParams, overlap: float) -> Evidence:
    """The student's card, what was sampled and what training rejected, and the training curve.

    Args:
        overlap: `texts.contamination_overlap`.

    Raises:
        UserError: if one of them cannot be read.
    """
    card, rejects = read_json(CARD), read_table(REJECTS, Reject)
    curve = curve_figures("training", CURVE, bounds.loss_ratio, "gates.training_set.loss_ratio", UNLEARNT)
    triplets = by_id(read_records(TRIPLETS, Triplet))
    kept = [draw.sample_id for draw in read_records(SAMPLED, Draw) if draw.kept]
    return Evidence(
        [rejects],
        lambda: Measured([*_figures(kept, rejects.records, triplets, card, overlap), *curve]),
    )


def _figures(
    kept: Sequence[str],
    rejects: Sequence[Reject],
    triplets: Mapping[str, Triplet],
    card: Mapping[str, Any],
    overlap: float,
) -> list[Figure]:
    rejected = [reject.record_id for reject in rejects]
    ids = sorted(set(kept) - set(rejected))
    trained = [triplets[key] for key in ids if key in triplets]
    contents = [[row.id, row.prompt, row.response] for row in trained]
    texts = by_id(read_records(TEXTS, Text))
    return [
        Figure("kept", len(kept)),
        Figure("trained", card.get("rows"), low=len(ids), high=len(ids), advice=RETRAIN),
        none_of("rejects_never_sampled", sorted(set(rejected) - set(kept)), RETRAIN),
        none_of("kept_without_triplet", sorted(set(kept) - triplets.keys()), "run dvc repro"),
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
