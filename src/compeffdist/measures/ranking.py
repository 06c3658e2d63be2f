"""Measures of the tokens' scores: the ranking score of the paper (arXiv 2510.24425) in both its variants, how long the
response is, and what share of its tokens the scorer would not have written.

    ranking_excluding_zero = mean of s over tokens with s > 0, or 0 if there is none
    ranking_all            = mean of s over all response tokens

s as in `difficulty/scorer.py`. The official rank_score_compute.py leaves zeros out by a threshold of 1e-6, which is
the same for any vocabulary below a million: the smallest s > 0 is 1/n. `difficulty.exclude_zero` says which of them is
the column `ranking`.
"""

from compeffdist.measures.measure import Measure, Observed


def _excluding_zero(observed: Observed) -> float:
    missed = observed.response.scores[observed.response.scores > 0]
    return float(missed.mean()) if len(missed) else 0.0


def _miss_rate(observed: Observed) -> float:
    scores = observed.response.scores
    return int((scores > 0).sum()) / len(scores)


RANKING_EXCLUDING_ZERO = Measure("ranking_excluding_zero", "ranking score, misses only", _excluding_zero, 0.0, 1.0)
RANKING_ALL = Measure(
    "ranking_all", "ranking score, all tokens", lambda observed: float(observed.response.scores.mean()), 0.0, 1.0
)
TOKENS = Measure(
    "tokens", "response length in tokens", lambda observed: len(observed.response.scores), 1, None, whole=True
)
MISS_RATE = Measure("miss_rate", "share of tokens not the first choice", _miss_rate, 0.0, 1.0)
NUCLEUS_MISS_RATE = Measure(
    "nucleus_miss_rate",
    "share of tokens outside the nucleus",
    lambda observed: float((observed.response.scores == 1.0).mean()),
    0.0,
    1.0,
)
