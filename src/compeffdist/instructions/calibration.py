"""From the teacher's label likelihoods to labels, its liking for some of them taken out (`label_priors`).

`batch` calibration divides each label's probability by its mean over the texts asked the same question.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.label_priors import Prior, calibrate, likeliest, prior_of
from compeffdist.teacher.requests import CHOSEN, Answer


@dataclass(frozen=True)
class Priors:
    """What the answers of one collection were calibrated by, so that answers bought later are calibrated alike."""

    monitored: Prior
    """Of the question that is asked of every text; empty if nothing was calibrated."""
    instructions: Mapping[str, Prior]
    """By instruction id; those without an answer that has likelihoods are missing."""

    def to_json(self) -> dict[str, Any]:
        """For the artefact."""
        return {"monitored": dict(self.monitored), "instructions": {k: dict(v) for k, v in self.instructions.items()}}


def read_priors(source: Path) -> Priors:
    """What `Priors.to_json` gave. Raises UserError if the file is not that."""
    value = read_json(source)
    by_instruction = value.get("instructions") if isinstance(value, dict) else None
    if (
        not isinstance(by_instruction, dict)
        or value.keys() != {"monitored", "instructions"}
        or not all(map(_is_prior, (value["monitored"], *by_instruction.values())))
    ):
        raise UserError(f"{source}: not label priors; run the stage that writes it again")
    return Priors(**value)


def _is_prior(value: Any) -> bool:
    return isinstance(value, dict) and all(type(share) in (int, float) and 0 <= share <= 1 for share in value.values())


def label_probabilities(
    answers: Sequence[Answer | None], prior: Prior | None, strength: float = 1.0
) -> list[dict[str, float] | None]:
    """The probability of each label for each answer to one question, calibrated by a prior unless that is None; None
    for an answer without likelihoods, or where there is none."""
    rows = [_likelihoods(answer) for answer in answers]
    present = [row for row in rows if row is not None]
    scored = iter(
        calibrate(present, prior, strength) if prior else [{k: math.exp(v) for k, v in row.items()} for row in present]
    )
    return [None if row is None else next(scored) for row in rows]


def decide_labels(answers: Sequence[Answer | None], prior: Prior | None, strength: float = 1.0) -> list[str | None]:
    """The label for each answer to one question, by `label_probabilities`; None where there is no answer. A label that
    a server without log-probabilities merely chose has nothing to divide, and stands."""
    found = label_probabilities(answers, prior, strength)
    return [only_chosen(a) if row is None else likeliest(row) for a, row in zip(answers, found, strict=True)]


def prior_of_answers(answers: Sequence[Answer | None]) -> Prior:
    """The prior of one question, over its answers that have likelihoods; empty if none has."""
    present = [row for answer in answers if (row := _likelihoods(answer)) is not None]
    return prior_of(present) if present else {}


def _likelihoods(answer: Answer | None) -> dict[str, float] | None:
    return dict(answer.label_logprobs) if answer and answer.label_logprobs else None


def only_chosen(answer: Answer | None) -> str | None:
    """The label of an answer that has no likelihoods."""
    return answer.text if answer and answer.decided == CHOSEN else None
