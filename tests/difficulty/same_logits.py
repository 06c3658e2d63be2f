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
from compeffdist.difficulty.shards import RowFigures
from compeffdist.student.batching import TokenRow

from .oracle import logits_alone, oracle_figures, oracle_token, slow_measures


def scored_with_logits(
    model: Any, rows: Sequence[TokenRow], **settings: Any
) -> tuple[list[RowFigures], dict[str, torch.Tensor]]:
    """Scores by `score_rows`, and by row id the logits (response tokens, vocabulary) they come from."""
    seen: dict[str, torch.Tensor] = {}
    pieces: list[torch.Tensor] = []
    score_batch, token_figures = scorer._score_batch, scorer.token_figures

    def by_chunk(logits: torch.Tensor, targets: torch.Tensor, top_p: float) -> Any:
        pieces.append(logits.clone())
        return token_figures(logits, targets, top_p)

    def by_batch(parts: Any, prefix: Any, chosen: Sequence[TokenRow], *rest: Any) -> Any:
        pieces.clear()
        scores = score_batch(parts, prefix, chosen, *rest)
        lengths = [len(row.response_ids) for row in chosen]
        seen.update(zip((row.id for row in chosen), torch.cat(pieces).split(lengths), strict=True))
        return scores

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorer, "token_figures", by_chunk)
        patch.setattr(scorer, "_score_batch", by_batch)
        scores, rejects = scorer.score_rows(model, rows, **settings)
    assert rejects == []
    return scores, seen


def assert_scores_are_the_oracles(
    rows: Sequence[TokenRow], scores: Sequence[RowFigures], seen: dict[str, torch.Tensor], top_p: float
) -> None:
    """From the same logits: the same ranks, scores within 1e-6, perplexity to 1e-5 of itself; a single token's loss,
    the difference of two numbers near 30 in fp32, to 1e-4."""
    for row, ours in zip(rows, scores, strict=True):
        truth = oracle_figures(row, seen[row.id], top_p)
        assert (ours.id, ours.ranks.tolist()) == (truth.id, truth.ranks.tolist())
        assert ours.scores == pytest.approx(truth.scores, abs=1e-6), row.id
        assert ours.losses == pytest.approx(truth.losses, rel=1e-5, abs=1e-4), row.id
        perplexities = [slow_measures(figures)["perplexity"] for figures in (ours, truth)]
        assert perplexities[0] == pytest.approx(perplexities[1], rel=1e-5), row.id


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
