"""Tasks that the user asks for, in `tasks.own`, and the domain's monitored question as one of them.

They belong to no perspective, have no demonstrations, so that they are asked as evaluation asks them, and are paired
with every text (or as many as their `texts` says), beyond `pairing.pairs`.
"""

import json

from compeffdist.canonical import canonical_json
from compeffdist.domain import Monitored, domain_of
from compeffdist.errors import UserError
from compeffdist.instructions.label_sets import label_set
from compeffdist.instructions.schemas import FIELD_KINDS, object_of, tuples_of
from compeffdist.params import OwnTask, Params, TasksParams
from compeffdist.records import Instruction, Task

MOST_OWN_LABELS = 32


def check_questions(params: Params) -> None:
    """What the domain, `tasks.own` and `evaluation.tasks` ask can be asked: looked at before anything is bought.

    Raises:
        UserError: there is no such domain; as `own_tasks` and `Monitored.asked_in`; labels of the domain's own question
            that a task cannot have.
    """
    monitored = domain_of(params).monitored
    own_tasks(params.tasks, monitored)
    monitored.asked_in(params.evaluation)
    try:
        if label_set(monitored.labels) != monitored.labels:
            raise ValueError("they are not written as they are compared: in lower case, each once")
    except ValueError as error:
        raise UserError(f"domains/{params.domain}.yaml: monitored.labels: {error}") from None


def own_tasks(params: TasksParams, monitored: Monitored) -> list[Task]:
    """The seed task, if it is wanted, then those of `tasks.own` in their order. Raises UserError on labels that cannot
    be told apart or are not written as they are compared, and on one with the name of the monitored question."""
    if monitored.name in (own.name for own in params.own):
        raise UserError(f"params.yaml: tasks.own: {monitored.name!r} is the name of the domain's own question")
    seed = [seed_task(monitored)] if params.seed_task else []
    return seed + [own_task(own) for own in params.own]


def seed_task(monitored: Monitored) -> Task:
    """The seed task `tasks.seed_task`: the question every text is asked anyway."""
    return Task(
        perspective_id="",
        name=monitored.name,
        description=monitored.instruction(),
        type="closed_classification",
        labels=monitored.labels,
    )


def own_task(own: OwnTask) -> Task:
    """A question of the user's as a task. Raises UserError as `own_tasks`."""
    kind = "closed_classification" if own.labels else "scoring" if own.scale else "structured"
    schema = _schema(own)
    return Task(
        perspective_id="",
        name=own.name,
        description=own.question,
        type=kind,
        labels=_fit_labels(own) if own.labels else [],
        score_range=own.scale,
        json_schema=schema,
        exact_spans=any(part.from_text for part in own.tuples),
    )


def _schema(own: OwnTask) -> str:
    """Of an answer in JSON. That of tuples keeps the order of their parts, in which an answer is written."""
    if own.tuples:
        return json.dumps(tuples_of(own.tuples), ensure_ascii=False)
    fields = {name: FIELD_KINDS[held] for name, held in own.fields.items()}
    return canonical_json(object_of(fields)) if fields else ""


def _fit_labels(own: OwnTask) -> list[str]:
    where = f"params.yaml: tasks.own {own.name!r}: labels"
    try:
        clean = label_set(own.labels, MOST_OWN_LABELS)
    except ValueError as error:
        raise UserError(f"{where}: {error}; labels must be answers that can be told apart by their letters") from None
    if clean != own.labels:
        other = next(label for label in own.labels if label not in clean)
        raise UserError(f"{where}: {other!r} must be in lower case, without punctuation around it")
    return clean


def is_own(task: Task | Instruction) -> bool:
    """Whether a task is the user's (or the seed task) rather than one that the teacher wrote of a perspective."""
    return not task.perspective_id
