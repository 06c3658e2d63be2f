"""Triplets in, scored triplets out: formatted, tokenised and scored, every row accounted for."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from compeffdist.difficulty.ifd import instruction_following_difficulty, without_prompts
from compeffdist.difficulty.label_ranks import further_rows, label_difficulty, with_choices
from compeffdist.difficulty.scorer import score_rows
from compeffdist.difficulty.shards import RowScore, ScoreShards
from compeffdist.files import hash_file
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.progress import Progress
from compeffdist.records import Reject, ScoredTriplet, Triplet, by_id, content_id
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import label_trie

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
    choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[list[ScoredTriplet], list[Reject]]:
    """Score triplets under the warmed-up student in `model_folder`, in the chat format it was trained in.

    Args:
        triplets: with unique ids.
        model_folder: a model folder, or an adapter folder whose base is in `base_folder`.
        weights: as in `scorer_identity`, which becomes part of every record's id.
        system: the student's system prompt, as in its training.
        choices: instruction id -> its labels, of those whose answers are one of few; such a triplet is ranked among
            them as well (`label_ranks`).

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
    tries = {key: label_trie(tokenizer, labels) for key, labels in choices.items()}
    branched = {t.id: tries[t.instruction_id] for t in triplets if t.response in choices.get(t.instruction_id, ())}
    rows = [with_choices(row, branched[row.id]) if row.id in branched else row for row in rows]
    scores, reasons = score_both_ways(model, rows, bare_prompt, params, runtime, weights)
    by_row = {score.id: score for score, _ in scores}
    if params.label_ranks:
        further = [
            more
            for row in rows
            if row.id in by_row and row.id in branched
            for more in further_rows(row, branched[row.id])
        ]
        by_row |= _score_passes(model, [further], params, runtime, weights)[0][0]
    parents = by_id(triplets)
    scorer_id = scorer_identity(weights, params, system)
    scored = []
    for score, ifd in scores:
        parent, trie = parents[score.id], branched.get(score.id)
        label = label_difficulty(score.id, parent.response, trie, by_row) if trie is not None else None
        scored.append(_record(score, ifd, label, parent, params, scorer_id))
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
    passes = [rows, without_prompts(rows, bare_prompt)] if params.ifd else [rows]
    results = _score_passes(model, passes, params, runtime, weights)
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


def _score_passes(
    model: Any, passes: Sequence[Sequence[TokenRow]], params: DifficultyParams, runtime: RuntimeParams, weights: str
) -> list[tuple[dict[str, RowScore], dict[str, str]]]:
    """For each pass the scores and the reasons of its other rows, by id."""
    # No knob but top_p changes a row's score. Device, dtype and code are not in scorer_id: they change the last bits
    # of a score, not what it is a score of.
    place = {
        "weights": weights,
        "top_p": params.top_p,
        "device": str(model.device),
        "dtype": str(model.dtype),
        "code": code_versions(),
    }
    results = []
    with (
        ScoreShards(Path(runtime.scores) / content_id("scores", place)) as shards,
        Progress("difficulty", total=sum(map(len, passes))) as progress,
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
    return results


def code_versions() -> dict[str, str]:
    """Of what computes a score: another version may round otherwise, or mend a fault, whose scores must not live on."""
    own = {name: hash_file(Path(__file__).parents[1] / name) for name in OWN_CODE}
    return own | {name: importlib.metadata.version(name) for name in ("torch", "transformers")}


def _record(
    score: RowScore,
    ifd: float | None,
    label: tuple[float, float] | None,
    triplet: Triplet,
    params: DifficultyParams,
    scorer_id: str,
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
        label_rank=label[0] if label else None,
        label_surprise=label[1] if label else None,
    )
