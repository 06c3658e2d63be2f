"""Rank-surprisal ratio: whether a response is new to the student and yet close to what it would write.

    rank_surprisal_ratio = sum over tokens of min(r, 100) / sum over tokens of negative log-likelihood (nats)

r is the 1-based rank of the true token in the student's vocabulary, one more than the tokens with a strictly larger
logit (`TokenFigures.ranks` counts from 0). Source: arXiv 2601.14249 ("Which Reasoning Trajectories Teach Students to
Reason Better?"); the clip at 100 and the floor of 1e-12 under the sum of surprisals, for responses the student is
certain of, as in its published rsr_cal.py.

Low is better suited to be learnt from: tokens that were improbable (large surprisal) and still among the student's
first choices (small rank). So the sampler takes the low end.
"""

from compeffdist.measures.measure import Measure, Observed

LARGEST_RANK = 100
LEAST_SURPRISAL = 1e-12


def _ratio(observed: Observed) -> float:
    ranks = (observed.response.ranks + 1).clip(max=LARGEST_RANK)
    return float(ranks.sum()) / max(float(observed.response.losses.sum()), LEAST_SURPRISAL)


RANK_SURPRISAL_RATIO = Measure(
    "rank_surprisal_ratio", "rank-surprisal ratio", _ratio, 0.0, None, harder="low", logarithmic=True
)
