"""Triplets in, scored triplets out: formatted, tokenised and scored, every row accounted for."""

from collections.abc import Sequence
from pathlib import Path

from compeffdist.difficulty.batching import TokenRow
from compeffdist.difficulty.scorer import score_rows
from compeffdist.difficulty.shards import RowScore
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.progress import Progress
from compeffdist.records import Reject, ScoredTriplet, Triplet, by_id, content_id
from compeffdist.student.loading import load_student

STAGE = "score_difficulty"


def scorer_identity(weights: str, params: DifficultyParams, system: str) -> str:
    """What a score depends on. `weights` is a hash over model weights, tokenizer and chat template."""
    return content_id("scorer", {"weights": weights, "system": system, "settings": params.model_dump()})


def score_triplets(
    triplets: Sequence[Triplet],
    model_folder: Path,
    params: DifficultyParams,
    runtime: RuntimeParams,
    *,
    scorer_id: str,
    system: str,
    base_folder: Path | None = None,
) -> tuple[list[ScoredTriplet], list[Reject]]:
    """Score triplets under the warmed-up student in `model_folder`, in the chat format it was trained in.

    Args:
        triplets: with unique ids.
        model_folder: a model folder, or an adapter folder whose base is in `base_folder`.
        scorer_id: from `scorer_identity`; becomes part of every record's id.
        system: the student's system prompt, as in its training.

    Returns:
        Scores in the order of `triplets`, and a reject for each triplet without one. The end of the turn is
        not scored, as in the official code.

    Raises:
        UserError: as `load_student` and `score_rows` do.
    """
    model, tokenizer = load_student(model_folder, runtime.device, base=base_folder)
    rows = [
        TokenRow(
            id=triplet.id,
            prompt_ids=encode_prompt(tokenizer, system, triplet.prompt),
            response_ids=encode_response(tokenizer, triplet.response, end=False),
        )
        for triplet in triplets
    ]
    with Progress("difficulty", total=len(rows)) as progress:
        scores, reasons = score_rows(
            model,
            rows,
            top_p=params.top_p,
            max_length=params.max_length,
            token_budget=runtime.token_budget,
            progress=progress,
        )
    parents = by_id(triplets)
    scored = [_record(score, parents[score.id], params, scorer_id) for score in scores]
    rejects = [Reject(stage=STAGE, record_id=row_id, reason=reason) for row_id, reason in reasons]
    assert len(triplets) == len(scored) + len(rejects)
    return scored, rejects


def _record(score: RowScore, triplet: Triplet, params: DifficultyParams, scorer_id: str) -> ScoredTriplet:
    ranking = score.ranking_excluding_zero if params.exclude_zero else score.ranking_all
    return ScoredTriplet(
        sample_id=triplet.id,
        instruction_id=triplet.instruction_id,
        scorer_id=scorer_id,
        ranking=ranking,
        ranking_excluding_zero=score.ranking_excluding_zero,
        ranking_all=score.ranking_all,
        perplexity=score.perplexity,
        tokens=score.tokens,
        miss_rate=score.miss_rate,
        nucleus_miss_rate=score.nucleus_miss_rate,
    )
