"""Difficulty as the official script computes it, to say how ours differs and why.

The official rank_score_compute.py scores the same formula on other tokens: instruction and output are joined as text
without separator or chat template and tokenised at once, special tokens included; the response is taken to start
where the instruction tokenised alone ends; 2,048 tokens are kept from the left, and a row of which no response is
left scores 0, "easiest". Instruction text is cleaned first: "Input: " and "Output: " lose their space and the ends
are stripped. Scores of zero do not enter the mean. Here those rows of tokens are made and given to the one scorer,
which is what parity is about; tests compare with a literal rendering of the script.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compeffdist.difficulty.scorer import score_rows
from compeffdist.measures.measure import Observed
from compeffdist.measures.ranking import RANKING_EXCLUDING_ZERO
from compeffdist.student.batching import TokenRow

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OFFICIAL_MAX_LENGTH = 2048
SAME_WITHIN = 1e-3
"""Scores closer than this count as the same: a nucleus edge moves by a token between batches."""


@dataclass(frozen=True)
class OfficialRow:
    """A row as the official script tokenises it."""

    tokens: TokenRow
    """Empty response: nothing was left after truncation."""
    truncated: bool
    boundary_shifted: bool
    """Whether joint tokenisation does not start with the instruction's own tokens, so that the first response token
    is assigned wrongly."""


@dataclass(frozen=True)
class Difference:
    """One row scored both ways. None: our scorer rejects it."""

    id: str
    official: float
    ours: float | None
    reason: str
    """`same`, or the first that applies of `truncation`, `boundary`, `tokenisation` and `template`, or
    `unexplained`."""


def clean_instruction(instruction: str) -> str:
    """An instruction as the script rewrites it before it joins the output."""
    return instruction.replace("Input: ", "Input:").replace("Output: ", "Output:").strip()


def official_row(
    tokenizer: "PreTrainedTokenizerBase", row_id: str, prompt: str, response: str, max_length: int = OFFICIAL_MAX_LENGTH
) -> OfficialRow:
    """Tokens of one row, and what happened to them."""
    instruction = clean_instruction(prompt)
    alone = list(tokenizer(instruction).input_ids)
    joined = list(tokenizer(instruction + response).input_ids)
    kept = joined[:max_length]
    tokens = TokenRow(row_id, kept[: len(alone)], kept[len(alone) :])
    return OfficialRow(tokens, len(joined) > max_length, joined[: len(alone)] != alone)


def score_official(
    model: Any, rows: Sequence[OfficialRow], *, top_p: float, token_budget: int, max_length: int = OFFICIAL_MAX_LENGTH
) -> dict[str, float]:
    """Official difficulty by row id; 0 for a row without response tokens, and for one without a token before them."""
    tokens = [row.tokens for row in rows]
    scores, rejects = score_rows(model, tokens, top_p=top_p, max_length=max_length, token_budget=token_budget)
    found = {score.id: RANKING_EXCLUDING_ZERO.compute(Observed(score)) for score in scores}
    return found | {row_id: 0.0 for row_id, reason in rejects if reason == "empty_response"}


def compare(
    rows: Sequence[OfficialRow],
    official: Mapping[str, float],
    ours: Mapping[str, float],
    plain: Mapping[str, float],
    responses: Mapping[str, Sequence[int]],
) -> list[Difference]:
    """Why each row differs.

    Args:
        official: scores by `score_official`.
        ours: scores as the pipeline computes them; a row it rejects is absent.
        plain: scores of our tokens for the response after the official tokens of the instruction, which tells what
            tokenisation did from what the chat template did.
        responses: our response tokens.
    """
    differences = []
    for row in rows:
        row_id = row.tokens.id
        score, own = official[row_id], ours.get(row_id)
        if own is not None and abs(own - score) <= SAME_WITHIN:
            reason = "same"
        elif row.truncated:
            reason = "truncation"
        elif row.boundary_shifted:
            reason = "boundary"
        elif list(row.tokens.response_ids) != list(responses[row_id]):
            reason = "tokenisation"
        elif own is not None and abs(plain[row_id] - score) <= SAME_WITHIN:
            reason = "template"
        else:
            reason = "unexplained"
        differences.append(Difference(row_id, score, own, reason))
    return differences


def summarise(differences: Sequence[Difference]) -> dict[str, Any]:
    """Rows and mean absolute difference by reason, and the rank correlation of both scores over all rows."""
    from scipy.stats import spearmanr

    counts = Counter(difference.reason for difference in differences)
    both = [(each.official, each.ours) for each in differences if each.ours is not None]
    by_reason = {}
    for reason, count in counts.most_common():
        gaps = [
            abs(each.official - each.ours) for each in differences if each.reason == reason and each.ours is not None
        ]
        by_reason[reason] = {"rows": count, "mean_difference": sum(gaps) / len(gaps) if gaps else None}
    return {
        "rows": len(differences),
        "rejected_by_ours": len(differences) - len(both),
        "reasons": by_reason,
        "spearman": float(spearmanr(*zip(*both, strict=True)).statistic) if len(both) > 1 else None,
    }
