"""Asking the student: the likelihood of whole labels, and greedy answers.

Rows are batched under a token budget, padding included, so memory is bounded whatever comes in. For labels, what
prompts have in common (chat frame, instruction, demonstrations) is read once and gone on from, as scoring does it
(`batching`, `head`), and the LM head, in float32 at least, is needed at the last position only.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from compeffdist.errors import UserError
from compeffdist.formatting import encode_prompt, encode_response, end_token_id
from compeffdist.labels import LabelTrie, build_trie
from compeffdist.student.batching import TokenRow, plan_batches
from compeffdist.student.decoding import answer_batches, greedy_tokens, library_tokens, rows_may_leave
from compeffdist.student.head import PrefixReader, SplitModel, split_model
from compeffdist.teacher.chat import compiled_schema

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compeffdist.progress import Progress

_PARTS: "WeakKeyDictionary[PreTrainedModel, SplitModel]" = WeakKeyDictionary()
"""Models taken apart before, for as long as they live: a server asks again and again."""


def label_logprobs(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    labels: Sequence[str],
    *,
    system: str,
    token_budget: int = 4096,
    share: bool = True,
    progress: "Progress | None" = None,
) -> list[dict[str, float]]:
    """Log-probability (nats) of each whole label under decoding constrained to the label set, for each prompt.

    The probabilities of a prompt's labels sum to 1. A prompt is one row for each branching point of the labels' tokens:
    usually one in all (see `labels`). With `share`, what prompts have in common is read once, where it pays and the
    model's cache allows it.

    Raises:
        UserError: if a prompt is longer than the model's context, two labels have the same tokens, or the model cannot
            be taken apart (see `head`).
    """
    import torch

    trie = label_trie(tokenizer, labels)
    encoded = [encode_prompt(tokenizer, system, prompt) for prompt in prompts]
    rows = [[*ids, *branch.path] for ids in encoded for branch in trie.branches]
    _check_context(model, rows, 0)
    scores: list[list[float]] = [[] for _ in rows]
    width = len(trie.branches)
    left = [width] * len(prompts)  # rows of each prompt that are still to be read
    # with any one response token, the last position of a row is the one that is read
    tokens = [TokenRow(f"{number:09d}", row, [0]) for number, row in enumerate(rows)]
    parts = _parts(model)
    prefix = PrefixReader(parts)
    with torch.inference_mode():
        for batch in plan_batches(tokens, token_budget, share=share and parts.reuses_prefixes):
            last = parts.logits(prefix.states([tokens[index] for index in batch.rows], batch.prefix)).cpu()
            for position, index in enumerate(batch.rows):
                children = trie.branches[index % width].children
                scores[index] = last[position, list(children)].tolist()
                left[index // width] -= 1
            if progress is not None:
                finished = sum(not left[prompt] for prompt in {index // width for index in batch.rows})
                progress.advance(finished, tokens=sum(len(rows[index]) for index in batch.rows))
    return [trie.log_probabilities(scores[i * width : (i + 1) * width]) for i in range(len(prompts))]


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    max_new_tokens: int,
    *,
    system: str,
    schema: Mapping[str, Any] | None = None,
    token_budget: int = 4096,
    progress: "Progress | None" = None,
) -> list[str]:
    """Greedy answers to `prompts`, in order, without special tokens and surrounding space.

    Args:
        schema: JSON schema that every answer is held to; one that is cut off is no whole JSON.

    Raises:
        UserError: if a prompt with its answer is longer than the model's context.
    """
    rows = [encode_prompt(tokenizer, system, prompt) for prompt in prompts]
    _check_context(model, rows, max_new_tokens)
    end = end_token_id(tokenizer)
    grammar = None if schema is None else compiled_schema(tokenizer, model.config.vocab_size, end, schema)
    write = greedy_tokens if _goes_on_from_prompts(model) else library_tokens
    answers = [""] * len(rows)
    for batch in answer_batches([len(row) for row in rows], max_new_tokens, token_budget):
        tokens = write(model, [rows[index] for index in batch], max_new_tokens, end, grammar)
        for index, ids in zip(batch, tokens, strict=True):
            answers[index] = str(tokenizer.decode(ids, skip_special_tokens=True)).strip()
        if progress is not None:
            progress.advance(len(batch), tokens=sum(map(len, tokens)))
    return answers


def _goes_on_from_prompts(model: "PreTrainedModel") -> bool:
    """Whether an answer can be written on from what is kept of its prompt, row by row."""
    try:
        return _parts(model).reuses_prefixes and rows_may_leave(model)
    except UserError:  # it cannot be taken apart, which answers do not need
        return False


def label_trie(tokenizer: "PreTrainedTokenizerBase", labels: Sequence[str]) -> LabelTrie:
    """The trie over the labels as responses. Raises UserError if two have the same tokens or one has none."""
    tokens = {label: encode_response(tokenizer, label, end=False) for label in labels}
    try:
        return build_trie(tokens, end_token_id(tokenizer))
    except ValueError as error:
        raise UserError(f"labels {list(labels)}: {error}") from None


def _parts(model: "PreTrainedModel") -> SplitModel:
    """The model taken apart. Its weights must not change between one call and the next."""
    if model not in _PARTS:
        _PARTS[model] = split_model(model)
    return _PARTS[model]


def _check_context(model: "PreTrainedModel", rows: Sequence[Sequence[int]], more: int) -> None:
    limit = getattr(model.config, "max_position_embeddings", None)
    longest = max(map(len, rows), default=0) + more
    if limit is not None and longest > limit:
        raise UserError(f"a prompt takes {longest} tokens with its answer; the model's context holds {limit}")
