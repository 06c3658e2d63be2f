"""Perplexity of the response, and how much the prompt lowers it.

    perplexity = exp(mean of the tokens' negative log-likelihoods)
    ifd        = perplexity of the response given the prompt / perplexity of the response without it

`ifd` is instruction-following difficulty (Li et al. 2023, "From Quantity to Quality", arXiv 2308.12032): near 0 the
prompt says all; at 1 and above it is no help. Without a prompt means here: after the chat format with an empty user
turn, so that both perplexities are means over the same tokens, the first included, in the format the model was trained
in.
"""

from compeffdist.measures.measure import Measure, Observed, TokenFigures


def _perplexity(figures: TokenFigures) -> float:
    import numpy as np

    with np.errstate(over="ignore"):
        return float(np.exp(figures.losses.mean(dtype=np.float64)))


def _ifd(observed: Observed) -> float:
    assert observed.bare is not None
    return _perplexity(observed.response) / _perplexity(observed.bare)


PERPLEXITY = Measure(
    "perplexity", "perplexity", lambda observed: _perplexity(observed.response), 1.0, None, logarithmic=True
)
IFD = Measure("ifd", "instruction-following difficulty", _ifd, 0.0, None, needs="bare", logarithmic=True)
