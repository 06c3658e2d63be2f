"""Which generated tasks of a run are poor, by which signs, and which few of them stand for the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compeffdist.arrays import Floats
from compeffdist.artefacts import DEMONSTRATIONS, INSTRUCTIONS, SCORED, TASKS, TEXTS, TRIPLETS, rejects_of
from compeffdist.errors import UserError
from compeffdist.instructions.own_tasks import is_own
from compeffdist.instructions.write_demonstrations import STAGE as DEMONSTRATING
from compeffdist.params import Params
from compeffdist.records import Triplet, by_id
from compeffdist.seeds import stage_seed
from compeffdist.study.embedder import run_embedder
from compeffdist.study.representatives import coverage, representatives, stands_for
from compeffdist.study.signs import ABOVE, SIGNS
from compeffdist.study.specificity import LEAST, draw_swaps, specificities
from compeffdist.study.task_signs import (
    Signs,
    of_answers,
    of_demonstrations,
    of_labels,
    of_neighbours,
    of_overlap,
    task_text,
)

STAGE = "task_quality"
RANDOM_CHOICES = 200
"""With which a choice of representatives is compared."""


@dataclass(frozen=True)
class Request:
    """What is looked at."""

    bounds: Mapping[str, float]
    """By sign."""
    pairs: int
    """Rows of each task scored under another instruction; 0: none, and nothing is scored."""
    keep: Sequence[int]
    """Sizes of choices of representatives."""
    seed: int


def task_quality(params: Params, request: Request) -> dict[str, Any]:
    """Look at the generated tasks of the run in the working folder.

    Returns:
        `tasks`: of each its signs, what speaks against it, and how it is told (ids and names, no text of a user's);
        `flagged`: by sign, ids of the instructions that it speaks against, for `pairing.left_out`; `representatives`:
        by size.

    Raises:
        UserError: an artefact or model is missing, two of them are of different runs, or there are fewer than two
            generated tasks.
    """
    tasks, triplets = by_id(TASKS.read()), TRIPLETS.read()
    instructions = [one for one in INSTRUCTIONS.read() if not is_own(one)]
    if len(instructions) < 2:
        raise UserError(f"{INSTRUCTIONS}: {len(instructions)} generated tasks; a study needs at least two")
    if lost := next((one for one in instructions if one.task_id not in tasks), None):
        raise UserError(f"{INSTRUCTIONS}: {lost.task_id} is not in {TASKS}; they are of two runs")
    answers: dict[str, list[Triplet]] = {one.id: [] for one in instructions}
    for triplet in triplets:
        if triplet.instruction_id in answers:
            answers[triplet.instruction_id].append(triplet)
    signs = [Signs(one, len(answers[one.id])) for one in instructions]
    vectors_of = run_embedder(params)
    labels = sorted({label for one in instructions for label in one.labels})
    vectors = dict(zip(labels, vectors_of(labels), strict=True))
    similarity = _similarity(vectors_of, [task_text(tasks[one.task_id]) for one in instructions])
    for own in signs:
        of_answers(own, answers[own.instruction.id])
        of_labels(own, vectors)
    of_demonstrations(
        {own.instruction.task_id: own for own in signs}, DEMONSTRATIONS.read(), rejects_of(DEMONSTRATING).read()
    )
    of_neighbours(signs, similarity)
    compared = of_overlap(signs, answers)
    swapped = _of_specificity(signs, answers, params, request) if request.pairs else {"pairs": 0}
    return {
        "records": {"tasks": len(signs), "answers": sum(own.rows for own in signs)},
        "pairs_of_tasks_with_shared_texts": compared,
        "specificity": swapped,
        "seed": request.seed,
        "bounds": {name: {"worse": SIGNS[name].worse, "bound": bound} for name, bound in request.bounds.items()},
        **judged(signs, request.bounds),
        "representatives": _representatives(signs, similarity, request),
    }


def _similarity(vectors_of: Callable[[Sequence[str]], Floats], texts: Sequence[str]) -> Floats:
    vectors = vectors_of(texts)
    similarity: Floats = np.clip(vectors @ vectors.T, -1.0, 1.0)
    np.fill_diagonal(similarity, 1.0)
    return similarity


def _of_specificity(
    signs: Sequence[Signs], answers: Mapping[str, Sequence[Triplet]], params: Params, request: Request
) -> dict[str, Any]:
    texts = {text.id: text.text for text in TEXTS.read()}
    everything = [triplet for own in answers.values() for triplet in own]
    instructions = [own.instruction for own in signs]
    swaps = draw_swaps(everything, instructions, texts, request.pairs, stage_seed(request.seed, STAGE))
    of_task = specificities(swaps, SCORED.read(), params) if swaps else {}
    for own in signs:
        differences = of_task.get(own.instruction.id, [])
        if len(differences) >= LEAST:
            own.values["specificity"] = float(np.mean(differences))
            own.notes["specificity"] = f"{len(differences)} pairs"
    every = [one for differences in of_task.values() for one in differences]
    return {
        "pairs": len(every),
        "of_answers_the_other_allows": sum(swap.same_label for swap in swaps),
        "mean": float(np.mean(every)) if every else None,
        "share_above_0": float(np.mean([one > 0 for one in every])) if every else None,
    }


def judged(signs: Sequence[Signs], bounds: Mapping[str, float]) -> dict[str, Any]:
    """Poorest first, by how many signs speak against a task, then by its mean place among the tasks that have a sign.

    Returns:
        `tasks`, whose place by a sign is in (0, 1], 1 the worst, ties at their mean; `flagged`: by sign, ids of the
        instructions that it speaks against, and how many have it.
    """
    places = {name: _places(signs, name) for name in bounds}
    told: list[dict[str, Any]] = []
    for number, own in enumerate(signs):
        against = [name for name, bound in bounds.items() if SIGNS[name].against(own.values[name], bound)]
        there = [places[name][number] for name in bounds if own.values[name] is not None]
        told.append(
            {
                "task_id": own.instruction.task_id,
                "instruction_id": own.instruction.id,
                "name": own.instruction.task_name,
                "type": own.instruction.type,
                "answers": own.rows,
                "against": against,
                "mean_place": float(np.mean(there)) if there else None,
                "signs": dict(own.values),
                "about": dict(own.notes),
            }
        )
    told.sort(key=lambda one: (-len(one["against"]), -(one["mean_place"] or 0.0), one["task_id"]))
    flagged = {
        name: {
            "of": sum(own.values[name] is not None for own in signs),
            "instruction_ids": sorted(one["instruction_id"] for one in told if name in one["against"]),
        }
        for name in bounds
    }
    return {"tasks": told, "flagged": flagged}


def _places(signs: Sequence[Signs], name: str) -> Floats:
    """(n,) in (0, 1], NaN without the sign."""
    values = np.array([np.nan if (value := own.values[name]) is None else value for own in signs])
    worse = values if SIGNS[name].worse == ABOVE else -values
    there = np.isfinite(values)
    _, place, times = np.unique(worse[there], return_inverse=True, return_counts=True)
    found = np.full(len(values), np.nan)
    found[there] = (np.cumsum(times) - (times - 1) / 2)[place] / max(there.sum(), 1)
    return found


def _representatives(signs: Sequence[Signs], similarity: Floats, request: Request) -> dict[str, Any]:
    """By size: the chosen tasks and what each stands for, how well all are covered, and how well by as many at random;
    and the ids of all others, for `pairing.left_out`."""
    near, ids = np.maximum(similarity, 0.0), [own.instruction.id for own in signs]
    generator = np.random.default_rng(stage_seed(request.seed, f"{STAGE}: random choices"))
    found = {}
    for size in sorted({min(size, len(signs)) for size in request.keep}):
        chosen = representatives(near, size)
        stands = stands_for(near, chosen)
        by_chance = [coverage(near, generator.choice(len(signs), size, replace=False)) for _ in range(RANDOM_CHOICES)]
        found[str(size)] = {
            "coverage": coverage(near, chosen),
            "coverage_at_random": {"mean": float(np.mean(by_chance)), "largest": float(np.max(by_chance))},
            "tasks": [
                {
                    "instruction_id": ids[one],
                    "name": signs[one].instruction.task_name,
                    "stands_for": sorted(ids[other] for other in np.flatnonzero(np.array(stands) == one)),
                }
                for one in chosen
            ],
            "left_out": sorted(ids[other] for other in set(range(len(ids))) - set(chosen)),
        }
    return found
