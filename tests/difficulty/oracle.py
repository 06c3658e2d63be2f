"""The slow, obvious scorer: one row at a time, the whole vocabulary sorted for every token.

Also what `make bench` measures the real scorer against: it does what the official script does.
"""

from typing import Any

import torch

from compeffdist.difficulty.shards import RowScore
from compeffdist.student.batching import TokenRow


def oracle_token(logits: torch.Tensor, target: int, top_p: float) -> float:
    """Ranking score of one token from its logits (vocabulary,)."""
    rank = sum((logits > logits[target]).tolist())
    descending = torch.softmax(logits.double(), dim=0).sort(descending=True).values
    size = min(1 + int((descending.cumsum(0) < top_p).sum()), len(logits))
    return rank / size if rank < size else 1.0


def oracle_row(model: Any, row: TokenRow, top_p: float) -> RowScore:
    """Score of one row from a forward pass of its own."""
    return oracle_scores(row, logits_alone(model, row), top_p)


def logits_alone(model: Any, row: TokenRow) -> torch.Tensor:
    """Logits (response tokens, vocabulary) of one row: its own forward pass, over every position, no padding."""
    with torch.no_grad():
        ids = torch.tensor([[*row.prompt_ids, *row.response_ids]])
        logits = model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1]
    wide: torch.Tensor = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide


def oracle_scores(row: TokenRow, logits: torch.Tensor, top_p: float) -> RowScore:
    """Score of a row from the logits (response tokens, vocabulary) that predict its response."""
    scores = [oracle_token(at, target, top_p) for at, target in zip(logits, row.response_ids, strict=True)]
    losses = [
        -torch.log_softmax(at.double(), dim=0)[target].item()
        for at, target in zip(logits, row.response_ids, strict=True)
    ]
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
