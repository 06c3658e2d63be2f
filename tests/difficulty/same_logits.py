"""What the scorer saw: the logits it computed, row by row, so that scoring can be judged apart from rounding in a body.

A row in a batch, padded or going on from a shared prefix, has other last bits in its logits than a row alone. Two
claims cover this, each tested as it stands: from the same logits the scorer's result is the oracle's within 1e-6, and
the logits are those of the row alone but for rounding, so that a token's score differs only at an edge.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from compeffdist.difficulty import scorer
from compeffdist.difficulty.shards import RowScore
from compeffdist.student.batching import TokenRow

from .oracle import logits_alone, oracle_scores, oracle_token


def scored_with_logits(
    model: Any, rows: Sequence[TokenRow], **settings: Any
) -> tuple[list[RowScore], dict[str, torch.Tensor]]:
    """Scores by `score_rows`, and by row id the logits (response tokens, vocabulary) they come from."""
    seen: dict[str, torch.Tensor] = {}
    pieces: list[torch.Tensor] = []
    score_batch, token_scores = scorer._score_batch, scorer.token_scores

    def by_chunk(logits: torch.Tensor, targets: torch.Tensor, top_p: float) -> Any:
        pieces.append(logits.clone())
        return token_scores(logits, targets, top_p)

    def by_batch(parts: Any, prefix: Any, chosen: Sequence[TokenRow], *rest: Any) -> Any:
        pieces.clear()
        scores = score_batch(parts, prefix, chosen, *rest)
        lengths = [len(row.response_ids) for row in chosen]
        seen.update(zip((row.id for row in chosen), torch.cat(pieces).split(lengths), strict=True))
        return scores

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorer, "token_scores", by_chunk)
        patch.setattr(scorer, "_score_batch", by_batch)
        scores, rejects = scorer.score_rows(model, rows, **settings)
    assert rejects == []
    return scores, seen


def assert_scores_are_the_oracles(
    rows: Sequence[TokenRow], scores: Sequence[RowScore], seen: dict[str, torch.Tensor], top_p: float
) -> None:
    """From the same logits: scores and rates within 1e-6; perplexity to 1e-5 of itself, as its losses are fp32."""
    for row, ours in zip(rows, scores, strict=True):
        truth = oracle_scores(row, seen[row.id], top_p)
        for field in ("ranking_excluding_zero", "ranking_all", "miss_rate", "nucleus_miss_rate"):
            assert getattr(ours, field) == pytest.approx(getattr(truth, field), abs=1e-6), (row.id, field)
        assert ours.perplexity == pytest.approx(truth.perplexity, rel=1e-5)
        assert (ours.id, ours.tokens) == (truth.id, truth.tokens)


def assert_logits_are_those_of_rows_alone(
    model: Any, rows: Sequence[TokenRow], seen: dict[str, torch.Tensor], top_p: float, epsilon: float
) -> None:
    """Logits differ by `epsilon` of the largest at most, and a token's score only where it stands at an edge."""
    for row in rows:
        alone = logits_alone(model, row)
        margin = epsilon * float(alone.abs().max())
        assert float((seen[row.id] - alone).abs().max()) <= margin, row.id
        for ours, theirs, target in zip(seen[row.id], alone, row.response_ids, strict=True):
            scores = oracle_token(ours, target, top_p), oracle_token(theirs, target, top_p)
            assert scores[0] == pytest.approx(scores[1], abs=1e-6) or _at_an_edge(theirs, target, top_p, margin), row.id


def _at_an_edge(logits: torch.Tensor, target: int, top_p: float, margin: float) -> bool:
    """Whether logits that move by `margin` can change the token's rank, or the size of the nucleus."""
    if int(((logits - logits[target]).abs() <= 2 * margin).sum()) > 1:
        return True
    sums = torch.softmax(logits.double(), dim=0).sort(descending=True).values.cumsum(0)
    return bool(((sums - top_p).abs() <= 2 * margin).any())  # a log-probability moves by 2 margins at most
