"""From the response store (and records) to a record that others replay."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.artefacts import TEACHER
from compeffdist.errors import UserError
from compeffdist.exchange.questions import Questions
from compeffdist.models import ModelIdentity, indexed_identities, read_identity
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import ANSWERS, refuse_other_folder, write_record


@dataclass(frozen=True)
class Exported:
    """What came of an export. wanted = written + each of the rejected."""

    folder: Path
    wanted: int
    """Answers that a run asked for, or all that are known."""
    written: int
    rejected: dict[str, int]
    """By reason: `not_bought`, or `no_identity` of the model that gave them."""
    kinds: dict[str, int]
    """Written, by how they were had."""
    unknown: dict[str, str]
    """Stages whose questions could not be told, and why."""
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {**vars(self), "folder": str(self.folder)}


def export_answers(
    folder: Path, known: KnownAnswers, identities: Sequence[ModelIdentity], questions: Questions | None
) -> Exported:
    """Write a record of the answers of some models to a run's questions, or, without questions, of all that are known.
    Raises UserError if there is nothing to write, an answer was altered, or the folder holds something else."""
    refuse_other_folder(folder)
    wanted = set(questions.requests) if questions else known.keys()
    rows = known.rows(wanted)
    identified = {identity.id for identity in identities}
    ended = [row for row in rows.values() if row.parse().ended]
    written = [row for row in ended if row.teacher_id in identified]
    if not written:
        raise UserError(f"none of {len(wanted)} answers of known models is in the store or a record; run: dvc repro")
    write_record(folder, written, identities)
    rejected = {"not_bought": len(wanted) - len(rows), "ended_early": len(rows) - len(ended)}
    rejected |= {"no_identity": len(ended) - len(written)}
    return Exported(
        folder=folder,
        wanted=len(wanted),
        written=len(written),
        rejected={reason: count for reason, count in rejected.items() if count},
        kinds=dict(sorted(Counter(row.kind for row in written).items())),
        unknown=dict(questions.unknown) if questions else {},
        bytes=(folder / ANSWERS).stat().st_size,
    )


def known_cards(known: KnownAnswers, cache: Path) -> list[ModelIdentity]:
    """Identities of all models that this machine knows: the checkout's teacher, those of the records, those in the
    cache; of the same model, the first."""
    own = [read_identity(Path(TEACHER))] if Path(TEACHER).exists() else []
    recorded = [identity for record in known.records for identity in record.identities]
    first = reversed([*own, *recorded, *indexed_identities(cache)])
    return list({identity.id: identity for identity in first}.values())
