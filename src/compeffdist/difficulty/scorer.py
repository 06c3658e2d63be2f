"""Ranking-based difficulty under a causal language model: exact, batched, no sort of the vocabulary.

For response token t with logits z (temperature 1) and probabilities p = softmax(z), sorted descending:

    x = number of tokens with a logit strictly above the true token's   (0-based rank; a tie is no miss)
    n = 1 + number of prefix sums of p strictly below top_p, at most the vocabulary   (nucleus size)
    s = x / n if x < n, else 1

Source: arXiv 2510.24425, section on difficulty. For each response token the pass hands on x, s and the token's negative
log-likelihood; `measures/` makes one number a row of them.

What is fast about it: rows of similar length share a batch under a token budget; the beginning an
instruction's rows share is read once (`student.batching`); the head is applied at response positions only; a token
that is the model's first choice costs a comparison and a log-softmax; one whose betters hold the nucleus's mass
already scores 1 and costs a sum more; only the others find n, by a top-k that grows only for rows whose nucleus
is wider. Prefix sums are taken in fp64, so n does not depend on the order of summation. The oracle in
tests/difficulty sorts the whole vocabulary, token by token, and must agree.

What it costs: hidden states of a row differ in the last bits with the batch it is in (fp32: about 1e-6;
bf16: 1e-2), so scores are exact for the logits computed but a nucleus edge may move by a token between
batch plans. The plan depends on the rows and the budget only, never on the order in which rows are given; a
batch is kept whole in the `shards` or not at all, so a run that was resumed gives the bytes of one that was not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from compeffdist.difficulty.shards import RowFigures, ScoreShards, batch_key
from compeffdist.errors import UserError
from compeffdist.progress import Progress
from compeffdist.student.batching import TokenRow, collate, plan_batches
from compeffdist.student.head import PrefixReader, SplitModel, split_model

if TYPE_CHECKING:
    from torch import Tensor, dtype
    from torch.nn import Module

WORKSPACE_BYTES = 256 << 20
"""Default bound on all tensors as wide as the vocabulary, whatever its size; positions are chunked to keep it."""
BYTES_PER_LOGIT = 56
"""At the worst, in fp32 with all tokens missed and flat nuclei; tests measure it. 14 tensors as wide as the logits."""
FIRST_TOP_K = 128
TOP_K_GROWTH = 8
MASS_MARGIN = 1e-4
"""By how much a sum of fp32 probabilities must exceed top_p for a token to be outside the nucleus beyond doubt."""


def score_rows(
    model: "Module",
    rows: Sequence[TokenRow],
    *,
    top_p: float,
    max_length: int,
    token_budget: int,
    workspace_bytes: int = WORKSPACE_BYTES,
    share_prefixes: bool = True,
    shards: ScoreShards | None = None,
    progress: Progress | None = None,
) -> tuple[list[RowFigures], list[tuple[str, str]]]:
    """Score rows under a transformers causal language model, which is put in evaluation mode.

    Args:
        model: any architecture whose logits are its output embedding over its body's last hidden state,
            soft-capped or scaled or neither; it runs where it lies, in the dtype it was loaded in.
        rows: with unique ids.
        top_p: mass of the nucleus, in (0, 1).
        max_length: longest prompt plus response, in tokens.
        token_budget: tokens of one batch, padding included; a single row may exceed it.
        workspace_bytes: bound on the tensors as wide as the vocabulary; one position may exceed it.
        share_prefixes: read what rows have in common once where it pays and the model's cache allows it.
        shards: batches scored before, which are taken from there, and where new ones are kept.
        progress: advanced by rows and tokens as batches finish.

    Returns:
        Figures in the order of `rows`, and (id, reason) of every other row: `empty_prompt`, `empty_response`,
        `too_long`, `non_finite_logits`.

    Raises:
        UserError: on an architecture that cannot be taken apart, a token id the model does not have, or a
            damaged shard.
    """
    import torch

    reasons = [_unscorable(row, max_length) for row in rows]
    scorable = [row for row, reason in zip(rows, reasons, strict=True) if reason is None]
    scores: dict[str, RowFigures] = {}
    if scorable:
        model.eval()
        parts = split_model(model)
        _check_vocabulary(scorable, parts.vocabulary)
        plan = plan_batches(scorable, token_budget, share=share_prefixes and parts.reuses_prefixes)
        prefix = PrefixReader(parts)
        with torch.inference_mode():
            for batch in plan:
                chosen = [scorable[index] for index in batch.rows]
                key = batch_key(chosen, batch.prefix)
                scored = shards.get(key) if shards is not None else None
                if scored is None:
                    scored = _score_batch(parts, prefix, chosen, batch.prefix, top_p, workspace_bytes)
                    if shards is not None:
                        shards.put(key, scored)
                scores.update((score.id, score) for score in scored if score is not None)
                if progress is not None:
                    progress.advance(len(chosen), sum(row.width for row in chosen))
    rejects = [
        (row.id, reason or "non_finite_logits")
        for row, reason in zip(rows, reasons, strict=True)
        if row.id not in scores
    ]
    return [scores[row.id] for row in rows if row.id in scores], rejects


def token_figures(logits: "Tensor", targets: "Tensor", top_p: float) -> "tuple[Tensor, Tensor, Tensor]":
    """Rank x, score s and negative log-likelihood (nats) of each target token, as at the head of this module.

    Args:
        logits: (positions, vocabulary), fp32 or wider.
        targets: (positions,), token ids.

    Returns:
        Three tensors (positions,): ranks, scores in fp64, and losses. A loss that is not finite marks logits that
        hold NaN or infinity; rank and score at that position mean nothing.
    """
    import torch

    true = logits.gather(1, targets[:, None])  # (positions, 1)
    # torch's fused log-softmax is several times faster on a CPU than its log-sum-exp
    losses = -torch.log_softmax(logits, dim=1).gather(1, targets[:, None])[:, 0]
    ranks = torch.count_nonzero(logits > true, dim=1)
    # MPS has no fp64: there the nucleus is found in the logits' own precision
    wide = logits.dtype if logits.device.type == "mps" else torch.float64
    scores = torch.zeros(len(logits), dtype=wide, device=logits.device)
    missed = ranks.nonzero()[:, 0]
    if len(missed):
        above = _mass_above(logits[missed], true[missed])
        scores[missed] = 1.0
        near = missed[above < top_p + MASS_MARGIN]
        if len(near):
            sizes = nucleus_sizes(logits[near], top_p, wide)
            scores[near] = (ranks[near].to(wide) / sizes).clamp(max=1.0)
    return ranks, scores, losses


def _mass_above(logits: "Tensor", true: "Tensor") -> "Tensor":
    """Probability of all tokens with a logit above `true` (positions, 1), in the logits' precision."""
    import torch

    return torch.softmax(logits, dim=1).masked_fill_(logits <= true, 0.0).sum(dim=1)


def nucleus_sizes(logits: "Tensor", top_p: float, wide: "dtype") -> "Tensor":
    """1 + the number of prefix sums of descending probabilities strictly below `top_p`, per row of `logits`.

    The vocabulary is not sorted: the largest k are enough once their mass reaches `top_p`; k grows for the
    rows left. In-place steps keep the memory to what BYTES_PER_LOGIT says.
    """
    import torch

    rows, vocabulary = logits.shape
    probabilities = torch.softmax(logits, dim=1, dtype=wide)
    sizes = torch.full((rows,), vocabulary, dtype=torch.int64, device=logits.device)
    left = torch.arange(rows, device=logits.device)
    k = min(FIRST_TOP_K, vocabulary)
    while True:
        masses = probabilities.topk(k, dim=1).values.cumsum_(dim=1)  # (left, k)
        reached = masses[:, -1] >= top_p
        sizes[left[reached]] = 1 + (masses[reached] < top_p).sum(dim=1)
        left, probabilities = left[~reached], probabilities[~reached]
        if k == vocabulary or not len(left):
            return sizes  # a row whose rounded mass never reaches top_p keeps the whole vocabulary
        k = min(k * TOP_K_GROWTH, vocabulary)


def _score_batch(
    parts: SplitModel, prefix: PrefixReader, rows: Sequence[TokenRow], shared: int, top_p: float, workspace_bytes: int
) -> list[RowFigures | None]:
    """Figures of the rows of one batch, in order; None where logits are not finite."""
    import torch

    device = parts.weight.device
    ids, places, targets = (tensor.to(device) for tensor in collate(rows, shared))
    cache = prefix.read(list(rows[0].prompt_ids[:shared])) if shared else None
    hidden = parts.hidden(ids, cache)[places[0], places[1]]  # (positions, hidden)
    bytes_per_logit = BYTES_PER_LOGIT * parts.weight.element_size() // 4
    chunk = max(1, workspace_bytes // (bytes_per_logit * parts.vocabulary))
    starts = np.cumsum([0, *(len(row.response_ids) for row in rows)])
    wanted = {int(start): row.choices for start, row in zip(starts, rows, strict=False) if row.choices}
    pieces = []  # (3, chunk) each
    chosen: dict[int, list[float]] = {}
    for number, (states, expected) in enumerate(zip(hidden.split(chunk), targets.split(chunk), strict=True)):
        logits = parts.logits(states)
        ranks, scores, losses = token_figures(logits, expected, top_p)
        # ranks are exact in fp64, and in fp32 for any vocabulary below 16 million
        pieces.append(torch.stack([ranks.to(scores.dtype), scores, losses.to(scores.dtype)]))
        for place in range(number * chunk, number * chunk + len(logits)):
            if place in wanted:
                chosen[place] = logits[place - number * chunk, list(wanted[place])].tolist()
    columns = torch.cat(pieces, dim=1).cpu().double().numpy()  # but for choices, the one copy to the host
    by_row = zip(rows, starts, np.split(columns, starts[1:-1], axis=1), strict=False)
    return [
        RowFigures(ranks.astype(np.int64), scores, losses, row.id, chosen.get(int(start), []))
        if np.isfinite(losses).all()
        else None
        for row, start, (ranks, scores, losses) in by_row
    ]


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
