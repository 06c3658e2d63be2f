"""Ranking-based difficulty under a causal language model: exact, batched, no sort of the vocabulary.

For response token t with logits z (temperature 1) and probabilities p = softmax(z), sorted descending:

    x = number of tokens with a logit strictly above the true token's   (0-based rank; a tie is no miss)
    n = 1 + number of prefix sums of p strictly below top_p, at most the vocabulary   (nucleus size)
    s = x / n if x < n, else 1

    ranking_excluding_zero = mean of s over tokens with s > 0, or 0 if there is none
    ranking_all            = mean of s over all response tokens

Source: arXiv 2510.24425, section on difficulty; exclusion of zero scores as in the official
rank_score_compute.py, whose threshold of 1e-6 is the same thing for any vocabulary below a million (the
smallest s > 0 is 1/n).

What is fast about it: rows of similar length share a batch under a token budget; the head is applied at
response positions only; a token that is the model's first choice costs a comparison and a log-sum-exp; the
others find n by a top-k that grows only for rows whose nucleus is wider. Prefix sums are taken in fp64, so
n does not depend on the order of summation. The oracle in tests/difficulty sorts the whole vocabulary,
token by token, and must agree.

What it costs: hidden states of a row differ in the last bits with the batch it is in (fp32: about 1e-6;
bf16: 1e-2), so scores are exact for the logits computed but a nucleus edge may move by a token between
batch plans. The plan depends on ids, lengths and budget only, never on the order in which rows are given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compeffdist.difficulty.head import SplitModel, split_model
from compeffdist.errors import UserError
from compeffdist.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, dtype
    from torch.nn import Module

WORKSPACE_BYTES = 256 << 20
"""Bound on all tensors as wide as the vocabulary, whatever its size; positions are chunked to keep it."""
BYTES_PER_LOGIT = 28
"""At the worst, all tokens missed with flat nuclei: fp32 logits and two copies, top-k with its int64 indices."""
FIRST_TOP_K = 128
TOP_K_GROWTH = 8


@dataclass(frozen=True)
class TokenRow:
    """Prompt and response, tokenised apart and joined as ids. No end token in `response_ids`."""

    id: str
    prompt_ids: Sequence[int]
    response_ids: Sequence[int]


@dataclass(frozen=True)
class RowScore:
    """Difficulty of one row. Scores and rates lie in [0, 1]; `tokens` counts response tokens."""

    id: str
    ranking_excluding_zero: float
    ranking_all: float
    perplexity: float
    tokens: int
    miss_rate: float
    """Share of response tokens that are not the model's first choice."""
    nucleus_miss_rate: float
    """Share of response tokens outside the top-p nucleus."""


def score_rows(
    model: "Module",
    rows: Sequence[TokenRow],
    *,
    top_p: float,
    max_length: int,
    token_budget: int,
    progress: Progress | None = None,
) -> tuple[list[RowScore], list[tuple[str, str]]]:
    """Score rows under a transformers causal language model, which is put in evaluation mode.

    Args:
        model: any architecture whose logits are its output embedding over its body's last hidden state,
            soft-capped or scaled or neither; it runs where it lies, in the dtype it was loaded in.
        rows: with unique ids.
        top_p: mass of the nucleus, in (0, 1).
        max_length: longest prompt plus response, in tokens.
        token_budget: tokens of one batch, padding included; a single row may exceed it.
        progress: advanced by rows and tokens as batches finish.

    Returns:
        Scores in the order of `rows`, and (id, reason) of every other row: `empty_prompt`, `empty_response`,
        `too_long`, `non_finite_logits`.

    Raises:
        UserError: on an architecture that cannot be taken apart, or a token id the model does not have.
    """
    import torch

    reasons = [_unscorable(row, max_length) for row in rows]
    scorable = [index for index, reason in enumerate(reasons) if reason is None]
    scores: dict[int, RowScore] = {}
    if scorable:
        model.eval()
        parts = split_model(model)
        _check_vocabulary([rows[index] for index in scorable], parts.vocabulary)
        with torch.inference_mode():
            for batch in plan_batches([(rows[index], index) for index in scorable], token_budget):
                scored = _score_batch(parts, [rows[index] for index in batch], top_p)
                scores.update((index, score) for index, score in zip(batch, scored, strict=True) if score)
                if progress is not None:
                    progress.advance(len(batch), sum(_width(rows[index]) for index in batch))
    rejects = [(row.id, reasons[i] or "non_finite_logits") for i, row in enumerate(rows) if i not in scores]
    return [scores[index] for index in sorted(scores)], rejects


def plan_batches(rows: Sequence[tuple[TokenRow, int]], token_budget: int) -> Iterator[list[int]]:
    """Group row indices into batches of rows x longest row <= `token_budget`, longest rows first.

    Longest first, so that a budget too large for the memory fails at the start; ties go by id.
    """
    batch: list[int] = []
    longest = 0
    for row, index in sorted(rows, key=lambda item: (-_width(item[0]), item[0].id)):
        if batch and (len(batch) + 1) * longest > token_budget:
            yield batch
            batch = []
        longest = longest if batch else _width(row)
        batch.append(index)
    if batch:
        yield batch


def token_scores(logits: "Tensor", targets: "Tensor", top_p: float) -> "tuple[Tensor, Tensor]":
    """Score and negative log-likelihood (nats) of each target token: the formula at the head of this module.

    Args:
        logits: (positions, vocabulary), fp32 or wider.
        targets: (positions,), token ids.

    Returns:
        Two tensors (positions,): scores in fp64 and losses. A loss that is not finite marks logits that
        hold NaN or infinity; the score at that position means nothing.
    """
    import torch

    true = logits.gather(1, targets[:, None])  # (positions, 1)
    losses = torch.logsumexp(logits, dim=1) - true[:, 0]
    ranks = (logits > true).sum(dim=1)
    # MPS has no fp64: there the nucleus is found in the logits' own precision
    wide = logits.dtype if logits.device.type == "mps" else torch.float64
    scores = torch.zeros(len(logits), dtype=wide, device=logits.device)
    missed = ranks.nonzero()[:, 0]
    if len(missed):
        sizes = nucleus_sizes(logits[missed], top_p, wide)
        scores[missed] = (ranks[missed].to(wide) / sizes).clamp(max=1.0)
    return scores, losses


def nucleus_sizes(logits: "Tensor", top_p: float, wide: "dtype") -> "Tensor":
    """1 + the number of prefix sums of descending probabilities strictly below `top_p`, per row of `logits`.

    The vocabulary is not sorted: the largest k are enough once their mass reaches `top_p`; k grows for the
    rows left. In-place steps keep the memory to what BYTES_PER_LOGIT says.
    """
    import torch

    rows, vocabulary = logits.shape
    log_mass = torch.logsumexp(logits.to(wide), dim=1, keepdim=True)
    sizes = torch.full((rows,), vocabulary, dtype=torch.int64, device=logits.device)
    left = torch.arange(rows, device=logits.device)
    k = min(FIRST_TOP_K, vocabulary)
    while True:
        largest = logits[left].topk(k, dim=1).values.to(wide)  # (left, k), descending
        masses = largest.sub_(log_mass[left]).exp_().cumsum_(dim=1)
        reached = masses[:, -1] >= top_p
        sizes[left[reached]] = 1 + (masses[reached] < top_p).sum(dim=1)
        left = left[~reached]
        if k == vocabulary or not len(left):
            return sizes  # a row whose rounded mass never reaches top_p keeps the whole vocabulary
        k = min(k * TOP_K_GROWTH, vocabulary)


def _score_batch(parts: SplitModel, rows: Sequence[TokenRow], top_p: float) -> list[RowScore | None]:
    """Scores of the rows of one batch, in order; None where logits are not finite."""
    import torch

    device = parts.weight.device
    ids, places, targets = (tensor.to(device) for tensor in collate(rows))
    hidden = parts.hidden(ids)[places[0], places[1]]  # (positions, hidden)
    chunk = max(1, WORKSPACE_BYTES // (BYTES_PER_LOGIT * parts.vocabulary))
    pieces = []  # (2, chunk) each
    for states, expected in zip(hidden.split(chunk), targets.split(chunk), strict=True):
        scores, losses = token_scores(parts.logits(states), expected, top_p)
        pieces.append(torch.stack([scores, losses.to(scores.dtype)]))
    columns = torch.cat(pieces, dim=1).cpu().numpy()  # the one copy to the host
    ends = np.cumsum([len(row.response_ids) for row in rows])[:-1]
    by_row = np.split(columns, ends, axis=1)
    return [_row_score(row.id, *row_columns) for row, row_columns in zip(rows, by_row, strict=True)]


def collate(rows: Sequence[TokenRow]) -> "tuple[Tensor, Tensor, Tensor]":
    """Right-padded ids (rows, longest), places (2, positions) that predict response tokens, and the targets.

    With padding on the right, positions count from 0 in every row, as in a row alone. The last response token
    is only predicted, never read.
    """
    import torch

    longest = max(_width(row) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : _width(row)] = [*row.prompt_ids, *row.response_ids[:-1]]
    numbers = np.repeat(np.arange(len(rows)), [len(row.response_ids) for row in rows])
    columns = np.concatenate([np.arange(len(row.prompt_ids) - 1, _width(row)) for row in rows])
    targets = np.concatenate([np.asarray(row.response_ids, dtype=np.int64) for row in rows])
    return (
        torch.from_numpy(ids),
        torch.from_numpy(np.stack([numbers, columns])),
        torch.from_numpy(targets),
    )


def _row_score(row_id: str, scores: "NDArray[np.float64]", losses: "NDArray[np.float64]") -> RowScore | None:
    """Means over the tokens of one row; None if any loss, or the perplexity itself, is not finite."""
    with np.errstate(over="ignore"):
        perplexity = float(np.exp(losses.mean(dtype=np.float64)))
    if not np.isfinite(losses).all() or not np.isfinite(perplexity):
        return None
    missed = scores[scores > 0]
    return RowScore(
        id=row_id,
        ranking_excluding_zero=float(missed.mean()) if len(missed) else 0.0,
        ranking_all=float(scores.mean()),
        perplexity=perplexity,
        tokens=len(scores),
        miss_rate=len(missed) / len(scores),
        nucleus_miss_rate=float((scores == 1.0).mean()),
    )


def _width(row: TokenRow) -> int:
    """Tokens the body reads for a row."""
    return len(row.prompt_ids) + len(row.response_ids) - 1


def _unscorable(row: TokenRow, max_length: int) -> str | None:
    if not len(row.prompt_ids):
        return "empty_prompt"
    if not len(row.response_ids):
        return "empty_response"
    return "too_long" if len(row.prompt_ids) + len(row.response_ids) > max_length else None


def _check_vocabulary(rows: Sequence[TokenRow], vocabulary: int) -> None:
    for row in rows:
        low = min(min(row.prompt_ids), min(row.response_ids))
        high = max(max(row.prompt_ids), max(row.response_ids))
        if low < 0 or high >= vocabulary:
            raise UserError(
                f"{row.id}: token id {low if low < 0 else high} is outside the model's vocabulary of "
                f"{vocabulary}: tokenizer and model do not belong together"
            )
