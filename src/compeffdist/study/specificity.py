"""Whether a response belongs to its instruction: its likelihood there, less that under another one for the same text.

    specificity = mean over pairs of [ log p(response | own, text) - log p(response | other, text) ] / response tokens

p by the run's warmed-up student, which was shown few of the rows; the first term is that of `data/scored.parquet`. The
other instruction is of the same type, so that the form of the answer does not decide, and of closed tasks one that has
the response among its labels, if there is one.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from compeffdist.artefacts import SCORED, WARM_UP
from compeffdist.difficulty.sampling import uniform_draws
from compeffdist.difficulty.score_difficulty import score_triplets, scorer_identity
from compeffdist.errors import UserError
from compeffdist.evaluation.measuring import run_base
from compeffdist.instructions.rendering import with_text
from compeffdist.params import Params
from compeffdist.records import Instruction, ScoredTriplet, Triplet
from compeffdist.student.loading import read_provenance, student_id

LEAST = 3
"""Pairs that a task's mean needs."""


@dataclasses.dataclass(frozen=True)
class Swap:
    """A triplet, and its response after another instruction on the same text."""

    own: Triplet
    other: Triplet
    same_label: bool
    """Whether the other instruction could be answered so."""


def draw_swaps(
    triplets: Sequence[Triplet], instructions: Sequence[Instruction], texts: Mapping[str, str], each: int, seed: int
) -> list[Swap]:
    """`each` triplets of every instruction (all, if there are fewer) and for each another instruction; both hang on
    `seed` and ids alone. A triplet without another instruction of its type has none.

    Args:
        triplets: of these instructions.
        texts: by id.
    """
    by_type, of_instruction = defaultdict[str, list[Instruction]](list), defaultdict[str, list[Triplet]](list)
    for instruction in sorted(instructions, key=lambda one: one.id):
        by_type[instruction.type].append(instruction)
    for triplet in triplets:
        of_instruction[triplet.instruction_id].append(triplet)
    swaps = []
    for key, own in sorted(of_instruction.items()):
        order = np.argsort(uniform_draws([one.id for one in own], seed), kind="stable")
        for triplet in [own[place] for place in order[:each].tolist()]:
            others = [one for one in by_type[triplet.task_type] if one.id != key]
            alike = [one for one in others if triplet.response in one.labels]
            if pool := alike or others:
                draw = float(uniform_draws([f"other {triplet.id}"], seed)[0])
                other = pool[int(draw * len(pool))]
                swapped = _after(triplet, other, texts[triplet.text_id])
                swaps.append(Swap(triplet, swapped, bool(alike) or not other.labels))
    return swaps


def _after(triplet: Triplet, other: Instruction, text: str) -> Triplet:
    prompt = with_text(other.prompt, text)
    return dataclasses.replace(triplet, id="", instruction_id=other.id, prompt=prompt)


def specificities(swaps: Sequence[Swap], scored: Sequence[ScoredTriplet], params: Params) -> dict[str, list[float]]:
    """By instruction id, the difference of each of its pairs, of those of which both have a score. Raises UserError:
    the scores are of another scorer than the warm-up in the working folder, or as `score_triplets`."""
    warm_up = Path(WARM_UP)
    weights, system = student_id(warm_up), read_provenance(warm_up)["system_prompt"]
    if any(one.scorer_id != scorer_identity(weights, params.difficulty, system) for one in scored):
        raise UserError(f"{SCORED}: made with other weights or settings than {WARM_UP}; run score_difficulty again")
    base = run_base(params)[1]
    settings = params.difficulty.model_copy(update={"ifd": False, "label_ranks": False})
    others, _ = score_triplets(
        list({swap.other.id: swap.other for swap in swaps}.values()),
        warm_up,
        settings,
        params.runtime,
        weights=weights,
        system=system,
        base_folder=base,
    )
    means = {one.triplet_id: _log_likelihood(one) for one in [*scored, *others]}
    found = defaultdict[str, list[float]](list)
    for swap in swaps:
        if swap.own.id in means and swap.other.id in means:
            found[swap.own.instruction_id].append(means[swap.own.id] - means[swap.other.id])
    return dict(found)


def _log_likelihood(scored: ScoredTriplet) -> float:
    """Of a response token, in nats."""
    perplexity = scored.measures["perplexity"]
    assert perplexity is not None
    return -math.log(perplexity)
