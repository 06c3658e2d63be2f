"""What must hold of the set the student was trained on: what was sampled, nothing of the evaluation rows, and learnt.

The hashes in the student's identity are derived here again from the artefacts, and not by the code that wrote them: a
check that shares what it checks proves nothing. Only what is hashed of a row is as the student's own settings say.
"""

from collections.abc import Iterable
from hashlib import sha256
from itertools import compress
from typing import Any

from compeffdist.artefacts import SAMPLED, STUDENT_PROVENANCE, TEXTS, TRAINING, TRAINING_CURVE, rejects_of
from compeffdist.canonical import canonical_json
from compeffdist.gates.curves import learnt
from compeffdist.gates.expected import HOLDS, Bound, Columns, Expectation, accounted, no_row, row_count, stated
from compeffdist.gates.figures import Figures
from compeffdist.gates.gate import Inputs, Rows
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.texts import not_contaminated
from compeffdist.gates.triplets import weighs
from compeffdist.given import Given
from compeffdist.records import by_id

GUARDS = (TRAINING, STUDENT_PROVENANCE)
LEFT_OUT, REFUSED = rejects_of("train_student"), rejects_of("collect_sampled")

ACCOUNTS = "every kept pair is in the training set or refused, and one of them: run dvc repro -f collect_sampled"
WEIGHTS = "labels and probabilities are not those the response was chosen by: run dvc repro -f collect_sampled"
RETRAIN = "the student was trained on something else than what was sampled: run dvc repro -f train_student"
UNLEARNT = "the student did not learn: look at training.learning_rate, training.epochs and the curve"


class Settings(Figures):
    """Those that say what is hashed of a row."""

    soft_labels: float = 0.0


class Provenance(Figures):
    """What a student says it was made from; hashes are held against what they should be, whatever they are."""

    rows: int
    settings: Settings = Settings()


def rows(given: Given) -> Rows:
    return {LEFT_OUT: [], TRAINING: [], REFUSED: []}


def expectations(seen: Inputs) -> list[Expectation]:
    training = seen[TRAINING].records
    kept = list(compress(*seen.columns(SAMPLED, "pair_id", "kept")))
    found = [*(row.pair_id for row in training), *(reject.record_id for reject in seen[REFUSED].records)]
    return [
        stated("kept", len(kept)),
        *accounted("kept_pairs", kept, found, ACCOUNTS),
        row_count("training_set", seen[TRAINING].by("id")),
        no_row("label_probabilities_off", seen[TRAINING].by("id"), [not weighs(row) for row in training], WEIGHTS),
        *_trained(seen),
        *learnt("training", seen.read(TRAINING_CURVE), seen.most("loss_ratio"), UNLEARNT),
    ]


def distributions(seen: Inputs) -> list[Distribution]:
    return []


def _trained(seen: Inputs) -> list[Expectation]:
    """The student's identity is of the training set less what training rejected, and that holds no evaluation text."""
    training, left_out = by_id(seen[TRAINING].records), seen[LEFT_OUT].by("record_id")
    provenance = seen.figures(STUDENT_PROVENANCE, Provenance)
    ids = sorted(training.keys() - set(left_out.keys))
    soft = provenance.get("settings", {}).get("soft_labels", 0.0) > 0
    used_rows = (training[key] for key in ids)
    contents = ([r.id, r.prompt, r.response, *([r.labels, r.probabilities] if soft else [])] for r in used_rows)
    texts, used = by_id(seen.read(TEXTS)), Columns(sorted({training[key].text_id for key in ids}))
    return [
        stated("trained", provenance.get("rows"), Bound(len(ids), len(ids)), RETRAIN),
        no_row("rejects_never_sampled", left_out, [key not in training for key in left_out.keys], RETRAIN),
        _same_hash("triplet_ids_as_sampled", provenance.get("triplet_ids_sha256"), hash_of_list(ids)),
        _same_hash("contents_as_sampled", provenance.get("training_set_sha256"), hash_of_list(contents)),
        no_row("texts_unknown", used, [key not in texts for key in used.keys], "run dvc repro"),
        *not_contaminated(seen, [texts[key] for key in used.keys if key in texts]),
    ]


def hash_of_list(values: Iterable[Any]) -> str:
    """`hash_json` of a list, without its JSON as a whole: of half a million rows that is a GB."""
    digest = sha256(b"[")
    for place, value in enumerate(values):
        digest.update(f"{',' * bool(place)}{canonical_json(value)}".encode())
    digest.update(b"]")
    return digest.hexdigest()


def _same_hash(name: str, given: object, derived: str) -> Expectation:
    """1 if the student's hash is the one derived here."""
    return stated(name, int(given == derived), HOLDS, RETRAIN)
