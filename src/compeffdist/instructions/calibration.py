"""From label likelihoods to labels, without a teacher's liking for some of them whatever the text.

Small teachers prefer some labels; `batch` calibration (Zhou et al. 2023, Batch Calibration) divides each label's
probability by its mean over the texts asked the same question.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.teacher.asking import Asked
from compeffdist.teacher.requests import CHOSEN

PRIOR_STRENGTH = 4.0
"""Pseudo-texts of uniform label probability in a calibration prior, so that few texts move it little."""


Prior = Mapping[str, float]
"""Label -> its mean probability over the texts asked one question."""


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


def prior_of(logprobs: Sequence[Mapping[str, float]]) -> Prior:
    """What the teacher says on average, and a little of what it says of no text: every label alike.

    Args:
        logprobs: for each text of one question, at least one, the natural-log probability of each label.
    """
    labels = list(logprobs[0])
    total = len(logprobs) + PRIOR_STRENGTH
    return {
        label: (math.fsum(math.exp(row[label]) for row in logprobs) + PRIOR_STRENGTH / len(labels)) / total
        for label in labels
    }


def calibrate(
    logprobs: Sequence[Mapping[str, float]], prior: Prior | None = None, strength: float = 1.0
) -> list[dict[str, float]]:
    """Batch calibration: each row's label probabilities divided by the prior to the power of `strength`, renormalised.

    Args:
        logprobs: for each text of one question, the natural-log probability of each label.
        prior: of that question; by default that of these rows.
        strength: 1 takes the prior out whole; 0 leaves the probabilities as they are. Between them, a question whose
            texts do lean to one label keeps part of the leaning.
    """
    if not logprobs:
        return []
    prior = prior or prior_of(logprobs)
    calibrated = []
    for row in logprobs:
        ratio = {label: math.exp(value) / prior[label] ** strength for label, value in row.items()}
        whole = math.fsum(ratio.values())
        calibrated.append({label: value / whole for label, value in ratio.items()})
    return calibrated


def likeliest(probabilities: Mapping[str, float]) -> str:
    """The most probable label; of a tie, the first in the declared order."""
    return max(probabilities, key=lambda label: probabilities[label])


def label_probabilities(
    asked: Sequence[Asked], prior: Prior | None, strength: float = 1.0
) -> list[dict[str, float] | None]:
    """The probability of each label for each answer to one question; None for one without likelihoods.

    Args:
        prior: to calibrate by; None to take the likelihoods as they are.
        strength: as for `calibrate`.
    """
    rows = [_likelihoods(a) for a in asked]
    present = [row for row in rows if row is not None]
    scored = iter(
        calibrate(present, prior, strength) if prior else [{k: math.exp(v) for k, v in row.items()} for row in present]
    )
    return [None if row is None else next(scored) for row in rows]


def decide_labels(asked: Sequence[Asked], prior: Prior | None, strength: float = 1.0) -> list[str | None]:
    """The label for each answer to one question; None where there is no answer.

    Args:
        prior, strength: as for `label_probabilities`. A label that a server without log-probabilities merely chose
            has nothing to divide, and stands.
    """
    found = label_probabilities(asked, prior, strength)
    return [only_chosen(a) if row is None else likeliest(row) for a, row in zip(asked, found, strict=True)]


def prior_of_answers(asked: Sequence[Asked]) -> Prior:
    """The prior of one question, over its answers that have likelihoods; empty if none has."""
    present = [row for a in asked if (row := _likelihoods(a)) is not None]
    return prior_of(present) if present else {}


def _likelihoods(asked: Asked) -> dict[str, float] | None:
    return dict(asked.answer.label_logprobs) if asked.answer and asked.answer.label_logprobs else None


def only_chosen(asked: Asked) -> str | None:
    """The label of an answer that has no likelihoods."""
    return asked.answer.text if asked.answer and asked.answer.kind == CHOSEN else None
