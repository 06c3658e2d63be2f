"""Triplets in, scored triplets out: formatted, tokenised and scored, every row accounted for."""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compeffdist.difficulty.ifd import instruction_following_difficulty, without_prompts
from compeffdist.difficulty.scorer import score_rows
from compeffdist.difficulty.shards import RowScore, ScoreShards
from compeffdist.files import hash_file
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.progress import Progress
from compeffdist.records import Reject, ScoredTriplet, Triplet, by_id, content_id
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student

STAGE = "score_difficulty"
OWN_CODE = ("student/batching.py", "student/head.py", "difficulty/scorer.py")
"""From the tokens of a row to its score; how texts become tokens shows in the tokens."""


def scorer_identity(weights: str, params: DifficultyParams, system: str) -> str:
    """What the values of a record depend on. `weights` is a hash over model weights, tokenizer and chat template."""
    settings = params.model_dump(exclude={"mode", "proxy", "max_length"})  # they decide what is scored, not how
    return content_id("scorer", {"weights": weights, "system": system, "settings": settings})


def score_triplets(
    triplets: Sequence[Triplet],
    model_folder: Path,
    params: DifficultyParams,
    runtime: RuntimeParams,
    *,
    weights: str,
    system: str,
    base_folder: Path | None = None,
) -> tuple[list[ScoredTriplet], list[Reject]]:
    """Score triplets under the warmed-up student in `model_folder`, in the chat format it was trained in.

    Args:
        triplets: with unique ids.
        model_folder: a model folder, or an adapter folder whose base is in `base_folder`.
        weights: as in `scorer_identity`, which becomes part of every record's id.
        system: the student's system prompt, as in its training.

    Returns:
        Scores in the order of `triplets`, and a reject for each triplet without one. The end of the turn is
        not scored, as in the official code.

    Raises:
        UserError: as `load_student` and `score_rows` do.
    """
    model, tokenizer = load_student(model_folder, runtime.device, base=base_folder)
    bare_prompt = encode_prompt(tokenizer, system, "")
    rows = [
        TokenRow(
            id=triplet.id,
            prompt_ids=encode_prompt(tokenizer, system, triplet.prompt),
            response_ids=encode_response(tokenizer, triplet.response, end=False),
        )
        for triplet in triplets
    ]
    scores, reasons = score_both_ways(model, rows, bare_prompt, params, runtime, weights)
    parents = by_id(triplets)
    scorer_id = scorer_identity(weights, params, system)
    scored = [_record(score, ifd, parents[score.id], params, scorer_id) for score, ifd in scores]
    rejects = [Reject(stage=STAGE, record_id=row_id, reason=reason) for row_id, reason in reasons]
    assert len(triplets) == len(scored) + len(rejects)
    return scored, rejects


def score_both_ways(
    model: Any,
    rows: Sequence[TokenRow],
    bare_prompt: Sequence[int],
    params: DifficultyParams,
    runtime: RuntimeParams,
    weights: str,
) -> tuple[list[tuple[RowScore, float | None]], list[tuple[str, str]]]:
    """Score rows and, if `params.ifd`, their responses without the prompt; batches are kept in `runtime.scores`.

    Returns:
        Score and IFD of each row that has them, and (id, reason) of every other row. A row whose prompt-free
        pass fails is rejected, not left without a value.
    """
    # No knob but top_p changes a row's score. Device, dtype and code are not in scorer_id: they change the last bits
    # of a score, not what it is a score of.
    place = {
        "weights": weights,
        "top_p": params.top_p,
        "device": str(model.device),
        "dtype": str(model.dtype),
        "code": code_versions(),
    }
    passes = [rows, without_prompts(rows, bare_prompt)] if params.ifd else [rows]
    results = []
    with (
        ScoreShards(Path(runtime.scores) / content_id("scores", place)) as shards,
        Progress("difficulty", total=len(rows) * len(passes)) as progress,
    ):
        for each in passes:
            scores, reasons = score_rows(
                model,
                each,
                top_p=params.top_p,
                max_length=params.max_length,
                token_budget=runtime.token_budget,
                workspace_bytes=runtime.scoring_workspace_mib << 20,
                shards=shards,
                progress=progress,
            )
            results.append(({score.id: score for score in scores}, dict(reasons)))
    prompted, rejects = results[0]
    if not params.ifd:
        return [(score, None) for score in prompted.values()], list(rejects.items())
    bare, bare_rejects = results[1]
    rejects = {row.id: reason for row in rows if (reason := rejects.get(row.id) or bare_rejects.get(row.id))}
    both: list[tuple[RowScore, float | None]] = [
        (score, instruction_following_difficulty(score, bare[score.id]))
        for score in prompted.values()
        if score.id not in rejects
    ]
    return both, list(rejects.items())


def code_versions() -> dict[str, str]:
    """Of what computes a score: another version may round otherwise, or mend a fault, whose scores must not live on."""
    own = {name: hash_file(Path(__file__).parents[1] / name) for name in OWN_CODE}
    return own | {name: importlib.metadata.version(name) for name in ("torch", "transformers")}


def _record(
    score: RowScore, ifd: float | None, triplet: Triplet, params: DifficultyParams, scorer_id: str
) -> ScoredTriplet:
    ranking = score.ranking_excluding_zero if params.exclude_zero else score.ranking_all
    return ScoredTriplet(
        sample_id=triplet.id,
        pair_id=triplet.pair_id,
        instruction_id=triplet.instruction_id,
        scorer_id=scorer_id,
        ranking=ranking,
        ranking_excluding_zero=score.ranking_excluding_zero,
        ranking_all=score.ranking_all,
        perplexity=score.perplexity,
        tokens=score.tokens,
        miss_rate=score.miss_rate,
        nucleus_miss_rate=score.nucleus_miss_rate,
        ifd=ifd,
    )
