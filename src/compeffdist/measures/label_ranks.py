"""How hard a label is, by its place among the instruction's own labels.

Most answers are a label, often one token, and then the ranking score says little: where the scorer is unsure, its
nucleus spans much of the vocabulary, x / n is near 0 for whatever label, and rows tie. Asked only to choose among the
n labels the instruction allows, with probabilities p that sum to 1 (`labels.py`):

    label_surprise = 1 - p(label)                                   in [0, 1)
    label_rank     = (x + label_surprise) / n                       in [0, 1)

x the number of labels with a higher probability than the true one: by rank, and among rows of one rank by surprise. A
tie counts for the true label, as in the ranking score. It is a variant of ours, not of the paper. What a scorer says
whatever the text counts as easy under it, as under perplexity.
"""

import math

from compeffdist.measures.measure import Measure, Observed


def _surprise(observed: Observed) -> float:
    assert observed.label_logprobs is not None
    return -math.expm1(min(observed.label_logprobs[observed.label], 0.0))


def _rank(observed: Observed) -> float:
    assert observed.label_logprobs is not None
    own = observed.label_logprobs[observed.label]
    likelier = sum(other > own for other in observed.label_logprobs.values())
    return (likelier + _surprise(observed)) / len(observed.label_logprobs)


LABEL_RANK = Measure("label_rank", "rank among the instruction's labels", _rank, 0.0, 1.0, needs="label_logprobs")
LABEL_SURPRISE = Measure(
    "label_surprise", "improbability among the instruction's labels", _surprise, 0.0, 1.0, needs="label_logprobs"
)
