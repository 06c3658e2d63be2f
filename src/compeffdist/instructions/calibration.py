"""From label likelihoods to labels, without a teacher's liking for some of them whatever the text.

Small teachers prefer some labels; `batch` calibration (Zhou et al. 2023, Batch Calibration) divides each label's
probability by its mean over the texts asked the same question.
"""

import math
from collections.abc import Mapping, Sequence

from compeffdist.teacher.asking import Asked
from compeffdist.teacher.requests import CHOSEN

PRIOR_STRENGTH = 4.0
"""Pseudo-texts of uniform label probability in a calibration prior, so that few texts move it little."""


def calibrate(logprobs: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Batch calibration: each row's label probabilities divided by their mean over the rows, renormalised.

    Args:
        logprobs: for each text of one question, the natural-log probability of each label.
    """
    if not logprobs:
        return []
    labels = list(logprobs[0])
    total = len(logprobs) + PRIOR_STRENGTH
    prior = {
        label: (math.fsum(math.exp(row[label]) for row in logprobs) + PRIOR_STRENGTH / len(labels)) / total
        for label in labels
    }
    calibrated = []
    for row in logprobs:
        ratio = {label: math.exp(row[label]) / prior[label] for label in labels}
        whole = math.fsum(ratio.values())
        calibrated.append({label: ratio[label] / whole for label in labels})
    return calibrated


def likeliest(probabilities: Mapping[str, float]) -> str:
    """The most probable label; of a tie, the first in the declared order."""
    return max(probabilities, key=lambda label: probabilities[label])


def decide_labels(asked: Sequence[Asked], calibration: str) -> list[str | None]:
    """The label for each answer to one question; None where there is no answer.

    Calibration is over the answers that have likelihoods; a label that a server without log-probabilities merely chose
    has nothing to divide, and stands.
    """
    rows = [dict(a.answer.label_logprobs) if a.answer and a.answer.label_logprobs else None for a in asked]
    present = [row for row in rows if row is not None]
    scored = calibrate(present) if calibration == "batch" else present
    decided = iter([likeliest(row) for row in scored])
    return [only_chosen(a) if row is None else next(decided) for a, row in zip(asked, rows, strict=True)]


def only_chosen(asked: Asked) -> str | None:
    """The label of an answer that has no likelihoods."""
    return asked.answer.text if asked.answer and asked.answer.kind == CHOSEN else None
