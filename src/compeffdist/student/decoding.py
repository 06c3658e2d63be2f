"""Greedy decoding of a batch that a row leaves soon after its answer has ended.

Answers differ in length: most of a student's end after some twenty tokens, and a rare one runs on to the limit. The
library's own loop goes on with every row until the last has ended.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from compeffdist.student.batching import batches

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel
    from xgrammar import CompiledGrammar, GrammarMatcher

HELD = 4
"""Tokens of prompts and answers that a batch may come to, for each that it may read at once: what is kept of a token
takes a fraction of the memory that reading it does."""
WORTH_LEAVING = 0.75
"""Share of a batch's rows that may be left before the ended ones leave it: keys and values are copied then."""


def greedy_tokens(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    most: int,
    end: int,
    grammar: "CompiledGrammar | None" = None,
) -> list[list[int]]:
    """Each row's most likely tokens, one after another, up to `end` (not among them) or `most` tokens.

    Args:
        prompts: each row's token ids, one at least.
        grammar: what every answer is held to.
    """
    import torch
    from transformers import DynamicCache
    from xgrammar import GrammarMatcher

    inputs = padded(prompts, end, model.device)
    ids, mask, positions = inputs["input_ids"], inputs["attention_mask"], inputs["position_ids"]
    answers: list[list[int]] = [[] for _ in prompts]
    matchers = [GrammarMatcher(grammar) for _ in prompts] if grammar else []
    rows = list(range(len(prompts)))  # place in the batch -> row
    going_on = set(rows)
    cache = DynamicCache(config=model.config)
    body: Any = model
    with torch.inference_mode():
        while True:
            read = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "past_key_values": cache}
            logits = body(**read, use_cache=True, logits_to_keep=1).logits[:, -1]  # [rows, vocabulary]
            if matchers:
                logits = _allowed(logits, [matchers[row] if row in going_on else None for row in rows])
            chosen = logits.argmax(-1)
            for row, token in zip(rows, chosen.tolist(), strict=True):
                if row not in going_on:
                    continue
                if token != end:
                    answers[row].append(token)
                    if matchers:
                        matchers[row].accept_token(token)
                if token == end or len(answers[row]) == most:
                    going_on.remove(row)
            if not going_on:
                return answers
            if len(going_on) <= WORTH_LEAVING * len(rows):
                kept = [place for place, row in enumerate(rows) if row in going_on]
                places = torch.tensor(kept, device=chosen.device)
                cache.batch_select_indices(places)
                chosen, mask, positions = chosen[places], mask[places], positions[places]
                rows = [rows[place] for place in kept]
            ids, positions = chosen[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)


def rows_may_leave(model: "PreTrainedModel") -> bool:
    """Whether what the model keeps of a row can be dropped while the others go on: not what layers keep that are no
    attention."""
    from transformers import DynamicCache

    layers = DynamicCache(config=model.config).layers
    return bool(layers) and all(hasattr(layer, "batch_select_indices") for layer in layers)


def library_tokens(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    most: int,
    end: int,
    grammar: "CompiledGrammar | None" = None,
) -> list[list[int]]:
    """As `greedy_tokens`, by the library's own loop, for models that go on from something else than a row's keys and
    values."""
    import torch
    from transformers import GenerationConfig
    from xgrammar.contrib.hf import LogitsProcessor

    inputs = padded(prompts, end, model.device)
    # our own configuration: a model's may ask for sampling or a repetition penalty
    greedy = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=end, pad_token_id=end)
    held = [LogitsProcessor(grammar)] if grammar else []
    generator: Any = model
    with torch.inference_mode():
        out = generator.generate(**inputs, generation_config=greedy, logits_processor=held)
    rows = out[:, inputs["input_ids"].shape[1] :].tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]


def answer_batches(lengths: Sequence[int], most: int, token_budget: int) -> Iterator[list[int]]:
    """Indices of the prompts that are answered together: padded, they are read within the budget, and come to at most
    HELD times as much with answers of `most` tokens. A prompt that is longer is alone.

    Args:
        lengths: of the prompts, in tokens.
    """
    return batches([max(length, -(-(length + most) // HELD)) for length in lengths], token_budget)


def padded(rows: Sequence[Sequence[int]], fill: int, device: "torch.device | str") -> "dict[str, Tensor]":
    """Rows as input_ids, attention_mask and position_ids, each [rows, longest], padded on the left with `fill`, which
    the mask leaves out."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([[fill] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def _allowed(logits: "Tensor", matchers: "Sequence[GrammarMatcher | None]") -> "Tensor":
    """Logits [rows, vocabulary], in float32, with -inf for each token that a row may not go on with."""
    import xgrammar

    mask = xgrammar.allocate_token_bitmask(*logits.shape)  # all allowed
    for place, matcher in enumerate(matchers):
        if matcher is not None:
            matcher.fill_next_token_bitmask(mask, place)
    logits = logits.float()
    xgrammar.apply_token_bitmask_inplace(logits, mask.to(logits.device))
    return logits
