"""A candidate held against the champion, or the base student: paired differences over the same evaluation rows.

What it takes is kept with the versions. Only a champion that was evaluated on other rows is asked again, about the
candidate's, which takes their texts: data/evaluation.jsonl. It is asked as it is served: with as much of its label
priors taken out as it was registered with.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.artefacts import EVALUATION
from compeffdist.errors import UserError
from compeffdist.evaluation.bootstrap import Interval, Predictions, difference_interval
from compeffdist.evaluation.earning import family_confidence, most_overused
from compeffdist.evaluation.metrics import macro_f1
from compeffdist.evaluation.predictions import predict_rows, student_scorer
from compeffdist.evaluation.priors import take_out
from compeffdist.evaluation.table import difference_cell
from compeffdist.params import EvaluationParams, EvaluationTask, Params, PromotionParams
from compeffdist.record_files import read_records
from compeffdist.records import Prediction, by_id
from compeffdist.registry.artifacts import (
    BASE,
    PREDICTIONS,
    PRIORS,
    ROWS,
    STUDENT,
    TASKS,
    artifact_folder,
    file_problems,
    model_files,
    read_attachment,
)
from compeffdist.registry.questions import FORMER_QUESTION, read_carried
from compeffdist.student.loading import read_provenance

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

BASE_STUDENT = "base student"
"""What a first champion is held against."""


@dataclass(frozen=True)
class TaskRows:
    """The evaluation rows of a task, as kept with a version."""

    labels: list[str]
    subject: str
    rows: dict[str, str]
    """Row id -> gold label."""
    question: str


@dataclass(frozen=True)
class Evaluation:
    """How a version was evaluated."""

    tasks: dict[str, TaskRows]
    predictions: list[Prediction]
    """Of the student and the base student."""

    def answers(self, system: str) -> dict[str, Predictions]:
        """A system's predictions by task, once `gaps` is empty."""
        return _by_task(self.tasks, [answer for answer in self.predictions if answer.system == system])

    def gaps(self) -> list[str]:
        """What keeps the evaluation from being whole, one line each."""
        lines = [] if self.tasks else ["no evaluation tasks"]
        for system in (BASE, STUDENT):
            for name, task in self.tasks.items():
                own = [answer for answer in self.predictions if (answer.system, answer.task) == (system, name)]
                answered = {answer.row_id: answer.gold for answer in own}
                missing = sorted(task.rows.keys() - answered.keys())
                if missing:
                    lines.append(
                        f"{name}: the {system} has no prediction for {len(missing)} of {len(task.rows)} rows, "
                        f"such as {missing[0]}"
                    )
                elif not task.rows or answered != task.rows:
                    lines.append(f"{name}: the {system}'s predictions are not of the task's rows and gold labels")
        return lines

    def mismatches(self, tags: Mapping[str, str]) -> list[str]:
        """Where the version's tags are not those of its predictions, one line each; call once it is whole."""
        lines = []
        for system, tag in ((BASE, "base_id"), (STUDENT, "student_id")):
            models = {answer.system_id for answer in self.predictions if answer.system == system}
            if models != {tags.get(tag)}:
                lines.append(
                    f"the {system}'s predictions are of {', '.join(sorted(models))}, tag {tag} is {tags.get(tag)}"
                )
        student, base = (_mean_macro_f1(self.answers(system)) for system in (STUDENT, BASE))
        figures = {"macro_f1_student": student, "macro_f1_base": base, "gain_over_base": student - base}
        for name, figure in figures.items():
            said = tags.get(f"metric.{name}")
            if said is None:
                lines.append(f"the version has no tag metric.{name}")
            elif not _says(said, figure):
                lines.append(f"tag metric.{name} is {said}, but the version's predictions give {figure:.4f}")
        return lines


@dataclass(frozen=True)
class Comparison:
    """Candidate minus reference in macro-F1, with paired intervals."""

    against: str
    """BASE_STUDENT, or `champion, version N`, with `(asked anew)` if it was."""
    rows: int
    tasks: dict[str, Interval]
    mean: Interval
    settings: PromotionParams

    def reasons(self) -> list[str]:
        """Why the candidate may not take a champion's place, one line each; empty if it may."""
        margin = self.settings.margin
        lines = [
            f"{name} may be {-100 * interval.low:.1f} points worse than the {self.against}; promotion.margin "
            f"allows {100 * margin:.1f}"
            for name, interval in self.tasks.items()
            if interval.low < -margin
        ]
        if self.mean.estimate < 0:
            lines.append(f"the mean is {-100 * self.mean.estimate:.1f} points worse than that of the {self.against}")
        return lines

    def to_row(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return {
            "against": self.against,
            "rows": self.rows,
            "tasks": {name: asdict(interval) for name, interval in self.tasks.items()},
            "mean": asdict(self.mean),
            **self.settings.model_dump(),
        }


def read_evaluation(version: "ModelVersion") -> Evaluation:
    """The evaluation kept with a version. Raises UserError if it was not kept or is damaged."""
    tasks = json.loads(read_attachment(version, ROWS))
    for task in tasks.values():  # older versions do not say so where it is the one question that every text was asked
        task["question"] = task.get("question") or FORMER_QUESTION.format(subject=task["subject"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PREDICTIONS
        path.write_bytes(read_attachment(version, PREDICTIONS))
        predictions = read_records(path, Prediction)
    return Evaluation({name: TaskRows(**task) for name, task in tasks.items()}, predictions)


def compare(
    candidate: Evaluation, reference: Mapping[str, Predictions], against: str, settings: PromotionParams, seed: int
) -> Comparison:
    """Paired bootstrap differences per task and in the mean (evaluation/bootstrap.py). Raises UserError if the two are
    not of the same rows."""
    ours = candidate.answers(STUDENT)

    def difference(tasks: Sequence[str]) -> Interval:
        first, second = ({task: system[task] for task in tasks} for system in (ours, reference))
        return difference_interval(first, second, "macro_f1", settings.resamples, settings.confidence, seed)

    names = list(ours)
    rows = sum(len(task.rows) for task in candidate.tasks.values())
    return Comparison(against, rows, {name: difference([name]) for name in names}, difference(names), settings)


def unearned(evaluation: Evaluation, over_base: Comparison, params: Params) -> list[str]:
    """Why a version has not earned to be the first champion, one line each; empty if it has: there is no other to beat,
    so it has to have earned its base student's place.

    The rule is that of gate `student` (`evaluation.earning`), applied to the predictions kept with the version: it may
    have been registered before there was that gate, or under bounds of its own.

    Args:
        evaluation: the version's, whole.
        over_base: its comparison with its base student.
        params: `gates.student` has the bounds, `gain_low: null` counting as 0; `promotion` the confidence.
    """
    bounds, settings = params.gates.student, params.promotion
    mean, lines = over_base.mean, []
    if mean.low <= (bounds.gain_low or 0.0):
        lines.append(
            f"it is not shown to be better than its base student: mean gain {difference_cell(asdict(mean))}, of which "
            f"the lower end must be above {100 * (bounds.gain_low or 0.0):g}"
        )
    confidence = family_confidence(settings.confidence, len(evaluation.tasks))
    stricter = settings.model_copy(update={"confidence": confidence})
    held = compare(evaluation, evaluation.answers(BASE), BASE_STUDENT, stricter, params.seed)
    worse = [task for task, gain in held.tasks.items() if gain.high < 0]
    if len(worse) > bounds.worse_tasks:
        lines.append(f"it is worse than its base student beyond chance on {', '.join(worse)}")
    use = most_overused(evaluation.answers(STUDENT))
    if use is not None and use.share > bounds.label_share:
        lines.append(f"it gives {use}; gates.student.label_share allows {bounds.label_share:g}")
    return lines


def champion_answers(
    client: "MlflowClient", champion: "ModelVersion", candidate: Evaluation, params: Params
) -> tuple[dict[str, Predictions], bool]:
    """What the champion answers on the candidate's rows, and whether it was asked now, not having been evaluated on
    them. Raises UserError if it cannot be asked."""
    with suppress(UserError):  # an evaluation that was not kept, or is damaged
        kept = read_evaluation(champion)
        if kept.tasks == candidate.tasks and not kept.gaps():
            return kept.answers(STUDENT), False
    return _by_task(candidate.tasks, _ask_anew(client, champion, candidate.tasks, params)), True


def _ask_anew(
    client: "MlflowClient", champion: "ModelVersion", tasks: Mapping[str, TaskRows], params: Params
) -> list[Prediction]:
    problem = f"champion, version {champion.version}, was not evaluated on the candidate's rows and cannot be now"
    try:
        texts = by_id(EVALUATION.read())
    except UserError as error:
        raise UserError(f"{problem}: {error}") from None
    missing = sorted(row for task in tasks.values() for row in task.rows if row not in texts)
    if missing:
        raise UserError(
            f"{problem}: {EVALUATION} lacks {len(missing)} of them, such as {missing[0]}; check out the "
            "candidate's commit and run dvc pull"
        )
    if damaged := file_problems(client, champion.name, champion):
        raise UserError(f"{problem}: {damaged[0]}")
    asked = [
        EvaluationTask(name=name, location=EVALUATION, **{**asdict(task), "rows": len(task.rows)})
        for name, task in tasks.items()
    ]
    rows = [texts[row] for task in tasks.values() for row in task.rows]
    label = f"version {champion.version} on the candidate's rows"
    with model_files(client, champion.name, champion.version) as folder:
        student = artifact_folder(folder, STUDENT)
        if student is None:
            raise UserError(f"{problem}: it holds no student")
        carried = read_carried({name: path for name in (TASKS, PRIORS) if (path := artifact_folder(folder, name))})
        system = read_provenance(student)["system_prompt"]
        score = student_scorer(student, artifact_folder(folder, BASE), params.runtime, label, system)
        named = f"{champion.name}/{champion.version}"
        given = predict_rows(rows, EvaluationParams(tasks=asked), STUDENT, named, score)
        return take_out(given, asked, carried.strength)


def _by_task(tasks: Mapping[str, TaskRows], predictions: Sequence[Prediction]) -> dict[str, Predictions]:
    return {
        name: Predictions(
            labels=task.labels,
            gold=task.rows,
            predicted={answer.row_id: answer.predicted for answer in predictions if answer.task == name},
        )
        for name, task in tasks.items()
    }


def _mean_macro_f1(tasks: Mapping[str, Predictions]) -> float:
    scores = [
        macro_f1([task.gold[row] for row in task.gold], [task.predicted[row] for row in task.gold], task.labels)
        for task in tasks.values()
    ]
    return sum(scores) / len(scores)


def _says(tag: str, figure: float) -> bool:
    """Whether a tag, which holds four decimals, is this figure."""
    try:
        return abs(float(tag) - figure) < 1e-4
    except ValueError:
        return False
