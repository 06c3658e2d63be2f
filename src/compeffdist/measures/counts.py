"""Counts: how long the response is, and what share of its tokens the scorer would not have written."""

from compeffdist.measures.measure import Measure, Observed


def _miss_rate(observed: Observed) -> float:
    scores = observed.response.scores
    return int((scores > 0).sum()) / len(scores)


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
