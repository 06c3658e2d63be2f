"""A model's liking for some labels whatever the text: estimated, and taken out of its label likelihoods.

A label is chosen by

    argmax of p(label | text) / prior(label) ** strength,

renormalised over the labels of the question. The prior is the mean of p over texts asked the same question, no label of
theirs being known (Batch Calibration, Zhou et al. 2023), kept from hanging on few texts by pseudo-texts (`prior_of`) or
a power (`shrunk_prior`); or the mean over inputs without content (contextual calibration, Zhao et al. 2021). Strength 0
leaves the likelihoods as they are, 1 takes the prior out whole. It assumes that over those texts the labels are about
equally frequent: where one is truly rare, taking all of the prior out says it too often.
"""

import math
from collections.abc import Mapping, Sequence

PSEUDO_TEXTS = 4.0
"""Pseudo-texts of uniform label probability in a prior, so that few texts move it little."""

DIGITS = 6
"""Significant digits of an estimate: what two machines give differs in later ones."""

FLOOR = 1e-12
"""The least that a prior is."""

Prior = Mapping[str, float]
"""Label -> its mean probability over the texts asked one question; each above 0."""


def prior_of(logprobs: Sequence[Mapping[str, float]], pseudo_texts: float = PSEUDO_TEXTS) -> dict[str, float]:
    """What a model says on average, and a little of what it says of no text: every label alike.

    Args:
        logprobs: for each text of one question, at least one, the natural-log probability of each label.
        pseudo_texts: how many texts that little counts as; above 0, so that no label's prior is 0.
    """
    labels = list(logprobs[0])
    total = len(logprobs) + pseudo_texts
    return {
        label: (math.fsum(math.exp(row[label]) for row in logprobs) + pseudo_texts / len(labels)) / total
        for label in labels
    }


def shrunk_prior(logprobs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over n texts to the power n / (n + 1), so that few texts move a prior little, however uneven it is.

    Of a model that gives a label a hundredth whatever the text, pseudo-texts of even probability say two hundredths
    (of 100 texts, with four of them), and then the label is still said to nothing, or to everything. A power keeps the
    proportions. `logprobs` as for `prior_of`.
    """
    share = len(logprobs) / (len(logprobs) + 1)
    means = {label: math.fsum(math.exp(row[label]) for row in logprobs) / len(logprobs) for label in logprobs[0]}
    powers = {label: max(mean, FLOOR) ** share for label, mean in means.items()}
    whole = math.fsum(powers.values())
    return {label: power / whole for label, power in powers.items()}


def estimate_prior(logprobs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The shrunk prior of a question's answers (natural-log probability of each label), rounded to be written down.
    Answers that hold a chosen label alone do not count; empty if there are no others."""
    weighed = [row for row in logprobs if all(map(math.isfinite, row.values()))]
    return {label: float(f"{value:.{DIGITS}g}") for label, value in shrunk_prior(weighed).items()} if weighed else {}


def calibrate(
    logprobs: Sequence[Mapping[str, float]], prior: Prior | None = None, strength: float = 1.0
) -> list[dict[str, float]]:
    """Each row's label probabilities divided by prior ** strength, renormalised; computed in logarithms.

    Args:
        logprobs: for each text of one question, the natural-log probability of each label, one of them finite. A
            label that was merely chosen (0, and minus infinity for the others) stays.
        prior: of that question; by default that of these rows.
        strength: 0 (as they are) to 1.
    """
    if not logprobs:
        return []
    prior = prior or prior_of(logprobs)
    taken = {label: strength * math.log(prior[label]) for label in logprobs[0]}
    calibrated = []
    for row in logprobs:
        scores = {label: value - taken[label] for label, value in row.items()}
        highest = max(scores.values())
        weights = {label: math.exp(score - highest) for label, score in scores.items()}
        whole = math.fsum(weights.values())
        calibrated.append({label: weight / whole for label, weight in weights.items()})
    return calibrated


def likeliest(probabilities: Mapping[str, float]) -> str:
    """The most probable label; of a tie, the first in the declared order."""
    return max(probabilities, key=lambda label: probabilities[label])
