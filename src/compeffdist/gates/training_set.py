"""What must hold of the set the student was trained on: what was sampled, nothing of the evaluation rows, and learnt.

The hashes of the student's card are derived here again from the artefacts, and not by the code that wrote them: a
check that shares what it checks proves nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from compeffdist.artefacts import SAMPLED, STUDENT_PROVENANCE, TEXTS, TRAINING, TRAINING_CURVE, rejects_of
from compeffdist.files import canonical_json, hash_text
from compeffdist.gates.curves import curve_figures
from compeffdist.gates.expected import Figure, accounted, none_of
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import read_table
from compeffdist.gates.texts import contamination
from compeffdist.given import Given
from compeffdist.records import Reject, Triplet, by_id

GUARDS = (TRAINING, STUDENT_PROVENANCE)

RETRAIN = "the student was trained on something else than what was sampled: run dvc repro -f train_student"
UNLEARNT = "the student did not learn: look at training.learning_rate, training.epochs and the curve"


def gather(given: Given) -> Evidence:
    """The student's card, what was sampled, what came of it, what training rejected, and the training curve.

    Raises:
        UserError: if one of them cannot be read.
    """
    bounds = given.params.gates.training_set
    card, rejects = given[STUDENT_PROVENANCE], read_table(given, rejects_of("train_student"))
    param = "gates.training_set.loss_ratio"
    curve = curve_figures("training", given[TRAINING_CURVE], bounds.loss_ratio, param, UNLEARNT)
    training, refused = read_table(given, TRAINING), read_table(given, rejects_of("collect_sampled"))
    kept = [draw.pair_id for draw in given[SAMPLED] if draw.kept]
    return Evidence(
        [rejects, training, refused],
        lambda: Measured(
            [
                *_accounts(kept, training.records, refused.records),
                *_figures(given, training.records, rejects.records, card),
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
    given: Given, training: Sequence[Triplet], rejects: Sequence[Reject], card: Mapping[str, Any]
) -> list[Figure]:
    triplets, rejected = by_id(training), {reject.record_id for reject in rejects}
    ids = sorted(triplets.keys() - rejected)
    trained = [triplets[key] for key in ids]
    contents = [[row.id, row.prompt, row.response] for row in trained]
    texts = by_id(given[TEXTS])
    return [
        Figure("training_set", len(training)),
        Figure("trained", card.get("rows"), low=len(ids), high=len(ids), advice=RETRAIN),
        none_of("rejects_never_sampled", sorted(rejected - triplets.keys()), RETRAIN),
        _same("triplet_ids_as_sampled", card.get("triplet_ids_sha256"), ids),
        _same("contents_as_sampled", card.get("training_set_sha256"), contents),
        none_of("texts_unknown", sorted({row.text_id for row in trained} - texts.keys()), "run dvc repro"),
        contamination(given, [texts[key] for key in sorted({row.text_id for row in trained} & texts.keys())]),
    ]


def _same(name: str, given: object, value: object) -> Figure:
    """1 if the card's hash is that of `value`."""
    return Figure(name, int(given == hash_text(canonical_json(value))), low=1, high=1, advice=RETRAIN)
