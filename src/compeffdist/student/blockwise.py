"""Attention of a packed pass computed block by block, so that a CPU does not work on what no token may see.

Under one mask over a whole pass, attention costs the square of the pass, though a token sees only the beginning and its
own branch, a small share of all pairs where a pass holds many rows. Here each shared beginning and each branch
is a block, with the keys and values of its beginning before its own, and the blocks of a pass are computed as one
batch, padded to the longest. A mask still decides within a block, sliding windows included, so that the result is that
of the whole mask.

The blocks reach the attention function as a keyword argument of the model's forward, which the models of transformers
hand down to it. A GPU has kernels that like one large call better, and keeps to those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAME = "compeffdist_blocks"
"""What transformers knows this attention by."""
ARGUMENT = "attention_blocks"
"""Keyword argument of the model's forward that carries the blocks."""


@dataclass(frozen=True)
class Blocks:
    """The blocks of a pass as places in it; padding repeats the pass's first token."""

    queries: Tensor
    """[blocks, longest block]"""
    keys: Tensor
    """[blocks, longest block with its beginning]"""
    filled: Tensor
    """[blocks, longest block with its beginning]: whether a key is none of the padding."""
    back: Tensor
    """[length]: where in the flattened `queries` each token of the pass is."""


def attention_blocks(sequences: Sequence[int], branches: Sequence[int]) -> list[tuple[range, range]]:
    """The shared beginnings and branches of a pass in order, each as (the beginning that it sees, its own tokens).

    Arguments as in `packing.Packed`.

    >>> attention_blocks([0, 0, 0, 0, 1], [0, 1, 1, 2, 1])
    [(range(0, 0), range(0, 1)), (range(0, 1), range(1, 3)), (range(0, 1), range(3, 4)), (range(4, 4), range(4, 5))]
    """
    blocks: list[tuple[range, range]] = []
    marks = list(zip(sequences, branches, strict=True))
    start, beginning = 0, range(0)
    for place in range(1, len(marks) + 1):
        if place < len(marks) and marks[place] == marks[start]:
            continue
        sequence, branch = marks[start]
        if start == 0 or marks[start - 1][0] != sequence:
            beginning = range(start, start if branch else place)
        blocks.append((beginning if branch else range(start, start), range(start, place)))
        start = place
    return blocks


def blocks_of(sequences: Tensor, branches: Tensor) -> Blocks:
    """The blocks of a pass; each argument is [1, length]."""
    found = attention_blocks(sequences[0].tolist(), branches[0].tolist())
    queries = [list(own) for _, own in found]
    keys = [[*beginning, *own] for beginning, own in found]
    longest, longest_keys = max(map(len, queries)), max(map(len, keys))
    back = [number * longest + place for number, own in enumerate(queries) for place in range(len(own))]
    return Blocks(
        queries=torch.tensor([own + [0] * (longest - len(own)) for own in queries]),
        keys=torch.tensor([seen + [0] * (longest_keys - len(seen)) for seen in keys]),
        filled=torch.tensor([[place < len(seen) for place in range(longest_keys)] for seen in keys]),
        back=torch.tensor(back),
    )


def use_blocks(model: Any) -> bool:
    """Whether `model` now computes attention block by block where it is given blocks: where it used sdpa, on a CPU.

    Without blocks it computes what it did before.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    config = model.config.get_text_config()
    if config._attn_implementation != "sdpa" or model.device.type != "cpu":
        return bool(config._attn_implementation == NAME)
    AttentionInterface.register(NAME, _blockwise)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    try:
        model.set_attn_implementation(NAME)
    except (AttributeError, ValueError):
        return False  # an architecture with attention of its own
    return bool(config._attn_implementation == NAME)


def _blockwise(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    attention_blocks: Blocks | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """transformers' sdpa over the blocks as a batch, where there are any.

    Args:
        query: [1, heads, length, width]; `key` and `value` as well, of fewer heads.
        attention_mask: [blocks, 1, longest block, longest block with its beginning].

    Returns:
        [1, length, heads, width], and no weights.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_blocks is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    queries = _gathered(query, attention_blocks.queries)
    keys, values = (_gathered(states, attention_blocks.keys) for states in (key, value))
    # for blocks as small as these, plain products are faster than the fused kernel for CPUs
    with sdpa_kernel(SDPBackend.MATH):
        output = sdpa_attention_forward(module, queries, keys, values, attention_mask, **settings)[0]
    return output.flatten(0, 1).index_select(0, attention_blocks.back)[None], None


def _gathered(states: Tensor, places: Tensor) -> Tensor:
    """[1, heads, length, width] and [blocks, n] -> [blocks, heads, n, width]."""
    rows = states[0].transpose(0, 1)  # [length, heads, width]
    return rows.index_select(0, places.flatten()).unflatten(0, places.shape).transpose(1, 2)
