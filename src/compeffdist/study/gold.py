"""The teacher's answers to rows whose right answer is known, each with how hard it is for the warmed-up student.

The rows are those of the evaluation, and an answer is what the run's evaluation has of the teacher: nothing is asked
of it here. Each (text, question, answer) is scored as the pipeline scores a triplet: the same prompt, warm-up, settings
and code. An evaluation task stands for an instruction, its rows for the instruction's rows. What is found is told and
changes no artefact: gold labels stay out of training and selection.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compeffdist.artefacts import EVALUATION, TEACHER_PREDICTIONS, WARM_UP
from compeffdist.difficulty.score_difficulty import score_triplets
from compeffdist.domain import domain_of
from compeffdist.errors import UserError
from compeffdist.evaluation.measuring import run_base
from compeffdist.evaluation.predictions import evaluation_prompt
from compeffdist.evaluation.priors import estimate_priors
from compeffdist.label_priors import Prior, calibrate, likeliest
from compeffdist.measures.registry import RANKING
from compeffdist.params import EvaluationTask, Params
from compeffdist.records import EvaluationRow, Prediction, Triplet, by_id
from compeffdist.student.loading import read_provenance, student_id

CALIBRATED, AS_GIVEN = "calibrated", "as_given"
READINGS = (CALIBRATED, AS_GIVEN)
"""How an answer is taken from the teacher's label likelihoods: with its prior of the task taken out, as the triplets'
answers are, or the likeliest as it is."""
DIFFICULTIES = (RANKING, "perplexity", "label_rank")
"""By which rows are put in order: the published score, and two measures; larger is harder."""


@dataclass(frozen=True)
class GoldRow:
    """An evaluation row, an answer of the teacher's to it, and what is known of both."""

    row_id: str
    task: str
    wrong: bool
    probabilities: Mapping[str, tuple[float, ...]]
    """CALIBRATED and AS_GIVEN -> of each label; empty where the teacher only chose one."""
    difficulty: Mapping[str, float]
    """Of DIFFICULTIES."""


@dataclass(frozen=True)
class Answered:
    """What the teacher answered to a row, not scored yet."""

    row: EvaluationRow
    triplets: Mapping[str, Triplet]
    """By reading; the same one where the two agree."""
    probabilities: Mapping[str, tuple[float, ...]]


def read_answers(params: Params) -> list[Answered]:
    """The evaluation rows of the run in the working folder and the teacher's answers, by task and row id. Raises
    UserError: an artefact is missing, or rows, answers and `evaluation.tasks` are not of one run."""
    tasks = domain_of(params).monitored.asked_in(params.evaluation).tasks
    return join_answers(EVALUATION.read(), TEACHER_PREDICTIONS.read(), tasks, params.label_priors.strength)


def join_answers(
    rows: Sequence[EvaluationRow], predictions: Sequence[Prediction], tasks: Sequence[EvaluationTask], strength: float
) -> list[Answered]:
    """The same of records; every task has its question, and `strength` is how much of the priors is taken out. Raises
    UserError as `read_answers`."""
    by_name, of_row = {task.name: task for task in tasks}, by_id(rows)
    for one in predictions:
        row, task = of_row.get(one.row_id), by_name.get(one.task)
        if row is None or task is None or row.label != one.gold or len(one.probabilities) != len(task.labels):
            raise UserError(
                f"{TEACHER_PREDICTIONS}: the answer to {one.row_id} (task {one.task!r}) is to no row of {EVALUATION} "
                "as evaluation.tasks of params.yaml has it; run evaluate_teacher again"
            )
    unanswered = sorted(of_row.keys() - {one.row_id for one in predictions})
    if unanswered or len(predictions) != len(of_row):
        told = f"{unanswered[0]} has no answer" if unanswered else "a row has two answers"
        raise UserError(f"{TEACHER_PREDICTIONS}: {told}; run evaluate_teacher again")
    priors = estimate_priors(predictions, tasks) if strength else {}
    places = {name: place for place, name in enumerate(by_name)}
    joined = []
    for one in sorted(predictions, key=lambda one: (places[one.task], one.row_id)):
        given = dict(zip(by_name[one.task].labels, one.probabilities, strict=True))
        left = _calibrated(given, priors.get(one.task), strength)
        if likeliest(left) != one.predicted:
            raise UserError(
                f"{TEACHER_PREDICTIONS}: {one.row_id} was answered under another label_priors.strength; run "
                "evaluate_teacher again"
            )
        read, weighed = {CALIBRATED: left, AS_GIVEN: given}, not set(given.values()) <= {0.0, 1.0}
        row, task = of_row[one.row_id], by_name[one.task]
        triplets = {name: _triplet(row, task, one, likeliest(of)) for name, of in read.items()}
        joined.append(
            Answered(row, triplets, {name: tuple(of.values()) if weighed else () for name, of in read.items()})
        )
    return joined


def _calibrated(given: Mapping[str, float], prior: Prior | None, strength: float) -> Mapping[str, float]:
    logprobs = {label: math.log(value) if value else -math.inf for label, value in given.items()}
    return calibrate([logprobs], prior, strength)[0] if prior else given


def _triplet(row: EvaluationRow, task: EvaluationTask, prediction: Prediction, answer: str) -> Triplet:
    """As the pipeline would have it of an instruction that is the task's question."""
    return Triplet(
        pair_id=row.id,
        instruction_id=task.name,
        text_id=row.id,
        teacher_id=prediction.system_id,
        decoding_id="evaluation",
        answer_id="",
        prompt=evaluation_prompt(row, task),
        response=answer,
        task_type="closed_classification",
        task_name=task.name,
    )


def score_answers(answered: Sequence[Answered], params: Params) -> tuple[dict[str, list[GoldRow]], dict[str, int]]:
    """Score the answers under the run's warm-up.

    Returns:
        Reading -> its rows in the order of `answered`, those with every difficulty; and reason -> how many rows were
        left out of all readings because an answer of theirs has no score.

    Raises:
        UserError: no warm-up in the working folder, or as `score_triplets`.
    """
    warm_up, labels = Path(WARM_UP), {task.name: task.labels for task in params.evaluation.tasks}
    triplets = {one.id: one for each in answered for one in each.triplets.values()}
    scored, rejects = score_triplets(
        list(triplets.values()),
        warm_up,
        # so that no row is without a rank among its labels
        params.difficulty.model_copy(update={"label_ranks": True}),
        params.runtime,
        weights=student_id(warm_up),
        system=read_provenance(warm_up)["system_prompt"],
        base_folder=run_base(params)[1],
        choices=labels,
    )
    values = {one.triplet_id: {RANKING: one.ranking, **one.measures} for one in scored}
    reasons = {one.record_id: one.reason for one in rejects}
    rows: dict[str, list[GoldRow]] = {reading: [] for reading in READINGS}
    left_out = Counter[str]()
    for each in answered:
        if reason := next((reasons[one.id] for one in each.triplets.values() if one.id in reasons), ""):
            left_out[reason] += 1
            continue
        for reading, triplet in each.triplets.items():
            rows[reading].append(_gold_row(each, triplet, values[triplet.id]))
    return rows, dict(sorted(left_out.items()))


def _gold_row(answered: Answered, triplet: Triplet, values: Mapping[str, float | None]) -> GoldRow:
    difficulty = {}
    for name in DIFFICULTIES:
        value = values[name]
        assert value is not None, name  # label_ranks were asked for
        difficulty[name] = float(value)
    row = answered.row
    return GoldRow(row.id, row.task, triplet.response != row.label, answered.probabilities, difficulty)
