"""What the warmed-up student shows of a prompt before there is an answer: its state, and how unsure it is.

One forward pass a prompt, up to the position that predicts the first response token; what an instruction's
prompts have in common is read once. With p the distribution of that token, z its logits and n its nucleus size
at top_p, there are the last hidden state there, the signals

    entropy      of p, in nats
    confidence   largest probability
    margin       largest probability less the second largest
    nucleus      log n
    collision    sum of p squared
    length       log of the prompt's tokens

and, for each first token a of the answers that the instruction has had, log p(a) and the ranking score s(a) that a
would have as the answer's first token (`scorer`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compeffdist.arrays import Booleans, Integers
from compeffdist.difficulty.scorer import BYTES_PER_LOGIT, WORKSPACE_BYTES, nucleus_sizes
from compeffdist.progress import Progress
from compeffdist.student.batching import TokenRow, plan_batches
from compeffdist.student.head import PrefixReader, SplitModel, split_model

if TYPE_CHECKING:
    from torch import Tensor

Floats32 = NDArray[np.float32]

SIGNALS = ("entropy", "confidence", "margin", "nucleus", "collision", "length")
MOST_OPENINGS = 16
"""First tokens remembered of an instruction's answers: the most frequent."""


def prompt_row(row_id: str, prompt_ids: Sequence[int], openings: Sequence[int]) -> TokenRow:
    """A prompt, and its instruction's openings as choices, at most MOST_OPENINGS. With any one response token, the last
    prompt position is the one that is read."""
    return TokenRow(row_id, prompt_ids, [0], choices=openings)


@dataclass(frozen=True)
class PromptFeatures:
    """What n prompts show, in one order."""

    states: Floats32
    """(n, hidden)"""
    signals: Floats32
    """(n, len(SIGNALS))"""
    log_p: Floats32
    """(n, MOST_OPENINGS): of the row's openings, in their order; 0 where it has fewer."""
    scores: Floats32
    """The same of their ranking scores."""

    def rows(self, places: Integers | slice) -> "PromptFeatures":
        """Some of the rows."""
        return PromptFeatures(*(part[places] for part in self._parts()))

    def finite(self) -> Booleans:
        """(n,): which rows hold numbers only."""
        return np.all([np.isfinite(part).all(axis=1) for part in self._parts()], axis=0)

    def _parts(self) -> tuple[Floats32, ...]:
        return self.states, self.signals, self.log_p, self.scores


def read_prompts(
    model: Any,
    rows: Sequence[TokenRow],
    *,
    top_p: float,
    token_budget: int,
    workspace_bytes: int = WORKSPACE_BYTES,
    progress: Progress | None = None,
) -> PromptFeatures:
    """Features of each prompt, in the order of `rows`; other arguments as for `score_rows`. Raises UserError on an
    architecture that cannot be taken apart.

    Args:
        rows: of `prompt_row`, with unique ids and no empty prompt; where states are not finite, no features are.
    """
    import torch

    model.eval()
    parts = split_model(model)
    widths = (parts.weight.shape[1], len(SIGNALS), MOST_OPENINGS, MOST_OPENINGS)
    found = [np.empty((len(rows), width), dtype=np.float32) for width in widths]
    prefix = PrefixReader(parts)
    chunk = max(1, workspace_bytes // (BYTES_PER_LOGIT * parts.vocabulary))
    with torch.inference_mode():
        for batch in plan_batches(rows, token_budget, share=parts.reuses_prefixes):
            states = prefix.states([rows[index] for index in batch.rows], batch.prefix)
            for start in range(0, len(states), chunk):
                places = list(batch.rows[start : start + chunk])
                shown = _features(parts, states[start : start + chunk], [rows[i] for i in places], top_p)
                for array, part in zip(found, shown, strict=True):
                    array[places] = part.float().cpu().numpy()
            if progress is not None:
                progress.advance(len(batch.rows), sum(rows[index].width for index in batch.rows))
    return PromptFeatures(*found)


def _features(
    parts: SplitModel, states: "Tensor", rows: Sequence[TokenRow], top_p: float
) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
    """The arrays of `PromptFeatures`, of some rows."""
    import torch

    logits = parts.logits(states)  # (rows, vocabulary)
    log_p = logits.log_softmax(dim=1)
    p = log_p.exp()
    first, second = p.topk(2, dim=1).values.unbind(dim=1)
    sizes = nucleus_sizes(logits, top_p, torch.float32 if logits.device.type == "mps" else torch.float64)
    lengths = torch.tensor([float(len(row.prompt_ids)) for row in rows], device=logits.device).log()
    signals = [-(p * log_p).sum(dim=1), first, first - second, sizes.log(), (p * p).sum(dim=1), lengths]

    tokens = torch.zeros((len(rows), MOST_OPENINGS), dtype=torch.int64)
    there = torch.zeros_like(tokens, dtype=torch.bool)
    for place, row in enumerate(rows):
        tokens[place, : len(row.choices)] = torch.tensor(row.choices, dtype=torch.int64)
        there[place, : len(row.choices)] = True
    tokens, there = tokens.to(logits.device), there.to(logits.device)
    chosen = logits.gather(1, tokens)  # (rows, MOST_OPENINGS)
    ranks = torch.stack([torch.count_nonzero(logits > one[:, None], dim=1) for one in chosen.unbind(dim=1)], dim=1)
    scores = (ranks / sizes[:, None]).clamp(max=1.0)
    return (
        states,
        torch.stack([column.float() for column in signals], dim=1),
        log_p.gather(1, tokens).where(there, 0.0),
        scores.where(there, 0.0),
    )
