"""How many questions a stage will ask, told from params where its inputs are not there yet.

Enumeration, responses and evaluation follow from params alone. Tasks and demonstrations hang on how many perspectives
there will be: as many as in the run that this checkout knows (its committed metrics), for as many texts. With more
texts their number is taken to grow as the square root, as vocabularies do (Heaps' law), with fewer to fall as the power
2/3, which fits the smaller runs below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compeffdist.params import Params

PERSPECTIVES, TEXTS = 65, 1050
"""In the default run. Others had 14 of 250 texts, 4 of 12, and 2 or 3 of 8."""
DEMONSTRATION_QUESTIONS = 1.7
"""For each task asked for and each call, the checks of what was written included: 436 for 260 tasks in that run."""


@dataclass(frozen=True)
class LastRun:
    """What is known of the run that the checkout's metrics and lock are of; None where nothing is."""

    texts: int | None = None
    """That were enumerated."""
    perspectives: int | None = None
    each_demonstration: float | None = None
    """Questions of demonstrations for each task asked for and each call."""


Expect = Callable[[Params, LastRun], int]


def expected_questions(stage: str, params: Params, last: LastRun) -> int:
    """About how many questions a stage will ask."""
    return EXPECTED[stage](params, last)


def _enumeration(params: Params, _: LastRun) -> int:
    return min(params.attributes.texts, params.texts.count)


def expected_perspectives(params: Params, last: LastRun) -> float:
    """About how many perspectives there will be: a guess, until attributes are clustered under these params."""
    known, of = (last.perspectives, last.texts) if last.perspectives and last.texts else (PERSPECTIVES, TEXTS)
    growth = _enumeration(params, last) / of
    return known * growth ** (1 / 2 if growth > 1 else 2 / 3)


def _tasks(params: Params, last: LastRun) -> int:
    ideas_and_definitions = 1 + params.tasks.per_perspective + bool(params.tasks.analysis_per_perspective)
    return round(expected_perspectives(params, last) * ideas_and_definitions)


def _demonstrations(params: Params, last: LastRun) -> int:
    each = last.each_demonstration or DEMONSTRATION_QUESTIONS
    return round(
        expected_perspectives(params, last) * params.tasks.per_perspective * params.demonstrations.calls * each
    )


def _responses(params: Params, _: LastRun) -> int:
    """Of the pairs that are asked whatever comes, and the monitored question of every text in them, which is also the
    question of the seed task's pairs."""
    share = _scored_share(params)
    other = expected_pairs(params) - _seed_pairs(params)
    return round(other * share + _texts_in(params, share))


def _sampled(params: Params, last: LastRun) -> int:
    """Of the pairs whose difficulty is predicted, those that are kept, and the monitored question of texts that no pair
    before them was of."""
    share, rates = _scored_share(params), params.sampling
    own_rate = rates.rate if rates.own_rate is None else rates.own_rate
    own = expected_pairs(params) - params.pairing.pairs - _seed_pairs(params)
    kept = params.pairing.pairs * rates.rate + own * own_rate
    all_kept = kept + _seed_pairs(params) * own_rate
    texts = _texts_in(params, share + (1 - share) * all_kept / expected_pairs(params)) - _texts_in(params, share)
    return round((1 - share) * kept + texts)


def _scored_share(params: Params) -> float:
    """Of all pairs, those that are asked and scored whatever comes."""
    pairs = expected_pairs(params)
    return 1.0 if params.difficulty.mode == "direct" else min(1.0, params.difficulty.proxy.rows / pairs)


def _texts_in(params: Params, share: float) -> float:
    """About how many texts are in a share of the pairs drawn at random; all pairs are spread evenly over texts."""
    each = expected_pairs(params) / params.texts.count
    return params.texts.count * (min(1.0, each) if share == 1.0 else 1 - (1 - share) ** each)


def _seed_pairs(params: Params) -> int:
    return params.texts.count * params.tasks.seed_task


def expected_pairs(params: Params) -> int:
    """Pairs in all, of the user's own tasks and the seed task, too."""
    texts = params.texts.count
    own = sum(min(texts, task.texts or texts) for task in params.tasks.own)
    return params.pairing.pairs + own + _seed_pairs(params)


def _evaluation(params: Params, _: LastRun) -> int:
    """A set without a bound counts as none: how many rows it has is known once it is read."""
    return sum(task.rows or 0 for task in params.evaluation.tasks)


EXPECTED: Mapping[str, Expect] = {
    "enumerate_attributes": _enumeration,
    "generate_tasks": _tasks,
    "write_demonstrations": _demonstrations,
    "collect_responses": _responses,
    "collect_sampled": _sampled,
    "evaluate_teacher": _evaluation,
}
"""By stage that asks the teacher."""
