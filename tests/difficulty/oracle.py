"""The slow, obvious scorer: one row at a time, the whole vocabulary sorted for every token.

Also what `make bench` measures the real scorer against: it does what the official script does.
"""

import math
from typing import Any

import numpy as np
import torch

from compeffdist.difficulty.shards import RowFigures
from compeffdist.student.batching import TokenRow


def oracle_token(logits: torch.Tensor, target: int, top_p: float) -> float:
    """Ranking score of one token from its logits (vocabulary,)."""
    rank = sum((logits > logits[target]).tolist())
    descending = torch.softmax(logits.double(), dim=0).sort(descending=True).values
    size = min(1 + int((descending.cumsum(0) < top_p).sum()), len(logits))
    return rank / size if rank < size else 1.0


def oracle_row(model: Any, row: TokenRow, top_p: float) -> RowFigures:
    """Figures of one row from a forward pass of its own."""
    return oracle_figures(row, logits_alone(model, row), top_p)


def logits_alone(model: Any, row: TokenRow) -> torch.Tensor:
    """Logits (response tokens, vocabulary) of one row: its own forward pass, over every position, no padding."""
    with torch.no_grad():
        ids = torch.tensor([[*row.prompt_ids, *row.response_ids]])
        logits = model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1]
    wide: torch.Tensor = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide


def oracle_figures(row: TokenRow, logits: torch.Tensor, top_p: float) -> RowFigures:
    """Figures of a row from the logits (response tokens, vocabulary) that predict its response."""
    tokens = list(zip(logits, row.response_ids, strict=True))
    return RowFigures(
        ranks=np.array([sum((at > at[target]).tolist()) for at, target in tokens]),
        scores=np.array([oracle_token(at, target, top_p) for at, target in tokens]),
        losses=np.array([-torch.log_softmax(at.double(), dim=0)[target].item() for at, target in tokens]),
        id=row.id,
    )


def slow_measures(figures: RowFigures) -> dict[str, float]:
    """The measures that need the response alone, in plain Python, token by token."""
    ranks, scores, losses = (getattr(figures, name).tolist() for name in ("ranks", "scores", "losses"))
    missed = [score for score in scores if score > 1e-6]
    return {
        "ranking_excluding_zero": sum(missed) / len(missed) if missed else 0.0,
        "ranking_all": sum(scores) / len(scores),
        "perplexity": math.exp(sum(losses) / len(losses)),
        "tokens": len(scores),
        "miss_rate": len(missed) / len(scores),
        "nucleus_miss_rate": sum(score == 1.0 for score in scores) / len(scores),
        "rank_surprisal_ratio": sum(min(rank + 1, 100) for rank in ranks) / max(sum(losses), 1e-12),
    }
