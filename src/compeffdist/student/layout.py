"""From the rows of a batch to the passes through the model, and the order in which rows come.

Two layouts: `Packing` reads what rows of a family share once (see `packing`); `Padding` reads each row whole, padded on
the right to the longest of its pass. Either way a batch holds as many rows as were asked for, and a pass at most
`tokens` of them, a single long row apart: its activations are what the memory of a training hangs on.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

from compeffdist.student.batching import batches
from compeffdist.student.branching import BranchAttention, correction_tensors, tensors_of
from compeffdist.student.packing import IGNORED, EncodedRow, families, grouped_order, length_order, pack, plan_passes


class Packing:
    """Shared beginnings once. At most `group_rows` of a family stand side by side in the order by design."""

    def __init__(self, rows: Sequence[EncodedRow], attention: BranchAttention, group_rows: int, tokens: int) -> None:
        self.rows, self.attention, self.group_rows, self.tokens = rows, attention, group_rows, tokens
        self.families = families(rows)
        self.family_of = {index: number for number, members in enumerate(self.families) for index in members}

    def order(self, chance: random.Random) -> list[int]:
        """All rows, by index, as they are trained on in one epoch."""
        return grouped_order(self.families, self.group_rows, chance)

    def passes(self, batch: Sequence[int]) -> list[dict[str, Tensor]]:
        """The passes of one batch of rows, by index."""
        planned = plan_passes(self.rows, batch, self.family_of.__getitem__, self.tokens)
        return [tensors_of(pack(self.rows, groups)) for groups in planned]

    def model_inputs(self, inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
        """What the model is called with for one pass."""
        return self.attention.model_inputs(inputs, dtype)


class Padding:
    """Each row whole; rows of like length share a batch of `batch_size`."""

    def __init__(self, rows: Sequence[EncodedRow], fill: int, batch_size: int, tokens: int) -> None:
        self.rows, self.fill, self.batch_size, self.tokens = rows, fill, batch_size, tokens

    def order(self, chance: random.Random) -> list[int]:
        return length_order([row.length for row in self.rows], self.batch_size, chance)

    def passes(self, batch: Sequence[int]) -> list[dict[str, Tensor]]:
        rows = [self.rows[index] for index in batch]
        return [self._pass([rows[i] for i in part]) for part in batches([row.length for row in rows], self.tokens)]

    def model_inputs(self, inputs: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Any]:
        return {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}

    def _pass(self, rows: Sequence[EncodedRow]) -> dict[str, Tensor]:
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
