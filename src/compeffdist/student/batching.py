"""Which rows are scored together, and how many of their first tokens they share.

An instruction's rows begin alike: chat header, system prompt, definition, demonstrations. A batch of them reads
those tokens once and goes on from their keys and values. Rows sorted by their prompts put equal beginnings side
by side; the beginnings that neighbours share form a binary tree, and for every node of it either all its rows
share its prefix, or its children fare better by themselves (longer prefixes, fewer rows). Made bottom up, that
choice is the best for this tree; it costs one sort and one pass.

The plan is a function of the rows and the budget alone, not of the order in which rows are given, so that a
batch, and with it the last bits of its scores, is the same in a run that was resumed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PASS_TOKENS = 32
"""What a pass of its own for a prefix costs, in tokens: a prefix must save more than that to be shared."""

PADDING = 0.1
"""Share of a batch that may be padding once it holds a FULL_ENOUGH-th of the budget."""
FULL_ENOUGH = 8


@dataclass(frozen=True)
class TokenRow:
    """Prompt and response, tokenised apart and joined as ids. No end token in `response_ids`."""

    id: str
    prompt_ids: Sequence[int]
    response_ids: Sequence[int]
    choices: Sequence[int] = field(default=(), kw_only=True)
    """Tokens whose logits at the first response position are wanted beside the score."""

    @property
    def width(self) -> int:
        """Tokens the body reads: the last response token is only predicted."""
        return len(self.prompt_ids) + len(self.response_ids) - 1


@dataclass(frozen=True)
class Batch:
    """Rows scored together, by index, that all begin with the same `prefix` tokens (0: each read whole)."""

    rows: tuple[int, ...]
    prefix: int


@dataclass(frozen=True)
class _Node:
    """Rows `start` to `stop` of the sorted order, the tokens saved at best, and the groups that save them."""

    start: int
    stop: int
    saved: int
    groups: "tuple[_Node, ...] | None"
    """The children whose groups are taken; None: the rows of this node are one group."""
    prefix: int


def plan_batches(rows: Sequence[TokenRow], token_budget: int, *, share: bool = True) -> Iterator[Batch]:
    """Batches of rows x longest row <= `token_budget` (prefix included, as its keys and values are held per row).

    A single row may exceed the budget. Rows that share nothing come first, longest first, so that a budget too
    large for the memory fails at the start; ties go by id.
    """
    groups = shared_prefixes(rows) if share else []
    grouped = {index for members, _ in groups for index in members}
    alone = [index for index in range(len(rows)) if index not in grouped]
    for members, prefix in [(alone, 0), *groups]:
        yield from (Batch(batch, prefix) for batch in _within_budget(rows, members, token_budget))


def shared_prefixes(rows: Sequence[TokenRow]) -> list[tuple[list[int], int]]:
    """Groups of row indices with the number of first tokens each group shares, where sharing saves work.

    The last token of a prompt is never shared: its state predicts the first response token.
    """
    order = sorted(range(len(rows)), key=lambda index: (list(rows[index].prompt_ids), rows[index].id))
    if not order:
        return []
    common = [common_beginning(rows[a].prompt_ids, rows[b].prompt_ids) for a, b in pairwise(order)]
    groups = []
    waiting = [_best_tree(common)]
    while waiting:
        node = waiting.pop()
        if node.groups is not None:
            waiting.extend(reversed(node.groups))
        elif node.prefix:
            groups.append((order[node.start : node.stop], node.prefix))
    return groups


def collate(rows: Sequence[TokenRow], shared: int = 0) -> "tuple[Tensor, Tensor, Tensor]":
    """Right-padded ids (rows, longest), places (2, positions) that predict response tokens, and the targets.

    The first `shared` tokens are left out. With padding on the right, positions count on from the prefix in every
    row, as in a row alone. The last response token is only predicted, never read.
    """
    import torch

    longest = max(row.width for row in rows) - shared
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : row.width - shared] = [*row.prompt_ids[shared:], *row.response_ids[:-1]]
    numbers = np.repeat(np.arange(len(rows)), [len(row.response_ids) for row in rows])
    columns = np.concatenate([np.arange(len(row.prompt_ids) - 1, row.width) - shared for row in rows])
    targets = np.concatenate([np.asarray(row.response_ids, dtype=np.int64) for row in rows])
    return (torch.from_numpy(ids), torch.from_numpy(np.stack([numbers, columns])), torch.from_numpy(targets))


def _best_tree(common: Sequence[int]) -> _Node:
    """The tree over rows whose neighbours share `common` tokens, with the best choice made in every node."""
    open_nodes: list[tuple[_Node, int]] = []  # (subtree, tokens it shares with what follows it), increasing
    for index in range(len(common) + 1):
        node = _Node(index, index + 1, 0, None, 0)
        following = common[index] if index < len(common) else -1
        while open_nodes and open_nodes[-1][1] > following:
            left, shared = open_nodes.pop()
            node = _joined(left, node, shared)
        open_nodes.append((node, following))
    return open_nodes[0][0]


def _joined(left: _Node, right: _Node, prefix: int) -> _Node:
    together = (right.stop - left.start - 1) * prefix - PASS_TOKENS
    apart = left.saved + right.saved
    if together > apart:
        return _Node(left.start, right.stop, together, None, prefix)
    return _Node(left.start, right.stop, apart, (left, right), 0)


def common_beginning(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens two prompts have in common at their beginning, the last token of either left out."""
    limit = min(len(first), len(second)) - 1
    return next((place for place in range(limit) if first[place] != second[place]), limit)


def _within_budget(rows: Sequence[TokenRow], members: Sequence[int], token_budget: int) -> Iterator[tuple[int, ...]]:
    batch: list[int] = []
    longest = padding = 0
    for index in sorted(members, key=lambda index: (-rows[index].width, rows[index].id)):
        added = longest - rows[index].width
        size = len(batch) * longest
        wasteful = size * FULL_ENOUGH >= token_budget and padding + added > PADDING * (size + longest)
        if batch and (size + longest > token_budget or wasteful):
            yield tuple(batch)
            batch = []
        if not batch:
            longest, padding, added = rows[index].width, 0, 0
        batch.append(index)
        padding += added
    if batch:
        yield tuple(batch)


def batches(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Indices of rows of like length, shortest first; longest x rows fits the budget, or a row is alone."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and lengths[index] * (len(batch) + 1) > token_budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
