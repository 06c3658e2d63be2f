"""What a difficulty measure is, and what it may be computed from.

A measure is one object: its name, which is its column in data/scored.parquet and its word in `sampling.metric`; how
pages call it; its range; what it needs; and a function from what the scoring passes saw of one response to its value.
To add one, write its object in a module of this folder and its line in `registry.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TokenFigures:
    """What one scoring pass saw of a response: arrays of one value a response token, in order; at least one token."""

    ranks: "NDArray[np.int64]"
    """How many tokens of the vocabulary have a logit strictly above the true token's: 0 for the first choice, and for a
    token tied with it."""
    scores: "NDArray[np.float64]"
    """Ranking score of each token, in [0, 1]: its rank over the size of the top-p nucleus, 1 outside the nucleus
    (`difficulty/scorer.py`)."""
    losses: "NDArray[np.float64]"
    """Negative log-likelihood of each token in nats, finite."""


@dataclass(frozen=True)
class Observed:
    """Everything the passes saw of one response."""

    response: TokenFigures
    """After its prompt."""
    bare: TokenFigures | None = None
    """Without its prompt, after the chat format with an empty user turn; None unless `difficulty.ifd`."""
    label: str = ""
    """The response, where it is one of the instruction's labels."""
    label_logprobs: Mapping[str, float] | None = None
    """Log-probability of each of the instruction's labels, summing to 1 over them; None for another response, and where
    not all of the labels' tokens were looked at (`difficulty.label_ranks`)."""


Part = Literal["response", "bare", "label_logprobs"]
"""A field of `Observed`."""


@dataclass(frozen=True)
class Measure:
    """A difficulty measure. A row has no value (None) where what it needs was not observed."""

    name: str
    title: str
    """How pages call it."""
    compute: Callable[[Observed], float]
    """Called only where `needs` was observed. A row whose value is not finite is rejected."""
    low: float
    high: float | None
    """Ends of its range, both inclusive; None: no upper end. The gate `difficulty` holds every value against them."""
    harder: Literal["high", "low"] = "high"
    """The end that the sampler takes for the hardest rows."""
    needs: Part = "response"
    """`label_logprobs`: values compare within an instruction only, and the sampler ranks rows without one by the
    ranking score."""
    whole: bool = False
    """Whether values are whole numbers."""
    logarithmic: bool = False
    """Whether charts lay its values, then positive, out by their logarithm."""

    @property
    def column(self) -> Any:
        """Type of its column: a value may be missing unless every pass gives what it needs."""
        kind = int if self.whole else float
        return kind if self.needs == "response" else kind | None

    def of(self, observed: Observed) -> float | None:
        """Its value for one response."""
        return None if getattr(observed, self.needs) is None else self.compute(observed)
