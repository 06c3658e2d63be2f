"""Attention over shared beginnings and branches: what a token of a packed pass may see, and how a model is told.

A token sees itself and what stands to its left of its own sequence, as far as that is the shared beginning or its own
branch; in layers with a sliding window, only as far back as the window reaches, by position.

How a model takes such a mask differs by architecture and version: as one tensor, or as one for each kind of layer.
Rather than trust a list of names, `branch_attention` tries on a few tokens whether branches come out as the rows alone
do, with the window made small so that it counts. A model for which no way does (positions from a mask of its own, a
state in place of keys and values, attention that takes no mask) gets None, and its rows are read whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compeffdist.student.blockwise import ARGUMENT, blocks_of, use_blocks
from compeffdist.student.packing import EncodedRow, Group, Packed, pack

Marks = tuple[Tensor, ...]
PROBE_WINDOW = 3
"""A sliding window that ends within the probe, in place of the model's while it is tried."""
EXACT, ROUNDED = 1e-4, 0.03
"""Largest accepted difference of the probe's logits, relative to the largest of them, in float32 and in 16 bits."""
KINDS = ("full_attention", "sliding_attention")
"""Kinds of layer that a mask can be made for, as transformers calls them."""


@dataclass(frozen=True)
class BranchAttention:
    """How one model is told what a packed token sees."""

    name: str
    config: Any
    additive: bool
    """Whether masks are added to attention logits (eager), rather than true where a token may look (sdpa)."""
    blocks: bool = False
    """Whether attention is computed block by block (see `blockwise`)."""

    def model_inputs(self, inputs: dict[str, Tensor], dtype: Any) -> dict[str, Any]:
        """`input_ids`, `position_ids`, `attention_mask` and, where they are used, the blocks for a pass; `inputs` are
        the tensors of a `Packed`, each [1, length], `dtype` is that of additive masks."""
        positions = inputs["position_ids"]
        marks = (positions, inputs["sequences"], inputs["branches"])
        blocks = blocks_of(*marks[1:]) if self.blocks else None
        asking = marks if blocks is None else tuple(mark[0][blocks.queries] for mark in marks)
        asked = marks if blocks is None else tuple(mark[0][blocks.keys] for mark in marks)
        seen = visible(asking, asked)
        if blocks is not None:
            seen = seen & blocks.filled[:, None, :]
        window = getattr(self.config, "sliding_window", None)
        near = seen if window is None else seen & (asking[0][:, :, None] - asked[0][:, None, :] < window)
        full, sliding = (self._form(mask, dtype) for mask in (seen, near))
        by_kind = dict(zip(KINDS, (full, sliding), strict=True))
        mask = {"one": full, "windowed": sliding, "by kind": by_kind}[self.name]
        given = {"input_ids": inputs["input_ids"], "position_ids": positions, "attention_mask": mask}
        return given if blocks is None else given | {ARGUMENT: blocks}

    def _form(self, seen: Tensor, dtype: Any) -> Tensor:
        seen = seen[:, None]  # [rows, heads, asking, asked]
        if not self.additive:
            return seen
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)


def visible(asking: Marks, asked: Marks) -> Tensor:
    """[rows, asking, asked]: whether a token that asks sees the one that is asked. `asking` are positions, sequences
    and branches, [rows, asking] each; `asked` likewise."""
    positions, sequences, branches = (
        (mine[:, :, None], theirs[:, None, :]) for mine, theirs in zip(asking, asked, strict=True)
    )
    earlier = positions[1] <= positions[0]
    same = sequences[0] == sequences[1]
    return earlier & same & ((branches[1] == 0) | (branches[0] == branches[1]))


def tensors_of(packed: Packed, device: Any = "cpu") -> dict[str, Tensor]:
    """A pass as tensors: [1, length] each, `corrections` apart as places, tokens and weights, [corrections] each."""
    names = ("input_ids", "position_ids", "labels", "sequences", "branches")
    made = {name: torch.tensor([getattr(packed, name)], device=device) for name in names}
    return made | correction_tensors(packed.corrections)


def correction_tensors(corrections: Sequence[tuple[int, int, float]]) -> dict[str, Tensor]:
    """What soft targets add to the loss: places of response tokens, tokens, weights."""
    columns = list(zip(*corrections, strict=True)) or [(), (), ()]
    return {
        "soft_places": torch.tensor(columns[0], dtype=torch.long),
        "soft_tokens": torch.tensor(columns[1], dtype=torch.long),
        "soft_weights": torch.tensor(columns[2], dtype=torch.float32),
    }


def branch_attention(model: Any) -> BranchAttention | None:
    """The way in which the model reads branches as it reads the rows alone; None if there is none.

    On a CPU the model is told to compute attention block by block where it can; rows alone come out of it as before.
    """
    config = model.config.get_text_config()
    additive = config._attn_implementation == "eager"
    kinds = set(getattr(config, "layer_types", None) or ())
    names = ["by kind"] if kinds > {"full_attention"} else []
    names += ["windowed"] if getattr(config, "sliding_window", None) else ["one"]
    rows = _probe_rows(config.vocab_size)
    ids = [torch.tensor([row.input_ids], device=model.device) for row in rows]
    training, window = model.training, getattr(config, "sliding_window", None)
    model.eval()
    if window is not None:
        config.sliding_window = PROBE_WINDOW
    try:
        with torch.no_grad():
            alone = [model(input_ids=row, use_cache=False).logits[0].float() for row in ids]
            blocks = use_blocks(model)
            ways = [BranchAttention(name, config, additive, True) for name in names if blocks]
            ways += [BranchAttention(name, config, additive) for name in names]
            return next((way for way in ways if _agrees(model, way, rows, alone)), None)
    finally:
        model.train(training)
        if window is not None:
            config.sliding_window = window


def _probe_rows(vocabulary: int) -> list[EncodedRow]:
    """Two branches of a beginning, and a row of another sequence."""
    tokens = [1 + 7919 * place % (vocabulary - 1) for place in range(24)]
    beginning = tokens[:6]
    return [
        EncodedRow("a", [*beginning, *tokens[6:10]], tokens[10:12]),
        EncodedRow("b", [*beginning, *tokens[12:14]], tokens[14:17]),
        EncodedRow("c", tokens[17:21], tokens[21:24]),
    ]


def _agrees(model: Any, way: BranchAttention, rows: Sequence[EncodedRow], alone: Sequence[Tensor]) -> bool:
    packed = pack(rows, [Group((0, 1), 6, 0), Group((2,), 0, 0)])
    inputs = tensors_of(packed, model.device)
    try:
        logits = model(**way.model_inputs(inputs, model.dtype), use_cache=False).logits[0].float()
    except torch.OutOfMemoryError:  # no trait of the model
        raise
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, NotImplementedError, RuntimeError):
        return False  # a model that takes no such mask
    own = [logits[6:12], logits[12:17], logits[17:]]
    starts = (6, 6, 0)
    tolerance = EXACT if model.dtype in (torch.float32, torch.float64) else ROUNDED
    return all(
        bool((mine - theirs[start:]).abs().max() <= tolerance * theirs.abs().max())
        for mine, theirs, start in zip(own, alone, starts, strict=True)
    )
