"""The slow, obvious scorer: one row at a time, the whole vocabulary sorted for every token.

Also what `make bench` measures the real scorer against: it does what the official script does.
"""

from typing import Any

import torch

from compeffdist.difficulty.batching import TokenRow
from compeffdist.difficulty.shards import RowScore


def oracle_token(logits: torch.Tensor, target: int, top_p: float) -> float:
    """Ranking score of one token from its logits (vocabulary,)."""
    rank = sum((logits > logits[target]).tolist())
    descending = torch.softmax(logits.double(), dim=0).sort(descending=True).values
    size = min(1 + int((descending.cumsum(0) < top_p).sum()), len(logits))
    return rank / size if rank < size else 1.0


def oracle_row(model: Any, row: TokenRow, top_p: float) -> RowScore:
    """Score of one row: a forward pass of its own, over every position, no padding."""
    with torch.no_grad():
        ids = torch.tensor([[*row.prompt_ids, *row.response_ids]])
        logits = model(input_ids=ids).logits[0]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    scores, losses = [], []
    for number, target in enumerate(row.response_ids):
        at = logits[len(row.prompt_ids) + number - 1]
        scores.append(oracle_token(at, target, top_p))
        losses.append(-torch.log_softmax(at, dim=0)[target].item())
    missed = [score for score in scores if score > 1e-6]
    return RowScore(
        id=row.id,
        ranking_excluding_zero=sum(missed) / len(missed) if missed else 0.0,
        ranking_all=sum(scores) / len(scores),
        perplexity=float(torch.tensor(losses).double().mean().exp()),
        tokens=len(scores),
        miss_rate=len(missed) / len(scores),
        nucleus_miss_rate=sum(score == 1.0 for score in scores) / len(scores),
    )
