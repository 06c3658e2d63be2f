"""What the warmed-up student shows of a prompt before there is an answer: its uncertainty at the first token.

One forward pass a prompt, the head at the last position only. With p the distribution of the first response
token, the features of a prompt are

    entropy      of p, in nats
    confidence   largest probability
    margin       largest probability less the second largest
    nucleus      log of the nucleus size n at top_p
    collision    sum of p squared
    expected     mean ranking score of the first tokens of answers this instruction has had, by their shares
    likely       the same, each first token's share multiplied by its probability
    length       log of the prompt's tokens

`expected` and `likely` stand in for the unknown answer: for a closed label set they are the difficulty of each
label, averaged over labels as the teacher gives them, and as the student would choose among them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.difficulty.head import SplitModel, split_model
from compeffdist.difficulty.scorer import TokenRow, collate, nucleus_sizes, plan_batches, token_scores
from compeffdist.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

FEATURES = ("entropy", "confidence", "margin", "nucleus", "collision", "expected", "likely", "length")
MOST_OPENINGS = 16
"""First tokens remembered of an instruction, the most frequent ones."""

Openings = Mapping[int, float]
"""First token of an answer -> its share among the answers an instruction has had."""


@dataclass(frozen=True)
class PromptRow:
    """A prompt, tokenised, and how answers to its instruction have begun (empty if none is known)."""

    id: str
    prompt_ids: Sequence[int]
    openings: Openings


def count_openings(first_tokens: Sequence[int]) -> Openings:
    """Shares of the most frequent first tokens; of equally frequent ones, the smaller ids."""
    counts = sorted(Counter(first_tokens).items(), key=lambda item: (-item[1], item[0]))[:MOST_OPENINGS]
    total = sum(count for _, count in counts)
    return {token: count / total for token, count in counts}


def read_prompts(
    model: Any, rows: Sequence[PromptRow], *, top_p: float, token_budget: int, progress: Progress | None = None
) -> "Floats":
    """Features of each prompt, (rows, len(FEATURES)), in the order of `rows`; NaN where logits are not finite.

    Args:
        model: as for `score_rows`; put in evaluation mode.
        rows: with unique ids and no empty prompt.
        token_budget: tokens of one batch, padding included; a single row may exceed it.

    Raises:
        UserError: on an architecture that cannot be taken apart.
    """
    import torch

    found = np.full((len(rows), len(FEATURES)), np.nan)
    if not rows:
        return found
    model.eval()
    parts = split_model(model)
    # any one response token makes the last prompt position the one that is read
    tokens = [TokenRow(row.id, row.prompt_ids, [0]) for row in rows]
    with torch.inference_mode():
        for batch in plan_batches([(row, index) for index, row in enumerate(tokens)], token_budget):
            logits = _first_logits(parts, [tokens[index] for index in batch])
            found[batch, :-3] = _uncertainty(logits, top_p)
            found[batch, -3:-1] = [
                _awaited(logits[place], rows[index].openings, top_p) for place, index in enumerate(batch)
            ]
            found[batch, -1] = [np.log(len(rows[index].prompt_ids)) for index in batch]
            if progress is not None:
                progress.advance(len(batch), sum(len(rows[index].prompt_ids) for index in batch))
    return found


def _first_logits(parts: SplitModel, rows: Sequence[TokenRow]) -> "Tensor":
    """Logits of the first response token, (rows, vocabulary)."""
    device = parts.weight.device
    ids, places, _ = (tensor.to(device) for tensor in collate(rows))
    return parts.logits(parts.hidden(ids)[places[0], places[1]])


def _uncertainty(logits: "Tensor", top_p: float) -> "Floats":
    """entropy, confidence, margin, nucleus, collision: (rows, 5)."""
    import torch

    log_p = logits.log_softmax(dim=1)
    p = log_p.exp()
    first, second = p.topk(2, dim=1).values.unbind(dim=1)
    sizes = nucleus_sizes(logits, top_p, torch.float32 if logits.device.type == "mps" else torch.float64)
    columns = [-(p * log_p).sum(dim=1), first, first - second, sizes.log(), (p * p).sum(dim=1)]
    features: Floats = torch.stack([column.float() for column in columns], dim=1).cpu().numpy().astype(np.float64)
    return features


def _awaited(logits: "Tensor", openings: Openings, top_p: float) -> tuple[float, float]:
    """expected, likely; both 0 where no answer is known."""
    import torch

    if not openings:
        return 0.0, 0.0
    targets = torch.tensor(list(openings), device=logits.device)
    scores, losses = token_scores(logits.expand(len(targets), -1), targets, top_p)
    shares = np.array(list(openings.values()))
    difficulty = scores.cpu().numpy().astype(np.float64)
    log_weights = np.log(shares) - losses.cpu().numpy().astype(np.float64)
    weights = np.exp(log_weights - log_weights.max())
    return float(shares @ difficulty), float(weights @ difficulty / weights.sum())
