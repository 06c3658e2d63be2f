"""A causal language model taken apart: its body, and the head that turns hidden states into logits.

Scoring needs logits at response positions only. A model's own `forward` computes them at every position of
every row (1 GB for 2,048 positions of a 128K vocabulary in fp32), so the body is run alone and the head
applied to the positions picked. What a model does to its logits after the head (soft cap, scale) differs by
architecture and version; rather than trust a list of names, `split_model` runs the model's own forward once
on a few tokens and takes the adjustment that reproduces it, or refuses the model.

The comparison of logits happens in fp32 at least: bf16 logits hold 8 bits, so that dozens of tokens tie.
For a model in half precision this costs one fp32 copy of the head's weight (113 MB for 49,152 x 576), made
once: casting it anew for each chunk of positions would cost about as much memory traffic as the product
itself.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from operator import mul
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError
from compeffdist.student.batching import TokenRow, collate

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PROBE_TOKENS = 8
PROBE_TOLERANCE = 0.03
"""Largest accepted difference, relative to the largest logit: above what bf16 rounding does in a head (about
0.01), below what a missed soft cap or scale does."""


@dataclass(frozen=True)
class SplitModel:
    """A model's body and head. `vocabulary` is the width of the logits."""

    body: "Module"
    weight: "Tensor"
    """Output embedding, (vocabulary, hidden), fp32 or wider."""
    bias: "Tensor | None"
    adjust: "Callable[[Tensor], Tensor]"
    reuses_prefixes: bool = False
    """Whether the body can go on from the keys and values of a prefix, found out by trying."""

    @property
    def vocabulary(self) -> int:
        return int(self.weight.shape[0])

    def hidden(self, input_ids: "Tensor", prefix: Any = None) -> "Tensor":
        """Last hidden states, (rows, length, hidden), in the body's dtype; rows are padded on the right.

        No attention mask: no position of a causal model sees what stands to its right, and under a mask a
        padded position may attend to nothing at all, whose NaN then spreads (seen with sliding windows).

        Args:
            input_ids: (rows, length), without the tokens of `prefix`.
            prefix: from `read_prefix`; every row goes on from it, and it stays as it is.
        """
        if prefix is None:
            output = self.body(input_ids=input_ids, use_cache=False)
        else:
            cache = _spread(prefix, len(input_ids))
            output = self.body(input_ids=input_ids, past_key_values=cache, use_cache=True)
        return output.last_hidden_state

    def read_prefix(self, prefix_ids: "Tensor") -> Any:
        """Keys and values of the tokens (1, length) that rows have in common."""
        return self.body(input_ids=prefix_ids, use_cache=True).past_key_values

    def logits(self, hidden: "Tensor") -> "Tensor":
        """Logits of picked positions: (positions, hidden) -> (positions, vocabulary), fp32 or wider."""
        from torch.nn.functional import linear

        return self.adjust(linear(hidden.to(self.weight.dtype), self.weight, self.bias))


class PrefixReader:
    """Reads batches of rows, and keeps the keys and values of the last prefix: batches of a group follow each other."""

    def __init__(self, parts: SplitModel) -> None:
        self.parts = parts
        self.ids: list[int] = []
        self.cache: Any = None

    def states(self, rows: Sequence[TokenRow], shared: int) -> "Tensor":
        """States that predict response tokens, (positions, hidden), of rows that share their first `shared` tokens."""
        ids, places, _ = (tensor.to(self.parts.weight.device) for tensor in collate(rows, shared))
        cache = self.read(list(rows[0].prompt_ids[:shared])) if shared else None
        return self.parts.hidden(ids, cache)[places[0], places[1]]

    def read(self, ids: list[int]) -> Any:
        import torch

        if ids != self.ids:
            self.cache = None  # the former one's memory first
            self.cache = self.parts.read_prefix(torch.tensor([ids], device=self.parts.weight.device))
            self.ids = ids
        return self.cache


def split_model(model: Any) -> SplitModel:
    """Take a transformers causal language model apart (a PEFT wrapper is looked through) and check the parts. Raises
    UserError if body and head do not give back the model's own logits."""
    import torch

    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    name = type(model).__name__
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    body = model.get_decoder() if hasattr(model, "get_decoder") else None
    if body is None or head is None or not isinstance(getattr(head, "weight", None), torch.Tensor):
        raise UserError(f"{name}: scoring needs a causal language model with a body and an output embedding")
    wide = torch.promote_types(head.weight.dtype, torch.float32)
    bias = getattr(head, "bias", None)
    plain = SplitModel(
        body=body,
        weight=head.weight.detach().to(wide),
        bias=None if bias is None else bias.detach().to(wide),
        adjust=_unchanged,
    )
    adjust = _matching_adjustment(model, plain, name)
    return replace(plain, adjust=adjust, reuses_prefixes=_goes_on_from_prefixes(plain))


def _matching_adjustment(model: Any, plain: SplitModel, name: str) -> "Callable[[Tensor], Tensor]":
    """The adjustment under which body and head come closest to the model's own logits on a few tokens."""
    import torch

    with torch.inference_mode():
        ids = torch.linspace(0, plain.vocabulary - 1, PROBE_TOKENS, device=plain.weight.device).long()[None]
        own = model(input_ids=ids, use_cache=False).logits[0].to(plain.weight.dtype)
        hidden = plain.hidden(ids)[0]
        if hidden.shape[-1] != plain.weight.shape[1] or own.shape[-1] != plain.vocabulary:
            raise UserError(f"{name}: its head is more than one matrix over its body's last hidden state")
        raw = plain.logits(hidden)
        candidates = _adjustments(model.config)
        errors = [float((adjust(raw) - own).abs().max() / own.abs().max()) for adjust in candidates]
    best = min(range(len(errors)), key=errors.__getitem__)
    if not errors[best] <= PROBE_TOLERANCE:
        raise UserError(
            f"{name}: its logits are not those of its output embedding (off by {errors[best]:.2g} of the "
            "largest); merge an adapter that changes the head, or look for NaN in the weights"
        )
    return candidates[best]


def _goes_on_from_prefixes(plain: SplitModel) -> bool:
    """Whether two rows that share half of the probe get the same states from its keys and values as alone."""
    import torch

    with torch.inference_mode():
        ids = torch.linspace(0, plain.vocabulary - 1, PROBE_TOKENS, device=plain.weight.device).long()
        half = PROBE_TOKENS // 2
        endings = torch.stack([ids[half:], ids[half:].flip(0)])  # (2, half)
        whole = torch.cat([ids[:half].expand(2, -1), endings], dim=1)
        try:
            prefix = plain.read_prefix(ids[None, :half])
            apart = plain.hidden(endings, prefix)
        except torch.OutOfMemoryError:  # no trait of the model
            raise
        except (AttributeError, TypeError, ValueError, NotImplementedError, RuntimeError):
            return False  # a body without a cache, or with one that is not keys and values by layer
        together = plain.hidden(whole)[:, half:]
        return bool((apart - together).abs().max() <= PROBE_TOLERANCE * together.abs().max())


def _spread(prefix: Any, rows: int) -> Any:
    """A cache in which each of `rows` rows starts from the one row of `prefix`, without a copy of it.

    Going on from it makes new tensors of prefix and suffix together, so that `prefix` can be used again. Raises
    TypeError if the cache, or a layer of it, is of a kind that keeps more than growing keys and values.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    if not isinstance(prefix, DynamicCache) or not all(isinstance(layer, DynamicLayer) for layer in prefix.layers):
        raise TypeError(f"prefixes cannot be shared through a {type(prefix).__name__}")
    spread: Any = copy(prefix)
    spread.layers = [copy(layer) for layer in prefix.layers]
    for layer in spread.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return spread


def _adjustments(config: Any) -> "list[Callable[[Tensor], Tensor]]":
    """What the model may do to its logits, by the settings in its config; nothing at all comes first."""
    config = config.get_text_config()
    choices: list[Callable[[Tensor], Tensor]] = [_unchanged]
    if cap := getattr(config, "final_logit_softcapping", None):
        choices.append(lambda logits: cap * (logits / cap).tanh())
    for key in ("logit_scale", "logits_scaling", "lm_head_multiplier"):
        if scale := getattr(config, key, None):
            # the same key multiplies in one architecture and divides in another
            choices += [partial(mul, scale), partial(mul, 1.0 / scale)]
    return choices


def _unchanged(logits: "Tensor") -> "Tensor":
    return logits
