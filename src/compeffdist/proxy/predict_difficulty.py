"""Scored triplets and pairs without an answer in; a proxy, and the difficulty it predicts for those pairs, out."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.artefacts import SCORED, TRIPLETS
from compeffdist.errors import UserError
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.instructions.rendering import with_text
from compeffdist.params import Params
from compeffdist.progress import Progress
from compeffdist.proxy.fitting import fit_proxy, load_proxy, proxy_id, save_nothing, save_proxy
from compeffdist.proxy.prompt_features import MOST_OPENINGS, PromptFeatures, prompt_row, read_prompts
from compeffdist.proxy.report import Compared, proxy_report
from compeffdist.records import Instruction, Pair, PredictedDifficulty, Reject, ScoredTriplet, Text, Triplet, by_id
from compeffdist.seeds import stage_seed
from compeffdist.student.loading import load_student, read_provenance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STAGE = "predict_difficulty"

Scored = tuple[Triplet, ScoredTriplet]
Unanswered = tuple[Pair, Instruction, Text]


@dataclass(frozen=True)
class Predictions:
    """What came of pairs without an answer. predicted + rejects = pairs."""

    predicted: list[PredictedDifficulty]
    """In the order of the pairs."""
    rejects: list[Reject]
    """`too_long`: the prompt leaves no room for an answer. `non_finite_states`: the student cannot read it."""
    metrics: dict[str, Any]
    """What is to be said of the proxy, on rows held out; empty without pairs."""


def predict_difficulty(
    pairs: Sequence[Unanswered],
    scored: Sequence[Scored],
    params: Params,
    *,
    asked: int,
    warm_up: Path,
    base_folder: Path,
    output: Path,
) -> Predictions:
    """Fit a proxy on scored triplets, write it to `output`, and predict the difficulty of pairs.

    Args:
        pairs: without an answer. None: nothing is loaded or fitted, and `output` says so.
        scored: all by one scorer, the student in `warm_up`.
        asked: pairs that the teacher was asked about for `scored`, refused answers included.
        base_folder: with the base of `warm_up`, if that is an adapter.

    Raises:
        UserError: as `load_student` and `fit_proxy` do.
    """
    if not pairs:
        save_nothing(output)
        return Predictions([], [], {})
    prompts = _read(pairs, scored, params, warm_up, base_folder)
    direct = {score.pair_id: score.ranking for _, score in scored}
    difficulty = np.array([direct.get(key, np.nan) for key in prompts.ids])
    fit = fit_proxy(prompts.features, prompts.instruction_ids, prompts.ids, prompts.given, difficulty)
    scorers = sorted({score.scorer_id for _, score in scored})
    save_proxy(fit.proxy, {"scorer_ids": scorers, "openings": prompts.openings}, output)
    values = load_proxy(output).predict(prompts.features, prompts.instruction_ids)
    found, own_id = dict(zip(prompts.ids, values.tolist(), strict=True)), proxy_id(output)
    report = proxy_report(
        _compared(prompts, fit.held_out, difficulty),
        asked,
        asked + len(pairs),
        stage_seed(params.seed, STAGE),
        overall=_compared(prompts, fit.unseen, difficulty),
    )
    return Predictions(
        [
            PredictedDifficulty(pair_id=p.id, instruction_id=p.instruction_id, proxy_id=own_id, difficulty=found[p.id])
            for p, *_ in pairs
            if p.id in found
        ],
        [Reject(stage=STAGE, record_id=p.id, reason=prompts.reasons[p.id]) for p, *_ in pairs if p.id not in found],
        {"penalty": fit.proxy.heads.ridge.penalty, "slope": fit.proxy.slope, "held_out": report},
    )


def scored_part(triplets: Sequence[Triplet], scored: Sequence[ScoredTriplet]) -> list[Scored]:
    """Triplets with their scores, joined by id. Raises UserError if a score is of a triplet that is not there."""
    known = by_id(triplets)
    for score in scored:
        if score.triplet_id not in known:
            raise UserError(f"{SCORED}: {score.triplet_id} is not in {TRIPLETS}; run: dvc repro")
    return [(known[score.triplet_id], score) for score in scored]


@dataclass(frozen=True)
class _Prompts:
    """Prompts that could be read: arrays and lists in one order."""

    ids: list[str]
    """Of the pairs."""
    instruction_ids: list[str]
    features: PromptFeatures
    given: Integers
    """Place of each answer's opening among its instruction's; -1 where there is none, or it is not among them."""
    openings: dict[str, list[int]]
    """Token ids, by instruction, in the order that `features` and `given` have them in."""
    reasons: dict[str, str]
    """Why others could not, by pair id."""


def _read(
    pairs: Sequence[Unanswered], scored: Sequence[Scored], params: Params, warm_up: Path, base_folder: Path
) -> _Prompts:
    model, tokenizer = load_student(warm_up, params.runtime.device, base=base_folder)
    openings = Openings(tokenizer, [triplet for triplet, _ in scored])
    system = read_provenance(warm_up)["system_prompt"]
    asked = [(triplet.pair_id, triplet.instruction_id, triplet.prompt) for triplet, _ in scored]
    asked += [(pair.id, pair.instruction_id, with_text(task.prompt, text.text)) for pair, task, text in pairs]
    instructions = {key: instruction for key, instruction, _ in asked}
    rows = [
        prompt_row(key, encode_prompt(tokenizer, system, prompt), openings.of(instruction))
        for key, instruction, prompt in asked
    ]
    limit = params.difficulty.max_length
    reasons = {row.id: "too_long" for row in rows if len(row.prompt_ids) >= limit}
    rows = [row for row in rows if row.id not in reasons]
    with Progress("prompts", total=len(rows)) as progress:
        features = read_prompts(
            model,
            rows,
            top_p=params.difficulty.top_p,
            token_budget=params.runtime.token_budget,
            workspace_bytes=params.runtime.scoring_workspace_mib << 20,
            progress=progress,
        )
    finite = features.finite()
    reasons |= {rows[place].id: "non_finite_states" for place in np.flatnonzero(~finite)}
    ids = [rows[place].id for place in np.flatnonzero(finite)]
    of = [instructions[key] for key in ids]
    given = np.array([openings.given(*row) for row in zip(ids, of, strict=True)], dtype=np.int64)
    listed = {key: openings.of(key) for key in sorted(set(of))}
    return _Prompts(ids, of, features.rows(np.flatnonzero(finite)), given, listed, reasons)


class Openings:
    """First tokens of the answers that each instruction has had: the most frequent, of equally frequent the smaller."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", triplets: Sequence[Triplet]) -> None:
        self._own: dict[str, int] = {}
        counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for triplet in triplets:
            for token in encode_response(tokenizer, triplet.response, end=False)[:1]:
                self._own[triplet.pair_id] = token
                counts[triplet.instruction_id][token] += 1
        self._lists = {
            key: [token for token, _ in sorted(count.items(), key=lambda item: (-item[1], item[0]))[:MOST_OPENINGS]]
            for key, count in counts.items()
        }

    def of(self, instruction_id: str) -> list[int]:
        """The openings of an instruction, at most MOST_OPENINGS; none if it has had no answer."""
        return self._lists.get(instruction_id, [])

    def given(self, pair_id: str, instruction_id: str) -> int:
        """The place of a pair's answer in that list, -1 if it has none there."""
        own = self._own.get(pair_id)
        openings = self.of(instruction_id)
        return openings.index(own) if own in openings else -1


def _compared(prompts: _Prompts, predicted: Floats, difficulty: Floats) -> Compared:
    """The scored rows, with what was predicted of them."""
    known = np.flatnonzero(np.isfinite(difficulty))
    ids, groups = [prompts.ids[i] for i in known], [prompts.instruction_ids[i] for i in known]
    return Compared(ids, groups, predicted[known], difficulty[known])
