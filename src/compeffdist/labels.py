"""The likelihood of each whole label of a closed set, as under decoding constrained to that set.

The labels' tokens make a trie. Where a label is a prefix of another, an end-of-answer marker is a further child. At
each node with several children the model's next-token distribution is renormalised over those children, and

    P(label) = product over the branching nodes on its path of P(child | prompt, path) / sum of P(children).

So probabilities sum to 1 and no label gains from being short: tokens that follow of necessity count for nothing. The
cost is one forward pass per branching node, usually one to three, however long the labels are. The price is that the
first branch decides as greedily as constrained decoding does: mass the model would put outside the set is lost.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Branch:
    """A trie node with several children: where one forward pass is needed."""

    path: tuple[int, ...]
    """Tokens of the answer so far."""
    children: tuple[int, ...]
    """Tokens allowed next, at least two, ascending."""


@dataclass(frozen=True)
class LabelTrie:
    """The branching nodes over a label set, and how each label passes through them."""

    branches: tuple[Branch, ...]
    """Shortest path first; empty for a single label."""
    turns: Mapping[str, tuple[tuple[int, int], ...]]
    """label -> (index of branch, index of child) along its path, labels in the order given."""

    def log_probabilities(self, child_logprobs: Sequence[Sequence[float]]) -> dict[str, float]:
        """Combine log-probabilities of the children, one row per branch, into one per label.

        The rows need not be normalised: logits give the same result.

        Raises:
            ValueError: if a row does not fit its branch or holds a value that is not finite.
        """
        rows = [
            _log_softmax(row, len(branch.children)) for branch, row in zip(self.branches, child_logprobs, strict=True)
        ]
        return {label: math.fsum(rows[branch][child] for branch, child in turns) for label, turns in self.turns.items()}


def build_trie(labels: Mapping[str, Sequence[int]], end: int) -> LabelTrie:
    """The trie over label -> tokens; `end` is the marker that ends an answer. Raises ValueError if there is no label, a
    label has no tokens or holds `end`, or two have the same tokens."""
    paths = {label: tuple(tokens) for label, tokens in labels.items()}
    if not paths or not all(paths.values()):
        raise ValueError("every label needs at least one token")
    if len(set(paths.values())) != len(paths):
        raise ValueError(f"two labels have the same tokens: {sorted(paths)}")
    if any(end in path for path in paths.values()):
        raise ValueError("a label holds the end-of-answer token")
    children: dict[tuple[int, ...], set[int]] = {}
    ended = {label: (*path, end) for label, path in paths.items()}
    for path in ended.values():
        for length, token in enumerate(path):
            children.setdefault(path[:length], set()).add(token)
    branches = tuple(
        Branch(path, tuple(sorted(children[path])))
        for path in sorted(children, key=lambda path: (len(path), path))
        if len(children[path]) > 1
    )
    return LabelTrie(branches, {label: _turns(path, branches) for label, path in ended.items()})


def _turns(path: tuple[int, ...], branches: Sequence[Branch]) -> tuple[tuple[int, int], ...]:
    return tuple(
        (index, branch.children.index(path[len(branch.path)]))
        for index, branch in enumerate(branches)
        if len(branch.path) < len(path) and path[: len(branch.path)] == branch.path
    )


def _log_softmax(row: Sequence[float], size: int) -> list[float]:
    if len(row) != size or not all(math.isfinite(value) for value in row):
        raise ValueError(f"expected {size} finite log-probabilities, got {list(row)}")
    highest = max(row)
    total = highest + math.log(math.fsum(math.exp(value - highest) for value in row))
    return [value - total for value in row]
