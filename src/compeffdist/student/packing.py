"""Rows that begin alike, laid out for training so that what they share is read once.

A *sequence* is a shared beginning followed by the own tokens of each row, its branches:

    tokens     b0 b1 b2 | x3 x4 x5 | y3 y4
    branch      0  0  0 |  1  1  1 |  2  2      0: the beginning, seen by every branch
    position    0  1  2 |  3  4  5 |  3  4      each branch goes on from the beginning's end

A token sees the beginning and its own branch up to itself (`branching` makes the mask), so that each row is computed as
if it stood alone. A *pass* is what goes through the model at once: one row of whole sequences, side by side, without
padding and so without waste; sequences do not see each other. The last token of a prompt is never shared: it predicts
the first response token.

The order of the rows is a function of their ids, the seed and the epoch, and of nothing else: neither of the order in
which they came, nor of what was computed before, so that a training goes on from a checkpoint as if it had not stopped.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from compeffdist.student.batching import TokenRow, common_beginning, shared_prefixes

IGNORED = -100
"""Label of a position without loss (PyTorch's ignore_index)."""
BLOCK_BATCHES = 50
"""Batches among which rows are sorted by length where each row is read whole, as transformers does it."""


@dataclass(frozen=True)
class Correction:
    """What a soft target adds to the loss of a row: `weight` times the logit of `token` where response token `place`
    is predicted (see `soft_labels`)."""

    place: int
    token: int
    weight: float


@dataclass(frozen=True)
class EncodedRow(TokenRow):
    """A row to train on; here `response_ids` ends with the token that ends a turn."""

    corrections: tuple[Correction, ...] = ()

    @property
    def length(self) -> int:
        """Tokens, prompt and response."""
        return len(self.prompt_ids) + len(self.response_ids)

    @property
    def input_ids(self) -> list[int]:
        """Prompt and response."""
        return [*self.prompt_ids, *self.response_ids]

    @property
    def labels(self) -> list[int]:
        """`input_ids` on the response and the token that ends it, IGNORED on the prompt."""
        return [IGNORED] * len(self.prompt_ids) + list(self.response_ids)


@dataclass(frozen=True)
class Group:
    """Rows, by index, of which the first `prefix` tokens are the same and stand once."""

    rows: tuple[int, ...]
    prefix: int
    tokens: int


@dataclass(frozen=True)
class Packed:
    """One pass as plain lists, each as long as the pass but the last: one entry a token."""

    input_ids: list[int]
    position_ids: list[int]
    labels: list[int]
    sequences: list[int]
    """Which sequence a token belongs to."""
    branches: list[int]
    """0 on a shared beginning, else the number of the branch within the sequence."""
    corrections: list[tuple[int, int, float]]
    """(place of the response token, token, weight)."""


def families(rows: Sequence[EncodedRow]) -> list[list[int]]:
    """Rows, by index, that should be read together, most often those of one instruction; every row is in one family."""
    groups = [members for members, _ in shared_prefixes(rows)]
    grouped = {index for members in groups for index in members}
    return [*groups, *([index] for index in range(len(rows)) if index not in grouped)]


def grouped_order(families: Sequence[Sequence[int]], group_rows: int, chance: random.Random) -> list[int]:
    """All rows in a random order in which at most `group_rows` of a family stand side by side by design: families are
    cut into groups as equal as can be, at random; then the groups are shuffled."""
    groups = []
    for family in families:
        members = chance.sample(family, len(family))
        count = -(-len(members) // group_rows)
        groups += [members[number::count] for number in range(count)]
    chance.shuffle(groups)
    return [index for group in groups for index in group]


def length_order(lengths: Sequence[int], batch_size: int, chance: random.Random) -> list[int]:
    """All rows in a random order in which rows of like length share a batch: shuffled, then sorted in blocks of
    batches, longest first."""
    shuffled = iter(chance.sample(range(len(lengths)), len(lengths)))
    block = batch_size * max(1, min(len(lengths) // (batch_size * 4), BLOCK_BATCHES))
    order: list[int] = []
    while part := list(islice(shuffled, block)):
        order += sorted(part, key=lambda index: -lengths[index])
    return order


def groups_of(rows: Sequence[EncodedRow], members: Sequence[int], tokens: int) -> Iterator[Group]:
    """The sequences that the `members` of one family make: one, or as few as keep to `tokens` each, a single row
    apart."""
    taken: list[int] = []
    for index in members:
        if taken and _group(rows, [*taken, index]).tokens > tokens:
            yield _group(rows, taken)
            taken = []
        taken.append(index)
    if taken:
        yield _group(rows, taken)


def _group(rows: Sequence[EncodedRow], members: Sequence[int]) -> Group:
    first = rows[members[0]].prompt_ids
    prefix = min((common_beginning(first, rows[index].prompt_ids) for index in members[1:]), default=0)
    return Group(tuple(members), prefix, prefix + sum(rows[index].length - prefix for index in members))


def plan_passes(
    rows: Sequence[EncodedRow], batch: Sequence[int], family_of: Callable[[int], int], tokens: int
) -> list[list[Group]]:
    """The passes of a batch of rows: members of one family together, the longest sequences first, each pass filled up
    to `tokens`."""
    return _filled(_sequences(rows, batch, family_of, tokens), tokens)


def plan_shares(
    rows: Sequence[EncodedRow], batch: Sequence[int], family_of: Callable[[int], int], tokens: int, processes: int
) -> list[list[list[Group]]]:
    """The passes of a batch of rows, by the process that does them. A family is cut only where it is more than a
    process's even share of the tokens; each row is in one process, which may have none."""
    whole = sum(sequence.tokens for sequence in _sequences(rows, batch, family_of, tokens))
    parts = _sequences(rows, batch, family_of, min(tokens, -(-whole // processes)))
    dealt = deal([part.tokens for part in parts], processes)
    return [_filled([parts[number] for number in share], tokens) for share in dealt]


def deal(sizes: Sequence[int], processes: int) -> list[list[int]]:
    """Indices of `sizes` for each process, the largest first, each to the process that has least so far."""
    shares: list[list[int]] = [[] for _ in range(processes)]
    loads = [0] * processes
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        least = loads.index(min(loads))
        shares[least].append(index)
        loads[least] += sizes[index]
    return shares


def _sequences(
    rows: Sequence[EncodedRow], batch: Sequence[int], family_of: Callable[[int], int], tokens: int
) -> list[Group]:
    together: dict[int, list[int]] = {}
    for index in batch:
        together.setdefault(family_of(index), []).append(index)
    return [sequence for members in together.values() for sequence in groups_of(rows, members, tokens)]


def _filled(sequences: Sequence[Group], tokens: int) -> list[list[Group]]:
    passes: list[list[Group]] = []
    for sequence in sorted(sequences, key=lambda sequence: -sequence.tokens):
        fitting = (one for one in passes if sum(part.tokens for part in one) + sequence.tokens <= tokens)
        room = next(fitting, None)
        if room is None:
            passes.append(room := [])
        room.append(sequence)
    return passes


def pack(rows: Sequence[EncodedRow], sequences: Sequence[Group]) -> Packed:
    """Sequences side by side as one pass."""
    packed = Packed([], [], [], [], [], [])
    for number, sequence in enumerate(sequences):
        prefix = sequence.prefix
        if prefix:
            _append(packed, list(rows[sequence.rows[0]].prompt_ids[:prefix]), [IGNORED] * prefix, 0, number, 0)
        for branch, index in enumerate(sequence.rows, 1):
            row, start = rows[index], len(packed.input_ids)
            _append(packed, row.input_ids[prefix:], row.labels[prefix:], prefix, number, branch)
            response = start + len(row.prompt_ids) - prefix
            packed.corrections.extend((response + c.place, c.token, c.weight) for c in row.corrections)
    return packed


def _append(packed: Packed, ids: list[int], labels: list[int], position: int, sequence: int, branch: int) -> None:
    packed.input_ids.extend(ids)
    packed.labels.extend(labels)
    packed.position_ids.extend(range(position, position + len(ids)))
    packed.sequences.extend([sequence] * len(ids))
    packed.branches.extend([branch] * len(ids))
