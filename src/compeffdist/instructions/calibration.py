"""From the teacher's label likelihoods to labels, its liking for some of them taken out (`label_priors`).

`batch` calibration divides each label's probability by its mean over the texts asked the same question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.label_priors import Prior, calibrate, likeliest, prior_of
from compeffdist.teacher.asking import Asked
from compeffdist.teacher.requests import CHOSEN


@dataclass(frozen=True)
class Priors:
    """What the answers of one collection were calibrated by, so that answers bought later are calibrated alike."""

    polarity: Prior
    """Of the overall-polarity question; empty if nothing was calibrated."""
    instructions: Mapping[str, Prior]
    """By instruction id; those without an answer that has likelihoods are missing."""

    def to_json(self) -> dict[str, Any]:
        """For the artefact."""
        return {"polarity": dict(self.polarity), "instructions": {k: dict(v) for k, v in self.instructions.items()}}


def read_priors(source: Path) -> Priors:
    """What `Priors.to_json` gave. Raises UserError if the file is not that."""
    value = read_json(source)
    if not isinstance(value, dict) or value.keys() != {"polarity", "instructions"}:
        raise UserError(f"{source}: not label priors; run the stage that writes it again")
    return Priors(**value)


def decide_labels(asked: Sequence[Asked], prior: Prior | None) -> list[str | None]:
    """The label for each answer to one question; None where there is no answer.

    Args:
        prior: to calibrate by; None to take the likelihoods as they are. A label that a server without
            log-probabilities merely chose has nothing to divide, and stands.
    """
    rows = [_likelihoods(a) for a in asked]
    present = [row for row in rows if row is not None]
    scored = calibrate(present, prior) if prior else present
    decided = iter([likeliest(row) for row in scored])
    return [only_chosen(a) if row is None else next(decided) for a, row in zip(asked, rows, strict=True)]


def prior_of_answers(asked: Sequence[Asked]) -> Prior:
    """The prior of one question, over its answers that have likelihoods; empty if none has."""
    present = [row for a in asked if (row := _likelihoods(a)) is not None]
    return prior_of(present) if present else {}


def _likelihoods(asked: Asked) -> dict[str, float] | None:
    return dict(asked.answer.label_logprobs) if asked.answer and asked.answer.label_logprobs else None


def only_chosen(asked: Asked) -> str | None:
    """The label of an answer that has no likelihoods."""
    return asked.answer.text if asked.answer and asked.answer.kind == CHOSEN else None
