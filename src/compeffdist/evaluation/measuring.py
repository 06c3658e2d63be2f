"""The agreement of a student with the teacher of the run in the working folder: `compeffdist study agreement`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.artefacts import BASE, SAMPLED, TRAINING, rejects_of
from compeffdist.canonical import hash_json
from compeffdist.errors import UserError
from compeffdist.evaluation.agreement import REFERENCE_TEXTS, SYSTEMS, Resampling, judge, plan, report
from compeffdist.evaluation.answered import Answered, AnsweredRow, decile_bins, draw_even
from compeffdist.evaluation.predictions import Scorer
from compeffdist.models import ModelIdentity, cache_folder, model_folder, read_identity
from compeffdist.params import Params, RuntimeParams
from compeffdist.progress import Progress
from compeffdist.seeds import stage_seed
from compeffdist.student.loading import load_student, read_provenance
from compeffdist.student.prediction import label_logprobs
from compeffdist.student.runs import TRAIN

STAGE = "agreement"
UNSEEN, SEEN = "unseen", "seen"
FREE_ANSWER, NOT_DRAWN, IN_TRAINING = "answer_is_no_label", "not_drawn", "kept_for_training"
UNSURE = "below_the_confidence_floor"


@dataclass(frozen=True)
class Request:
    """What is measured."""

    rows: int
    """Drawn of the pairs that were not kept for training, and as many of those kept where they are wanted."""
    seen: bool
    """Whether rows that were trained on are judged, too."""
    least: int
    """Rows of a perspective to stand alone."""
    seed: int


def run_base(params: Params) -> tuple[ModelIdentity, Path]:
    """Identity and folder of the run's base student. Raises UserError if it is not there."""
    identity = read_identity(Path(BASE))
    return identity, model_folder(identity, cache_folder(params.runtime.cache))


def check_student(model: str, folder: Path, base: ModelIdentity) -> dict[str, Any]:
    """The provenance of a student that was trained on this run's training set, from its base. Raises UserError if it
    was not: which pairs it has seen would not be known."""
    provenance = read_provenance(folder)
    left_out = {reject.record_id for reject in rejects_of(TRAIN).read()}
    trained = sorted(triplet.id for triplet in TRAINING.read() if triplet.id not in left_out)
    if provenance.get("triplet_ids_sha256") != hash_json(trained):
        raise UserError(
            f"{model}: it was trained on other rows than those of {TRAINING}, so that what it has seen is not known; "
            "name a student of this run, or check out the run it is of"
        )
    if provenance.get("base_id") != base.id:
        raise UserError(f"{model}: it was trained from {provenance.get('base_id')}, but {BASE} is {base.id}")
    return provenance


def draw(answered: Answered, request: Request) -> dict[str, list[AnsweredRow]]:
    """The rows to be judged, UNSEEN and perhaps SEEN. Raises UserError if there is none to draw."""
    pools = {UNSEEN: [row for row in answered.rows if not row.seen]}
    if request.seen:
        pools[SEEN] = [row for row in answered.rows if row.seen]
    if not pools[UNSEEN]:
        raise UserError(
            f"{SAMPLED}: no pair answered with a label was left out of training ({answered.free[False]} answered "
            "otherwise were): nothing unseen is there to judge; sample fewer (sampling.rate, sampling.own_rate)"
        )
    bins = decile_bins(np.array([row.score for row in pools[UNSEEN] if row.score is not None]))
    return {name: draw_even(pool, bins, request.rows, stage_seed(request.seed, STAGE)) for name, pool in pools.items()}


def measure(
    answered: Answered, request: Request, folders: Mapping[str, tuple[Path, Path | None]], system: str, params: Params
) -> dict[str, Any]:
    """Draw rows, ask both models, and tell how far they agree with the teacher.

    Args:
        folders: of each of SYSTEMS the weights, and those of the base where they are an adapter.
        system: what stood before every prompt the student was trained on; the base is asked under it, too.

    Returns:
        `records`, with counts in, judged and left out by reason, and `unseen` and perhaps `seen` as `report` gives
        them. No text is in it.

    Raises:
        UserError: nothing to draw, a model that cannot be loaded, a prompt beyond its context.
    """
    drawn, strength = draw(answered, request), params.label_priors.strength
    rows = [row for own in drawn.values() for row in own]
    asking = plan(answered, rows, stage_seed(request.seed, STAGE))
    judged = {}
    for name in SYSTEMS:
        with Progress(f"{STAGE}: {name}", total=len(asking)) as progress:
            judged[name] = judge(asking, _scorer(*folders[name], params.runtime, system, progress), strength)
    how = Resampling(params.evaluation.bootstrap, params.evaluation.confidence, request.seed)
    unseen = [row.score for row in answered.rows if not row.seen and row.score is not None]
    bins, start, parts = decile_bins(np.array(unseen)), 0, {}
    for part, own in drawn.items():
        places = slice(start, start + len(own))
        of_part = {
            name: {reading: one.of(places) for reading, one in readings.items()} for name, readings in judged.items()
        }
        parts[part] = report(own, of_part, bins, request.least, how) if own else None
        start += len(own)
    return {
        "records": account(answered, drawn),
        "prompts_asked": len(asking),
        "reference_texts": REFERENCE_TEXTS,
        "label_prior_strength": strength,
        "resamples": how.resamples,
        "confidence": how.confidence,
        "seed": request.seed,
        **parts,
    }


def account(answered: Answered, drawn: Mapping[str, Sequence[AnsweredRow]]) -> dict[str, Any]:
    """Every answered pair, judged or left out with a reason."""
    judged = {name: len(rows) for name, rows in drawn.items()}
    labelled = {UNSEEN: sum(not row.seen for row in answered.rows), SEEN: sum(row.seen for row in answered.rows)}
    left_out = {
        FREE_ANSWER: answered.free[False],
        NOT_DRAWN: labelled[UNSEEN] - judged[UNSEEN],
        IN_TRAINING: labelled[SEEN] + answered.free[True] - judged.get(SEEN, 0),
    }
    left_out |= {UNSURE: answered.unsure} if answered.unsure else {}
    everything = len(answered.rows) + sum(answered.free.values()) + answered.unsure
    if everything != sum(judged.values()) + sum(left_out.values()):
        raise RuntimeError(f"{everything} answered pairs, but {judged} judged and {left_out} left out")
    return {"in": everything, "judged": judged, "left_out": left_out}


def _scorer(folder: Path, base: Path | None, runtime: RuntimeParams, system: str, progress: Progress) -> Scorer:
    """A model in this process, under one system prompt; one progress over all questions."""
    model, tokenizer = load_student(folder, runtime.device, base=base)

    def score(prompts: Sequence[str], labels: tuple[str, ...]) -> list[dict[str, float]]:
        return label_logprobs(
            model, tokenizer, prompts, labels, system=system, token_budget=runtime.token_budget, progress=progress
        )

    return score
