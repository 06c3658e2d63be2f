"""What a prompt shows, as inputs of a few numbers: standardised, centred by instruction, principal components.

Of the last state and the signals of how unsure the student is, each side has half the variance, whatever its width. The
COMPONENTS largest principal components of both together are taken over all prompts, scored or not.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compeffdist.arrays import Floats, Integers
from compeffdist.proxy.prompt_features import PromptFeatures

COMPONENTS = 32
CHUNK_ROWS = 8192


@dataclass(frozen=True)
class Rows:
    """All that heads look at, of n rows."""

    x: Floats
    """(n, components)"""
    beliefs: Floats
    """(n, openings): log-probabilities less the instruction's mean."""
    scores: Floats
    """(n, openings): ranking score of each opening."""
    codes: Integers
    """(n,): places of the rows' instructions among all."""


@dataclass(frozen=True)
class View:
    """How a prompt's features become inputs: their means, (instructions, width), in the order of sorted ids, and the
    principal components."""

    states: Floats
    signals: Floats
    log_p: Floats
    projection: Floats
    """(hidden + signals, components)"""


def fit_view(prompts: PromptFeatures, codes: Integers, instructions: int) -> View:
    """The view of prompts whose states and signals have as much variance each, 1 together."""
    from scipy.linalg import eigh

    states, signals, log_p = (
        means_by_instruction(part, codes, instructions) for part in (prompts.states, prompts.signals, prompts.log_p)
    )
    hidden, width = states.shape[1], states.shape[1] + signals.shape[1]
    view = View(states, signals, log_p, np.eye(width))
    products = np.zeros((width, width))
    for _, centred in _centred(prompts, view, codes):
        products += centred.T @ centred
    deviations = np.sqrt(np.diag(products) / len(codes))
    deviations[deviations == 0.0] = 1.0
    shares = np.sqrt(np.repeat([0.5 / hidden, 0.5 / (width - hidden)], [hidden, width - hidden])) / deviations
    first = max(width - COMPONENTS, 0)
    _, axes = eigh(products * shares * shares[:, None], subset_by_index=[first, width - 1])
    # in the order in which it is read back: the last bits of a product depend on it
    return dataclasses.replace(view, projection=np.ascontiguousarray(shares[:, None] * axes))


def _centred(prompts: PromptFeatures, view: View, codes: Integers) -> Iterator[tuple[slice, Floats]]:
    """States and signals side by side, less their instruction's means, by chunks of rows."""
    for start in range(0, len(codes), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        of = codes[rows]
        sides = [prompts.states[rows] - view.states[of], prompts.signals[rows] - view.signals[of]]
        yield rows, np.concatenate(sides, axis=1)


def rows_through(view: View, prompts: PromptFeatures, codes: Integers) -> Rows:
    """Rows as heads look at them."""
    x = np.empty((len(codes), view.projection.shape[1]))
    for rows, centred in _centred(prompts, view, codes):
        x[rows] = centred @ view.projection
    return Rows(x, prompts.log_p - view.log_p[codes], prompts.scores.astype(np.float64), codes)


def means_by_instruction(values: NDArray[Any], codes: Integers, groups: int) -> Floats:
    """Mean of the rows of each group, (groups, width)."""
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes, minlength=groups))[:-1])
    return np.array([values[rows].mean(axis=0, dtype=np.float64) for rows in members])
