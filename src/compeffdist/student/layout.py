"""From the rows of a batch to the passes through the model, and the order in which rows come.

Two layouts: `Packing` reads what rows of a family share once (see `packing`); `Padding` reads each row whole, padded on
the right to the longest of its pass. Either way a batch holds as many rows as were asked for, and a pass at most
`tokens` of them, a single long row apart: its activations are what the memory of a training hangs on.

Where several processes train together, each makes the passes of its share of a batch, of about as many tokens as the
others'. All plan for all, so that they need not ask each other, and each has as many passes as the one with most: they
exchange gradients, and weights that are divided among them, pass by pass. What one lacks is made up by passes without
loss.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Sampler

from compeffdist.student.batching import batches
from compeffdist.student.branching import BranchAttention, correction_tensors, tensors_of
from compeffdist.student.packing import (
    IGNORED,
    EncodedRow,
    Group,
    deal,
    families,
    grouped_order,
    length_order,
    pack,
    plan_passes,
    plan_shares,
)


class Packing:
    """Shared beginnings once. At most `group_rows` of a family stand side by side in the order by design."""

    def __init__(self, rows: Sequence[EncodedRow], attention: BranchAttention, group_rows: int, tokens: int) -> None:
        self.rows, self.attention, self.group_rows, self.tokens = rows, attention, group_rows, tokens
        self.families = families(rows)
        self.family_of = {index: number for number, members in enumerate(self.families) for index in members}

    def order(self, chance: random.Random) -> list[int]:
        """All rows, by index, as they are trained on in one epoch."""
        return grouped_order(self.families, self.group_rows, chance)

    def passes(self, batch: Sequence[int], processes: int = 1, process: int = 0) -> list[dict[str, Tensor]]:
        """The passes of one batch of rows, by index; of `processes` that train together, those of one."""
        family_of = self.family_of.__getitem__
        if processes == 1:
            return [self._pass(groups) for groups in plan_passes(self.rows, batch, family_of, self.tokens)]
        shares = plan_shares(self.rows, batch, family_of, self.tokens, processes)
        shortest = _shortest(self.rows, batch)
        spare = [Group((shortest,), 0, self.rows[shortest].length)]
        return _in_step(shares, process, self._pass, spare)

    def model_inputs(self, inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
        """What the model is called with for one pass."""
        return self.attention.model_inputs(inputs, dtype)

    def _pass(self, groups: Sequence[Group]) -> dict[str, Tensor]:
        return tensors_of(pack(self.rows, groups))


class Padding:
    """Each row whole; rows of like length share a batch of `batch_size`."""

    def __init__(self, rows: Sequence[EncodedRow], fill: int, batch_size: int, tokens: int) -> None:
        self.rows, self.fill, self.batch_size, self.tokens = rows, fill, batch_size, tokens

    def order(self, chance: random.Random) -> list[int]:
        return length_order([row.length for row in self.rows], self.batch_size, chance)

    def passes(self, batch: Sequence[int], processes: int = 1, process: int = 0) -> list[dict[str, Tensor]]:
        if processes == 1:
            return [self._pass(part) for part in self._parts(batch)]
        dealt = deal([self.rows[index].length for index in batch], processes)
        shares = [list(self._parts([batch[place] for place in share])) for share in dealt]
        return _in_step(shares, process, self._pass, [_shortest(self.rows, batch)])

    def model_inputs(self, inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
        return {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}

    def _parts(self, batch: Sequence[int]) -> Iterator[list[int]]:
        lengths = [self.rows[index].length for index in batch]
        return ([batch[place] for place in part] for part in batches(lengths, self.tokens))

    def _pass(self, members: Sequence[int]) -> dict[str, Tensor]:
        rows = [self.rows[index] for index in members]
        longest = max(row.length for row in rows)
        spare = [longest - row.length for row in rows]
        corrections = [
            (number * longest + len(row.prompt_ids) + c.place, c.token, c.weight)
            for number, row in enumerate(rows)
            for c in row.corrections
        ]
        both = list(zip(rows, spare, strict=True))
        return {
            "input_ids": torch.tensor([row.input_ids + [self.fill] * more for row, more in both]),
            "attention_mask": torch.tensor([[1] * row.length + [0] * more for row, more in both]),
            "labels": torch.tensor([row.labels + [IGNORED] * more for row, more in both]),
        } | correction_tensors(corrections)


Layout = Packing | Padding
T = TypeVar("T")


def _in_step(shares: Sequence[Sequence[T]], process: int, make: Callable[[T], dict[str, Tensor]], spare: T) -> Any:
    """The passes of one process, with as many of `spare`, without loss, as it takes to have no fewer than any other."""
    lacking = max(map(len, shares)) - len(shares[process])
    return [make(one) for one in shares[process]] + [_without_loss(make(spare)) for _ in range(lacking)]


def _without_loss(one: dict[str, Tensor]) -> dict[str, Tensor]:
    return one | {"labels": torch.full_like(one["labels"], IGNORED)} | correction_tensors([])


def _shortest(rows: Sequence[EncodedRow], batch: Sequence[int]) -> int:
    return min(batch, key=lambda index: (rows[index].length, index))


class EpochOrder(Sampler[int]):
    """The trainer's sampler: the layout's order, drawn anew each epoch from the seed and the epoch's number."""

    def __init__(self, count: int, order: Callable[[random.Random], list[int]], seed: int) -> None:
        self.count, self.order, self.seed, self.epoch = count, order, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(random.Random(f"{self.seed}:{self.epoch}")))

    def __len__(self) -> int:
        return self.count
