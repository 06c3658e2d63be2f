"""What a prompt shows, as inputs of a few numbers: standardised, centred by instruction, principal components.

Of the last state and the signals of how unsure the student is, each side has half the variance, whatever its width. The
COMPONENTS largest principal components of both together are taken over all prompts, scored or not.
"""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.proxy.prompt_features import PromptFeatures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

COMPONENTS = 32
CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Rows:
    """All that heads look at, of n rows."""

    x: "Floats"
    """(n, components)"""
    beliefs: "Floats"
    """(n, openings): log-probabilities less the instruction's mean."""
    scores: "Floats"
    """(n, openings): ranking score of each opening."""
    codes: "Integers"
    """(n,): places of the rows' instructions among all."""


@dataclass(frozen=True)
class View:
    """How a prompt's features become inputs: by instruction, (instructions, …), in the order of sorted ids."""

    states: "Floats"
    """(instructions, hidden): means."""
    signals: "Floats"
    """(instructions, signals): means."""
    log_p: "Floats"
    """(instructions, openings): means."""
    projection: "Floats"
    """(hidden + signals, components)"""

    def inputs(self, prompts: PromptFeatures, codes: "Integers") -> "Floats":
        """x, (n, components)."""
        found = np.empty((len(codes), self.projection.shape[1]))
        for start in range(0, len(codes), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            found[rows] = _joined(prompts.rows(rows), self, codes[rows]) @ self.projection
        return found

    def beliefs(self, prompts: PromptFeatures, codes: "Integers") -> "Floats":
        """Log-probabilities of openings less the instruction's mean, (n, openings)."""
        beliefs: Floats = prompts.log_p - self.log_p[codes]
        return beliefs


def fit_view(prompts: PromptFeatures, codes: "Integers", instructions: int) -> View:
    """The view of prompts whose states and signals have as much variance each, 1 together."""
    from scipy.linalg import eigh

    states, signals, log_p = (
        means_by_instruction(part, codes, instructions) for part in (prompts.states, prompts.signals, prompts.log_p)
    )
    hidden, width = states.shape[1], states.shape[1] + signals.shape[1]
    view = View(states, signals, log_p, np.eye(width))
    products = np.zeros((width, width))
    for start in range(0, len(codes), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        centred = _joined(prompts.rows(rows), view, codes[rows])
        products += centred.T @ centred
    deviations = np.sqrt(np.diag(products) / len(codes))
    deviations[deviations == 0.0] = 1.0
    shares = np.sqrt(np.repeat([0.5 / hidden, 0.5 / (width - hidden)], [hidden, width - hidden])) / deviations
    first = max(width - COMPONENTS, 0)
    _, axes = eigh(products * shares * shares[:, None], subset_by_index=[first, width - 1])
    # in the order in which it is read back: the last bits of a product depend on it
    return dataclasses.replace(view, projection=np.ascontiguousarray(shares[:, None] * axes))


def _joined(prompts: PromptFeatures, view: View, codes: "Integers") -> "Floats":
    """States and signals side by side, less their instruction's means."""
    return np.concatenate([prompts.states - view.states[codes], prompts.signals - view.signals[codes]], axis=1)


def rows_through(view: View, prompts: PromptFeatures, codes: "Integers") -> Rows:
    """Rows as heads look at them."""
    return Rows(view.inputs(prompts, codes), view.beliefs(prompts, codes), prompts.scores.astype(np.float64), codes)


def means_by_instruction(values: "NDArray[Any]", codes: "Integers", groups: int) -> "Floats":
    """Mean of the rows of each group, (groups, width)."""
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes, minlength=groups))[:-1])
    return np.array([values[rows].mean(axis=0, dtype=np.float64) for rows in members])
