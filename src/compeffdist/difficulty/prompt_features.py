"""What the warmed-up student shows of a prompt before there is an answer: its state, and how unsure it is.

One forward pass a prompt, up to the position that predicts the first response token; what an instruction's
prompts have in common is read once. With p the distribution of that token, z its logits and n its nucleus size
at top_p, the features of a prompt are the last hidden state there and

    entropy      of p, in nats
    confidence   largest probability
    margin       largest probability less the second largest
    nucleus      log n
    collision    sum of p squared
    expected     sum over a of share(a) s(a)
    likely       sum over a of share(a) p(a) s(a), over sum over a of share(a) p(a)
    length       log of the prompt's tokens

where a runs over the first tokens of the answers that the instruction has had to other texts, share(a) says how often,
and s(a) is the ranking score of a as the answer's first token (`scorer`). The last two stand in for the answer that
is not there: with a closed label set they are the difficulty of each label, averaged over labels as the teacher
gives them, and as the student would choose among those.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.difficulty.batching import TokenRow, plan_batches
from compeffdist.difficulty.head import SplitModel, split_model
from compeffdist.difficulty.scorer import BYTES_PER_LOGIT, WORKSPACE_BYTES, PrefixReader, collate, nucleus_sizes
from compeffdist.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Features = NDArray[np.float32]

SIGNALS = ("entropy", "confidence", "margin", "nucleus", "collision", "expected", "likely", "length")
"""The features beside the state, in their order."""
MOST_OPENINGS = 16
"""First tokens remembered of an instruction's answers: the most frequent."""

Openings = Mapping[int, float]
"""First token of an answer -> its share among the answers an instruction has had; the shares sum to 1."""


@dataclass(frozen=True)
class PromptRow:
    """A prompt, tokenised, and how answers to its instruction on other texts begin (empty if it has had none)."""

    id: str
    prompt_ids: Sequence[int]
    openings: Openings


def count_openings(first_tokens: Counter[int]) -> Openings:
    """Shares of the most frequent first tokens; of equally frequent ones, the smaller ids."""
    counts = sorted(first_tokens.items(), key=lambda item: (-item[1], item[0]))[:MOST_OPENINGS]
    total = sum(count for _, count in counts)
    return {token: count / total for token, count in counts}


def read_prompts(
    model: Any,
    rows: Sequence[PromptRow],
    *,
    top_p: float,
    token_budget: int,
    workspace_bytes: int = WORKSPACE_BYTES,
    progress: Progress | None = None,
) -> "Features":
    """Features of each prompt, (rows, hidden + len(SIGNALS)), in the order of `rows`: the state, then the signals.

    Args:
        model: as for `score_rows`; put in evaluation mode.
        rows: with unique ids and no empty prompt; a row whose states are not finite has features that are not.
        token_budget, workspace_bytes: as for `score_rows`.

    Raises:
        UserError: on an architecture that cannot be taken apart.
    """
    import torch

    model.eval()
    parts = split_model(model)
    # with any one response token, the last prompt position is the one that is read
    tokens = [TokenRow(row.id, row.prompt_ids, [0]) for row in rows]
    found = np.empty((len(rows), parts.weight.shape[1] + len(SIGNALS)), dtype=np.float32)
    prefix = PrefixReader(parts)
    chunk = max(1, workspace_bytes // (BYTES_PER_LOGIT * parts.vocabulary))
    with torch.inference_mode():
        for batch in plan_batches(tokens, token_budget, share=parts.reuses_prefixes):
            states = _last_states(parts, prefix, [tokens[index] for index in batch.rows], batch.prefix)
            for start in range(0, len(states), chunk):
                places = list(batch.rows[start : start + chunk])
                found[places] = _features(parts, states[start : start + chunk], [rows[i] for i in places], top_p)
            if progress is not None:
                progress.advance(len(batch.rows), sum(tokens[index].width for index in batch.rows))
    return found


def _last_states(parts: SplitModel, prefix: PrefixReader, rows: Sequence[TokenRow], shared: int) -> "Tensor":
    """(rows, hidden): the states that predict the first response token."""
    device = parts.weight.device
    ids, places, _ = (tensor.to(device) for tensor in collate(rows, shared))
    cache = prefix.read(list(rows[0].prompt_ids[:shared])) if shared else None
    return parts.hidden(ids, cache)[places[0], places[1]]


def _features(parts: SplitModel, states: "Tensor", rows: Sequence[PromptRow], top_p: float) -> "Features":
    import torch

    logits = parts.logits(states)  # (rows, vocabulary)
    log_p = logits.log_softmax(dim=1)
    p = log_p.exp()
    first, second = p.topk(2, dim=1).values.unbind(dim=1)
    sizes = nucleus_sizes(logits, top_p, torch.float32 if logits.device.type == "mps" else torch.float64)
    expected, likely = _awaited(logits, log_p, sizes, [row.openings for row in rows])
    lengths = torch.tensor([float(len(row.prompt_ids)) for row in rows], device=logits.device).log()
    signals = [-(p * log_p).sum(dim=1), first, first - second, sizes.log(), (p * p).sum(dim=1)]
    columns = [column.float()[:, None] for column in (*signals, expected, likely, lengths)]
    features: Features = torch.cat([states.float(), *columns], dim=1).cpu().numpy()
    return features


def _awaited(
    logits: "Tensor", log_p: "Tensor", sizes: "Tensor", openings: Sequence[Openings]
) -> "tuple[Tensor, Tensor]":
    """expected, likely: (rows,) each, 0 for a row without openings."""
    import torch

    tokens, shares = (torch.from_numpy(array).to(logits.device) for array in _padded(openings))  # (rows, MOST_OPENINGS)
    chosen = logits.gather(1, tokens)
    ranks = torch.stack([torch.count_nonzero(logits > one[:, None], dim=1) for one in chosen.unbind(dim=1)], dim=1)
    scores = (ranks / sizes[:, None]).clamp(max=1.0).float()
    # in logarithms: of answers that are all unlikely, the ratios still say which is less so
    weights = (log_p.gather(1, tokens) + shares.log()).softmax(dim=1).nan_to_num()
    return (shares * scores).sum(dim=1), (weights * scores).sum(dim=1)


def _padded(openings: Sequence[Openings]) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
    """Tokens and shares as arrays, (rows, MOST_OPENINGS); what is left over is token 0 with share 0."""
    tokens = np.zeros((len(openings), MOST_OPENINGS), dtype=np.int64)
    shares = np.zeros((len(openings), MOST_OPENINGS), dtype=np.float32)
    for place, row in enumerate(openings):
        tokens[place, : len(row)] = list(row)
        shares[place, : len(row)] = list(row.values())
    return tokens, shares
