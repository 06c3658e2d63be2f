"""Task generation: from a perspective to fully defined tasks on one text.

Analysis prompts, ideas and their definitions are asked for in turn (`task_questions`), and answers become tasks. Then
near-duplicates, within and across perspectives, are dropped with reason (an open problem in the paper's limitations).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compeffdist.canonical import canonical_json
from compeffdist.domain import Domain, TaskPrompts
from compeffdist.instructions.label_sets import label_set, repeats
from compeffdist.instructions.own_tasks import is_own, own_tasks
from compeffdist.instructions.schemas import FIELD_KINDS, array_of, object_of, string_of
from compeffdist.instructions.task_questions import Idea, analysis_question, definition_question, ideas_question
from compeffdist.params import TasksParams
from compeffdist.prompting import inline
from compeffdist.records import Attribute, Perspective, Reject, Task
from compeffdist.teacher.conversation import Conversation, json_question
from compeffdist.teacher.parsing import BadAnswer
from compeffdist.texts.words import words

STAGE = "generate_tasks"
COSINE_DECIMALS = 4
"""Of what decides whether a task is a near-duplicate."""
FEWEST_WORDS = 4
"""Words of a description at least: less tells nobody what to do."""

_TWO_TEXTS = (
    ("text 1", "text 2"),
    ("text1", "text2"),
    ("text a", "text b"),
    ("review 1", "review 2"),
    ("plot 1", "plot 2"),
)
"""Marks of a task that compares two texts; such tasks are dropped (official script 6)."""

_SAYS_NOTHING = frozenset(
    word
    for line in (
        "a an and are as by for from given in is it its of on one or that the to what which with four three two",
        "answer answers choice choices choose choosing fixed pick picking question select label labels own open closed",
        "classification classify copy copying extract extraction list listing name naming show text texts words",
        "number numbers rate rating scale score scoring field fields fill filling set single small task tasks type",
    )
    for word in line.split()
)
"""Words that say how a task is answered or that it is one; a name made of these alone names nothing."""


def build_task(idea: Idea, definition: dict[str, Any], domain: Domain, monitored_is_asked: bool) -> Task:
    """A task from an idea and its definition. Raises BadAnswer if that cannot be used.

    Args:
        monitored_is_asked: whether the seed task or one of the user's own is the monitored question, so that no other
            is to be.
    """
    description = " ".join(definition["description"].split())
    whole = f"{idea.name} {description}".casefold()
    if any(first in whole and second in whole for first, second in _TWO_TEXTS):
        raise BadAnswer("compares_texts", whole)
    if _is_example(idea, definition, domain.tasks):
        raise BadAnswer("copies_example", description)
    if len(words(description)) < FEWEST_WORDS:
        raise BadAnswer("no_description", description)
    labels: list[str] = []
    schema = ""
    if idea.type == "closed_classification":
        try:
            labels = label_set(definition["labels"])
        except ValueError as error:
            raise BadAnswer("bad_label_set", str(error)) from None
        if monitored_is_asked and repeats(labels, domain.monitored.repeated_by):
            raise BadAnswer("monitored_again", ", ".join(labels))
    elif idea.type == "extraction":
        schema = canonical_json(array_of(string_of(1, 80), 0, 5))
    elif idea.type == "structured":
        schema = canonical_json(_fields_schema(definition["fields"]))
    return Task(
        perspective_id=idea.perspective.id,
        name=idea.name,
        description=description,
        type=idea.type,
        labels=labels,
        # 5.0 is a whole number to a schema
        score_range=[int(definition["lowest"]), int(definition["highest"])] if idea.type == "scoring" else [],
        json_schema=schema,
        exact_spans=bool(definition.get("verbatim", False)),
    )


def _is_example(idea: Idea, definition: Mapping[str, Any], prompts: TaskPrompts) -> bool:
    """Whether a task is that of the prompts: of its attribute, or with its labels."""
    said = {*words(f"{idea.name} {definition['description']}")}
    if prompts.example_attribute not in idea.perspective.head and said & {*prompts.example_words}:
        return True
    shown = prompts.types[idea.type].definition.labels
    return bool(shown) and shown == definition["labels"]


def _fields_schema(fields: Sequence[dict[str, str]]) -> dict[str, Any]:
    named = {"_".join(field["field"].lower().split()): FIELD_KINDS[field["type"]] for field in fields}
    if len(named) < 2:
        raise BadAnswer("bad_fields", ", ".join(named))
    return object_of(named)


def tasks_asked(perspectives: Sequence[Perspective], params: TasksParams) -> int:
    """How many tasks a run asks for, the user's own and the seed task included: each comes back as a task or as a
    reject."""
    of_each = params.per_perspective + params.analysis_per_perspective
    return len(perspectives) * of_each + len(params.own) + params.seed_task


class TaskWriter:
    """Asks the three kinds of question; every task that does not come of them is a reject."""

    def __init__(self, params: TasksParams, domain: Domain, talk: Conversation) -> None:
        self.params, self.domain, self.talk = params, domain, talk
        self.own = own_tasks(params, domain.monitored)
        self.monitored_is_asked = any(repeats(task.labels, domain.monitored.repeated_by) for task in self.own)
        self.rejects: list[Reject] = []

    def _ask(
        self, questions: Sequence[tuple[str, dict[str, Any]]], owners: Sequence[str], tasks_each: int, label: str
    ) -> list[Any]:
        """The parsed answer to each question, or None where it was rejected: a reject under its owner's id for each of
        the `tasks_each` tasks it would have given."""
        asked = [
            json_question(owner, prompt, schema, self.params.max_tokens)
            for (prompt, schema), owner in zip(questions, owners, strict=True)
        ]
        found = self.talk.ask(asked, label)
        self.rejects += [
            self.talk.reject(lost.record_id, lost.reason, f"{label}, {number} of {tasks_each}: {lost.detail}")
            for lost in found
            if isinstance(lost, Reject)
            for number in range(1, tasks_each + 1)
        ]
        return [None if isinstance(said, Reject) else said.value for said in found]

    def _reject(self, record_id: str, reason: str, detail: str) -> None:
        self.rejects.append(self.talk.reject(record_id, reason, detail))

    def analysis_tasks(self, perspectives: Sequence[Perspective], attributes: dict[str, Attribute]) -> list[Task]:
        """Open-ended analysis tasks of every perspective."""
        count = self.params.analysis_per_perspective
        if not count:
            return []
        questions = [analysis_question(p, attributes, count, self.domain.tasks) for p in perspectives]
        answers = self._ask(questions, [p.id for p in perspectives], count, "analysis prompts")
        return [
            Task(perspective_id=p.id, name=f"analysis: {p.head}", description=inline(prompt), type="analysis")
            for p, answer in zip(perspectives, answers, strict=True)
            if answer is not None
            for prompt in answer["prompts"]
        ]

    def ideas(self, perspectives: Sequence[Perspective], attributes: dict[str, Attribute]) -> list[Idea]:
        """Ideas of every perspective; types go round `tasks.types`, each perspective starting one further."""
        types, count = self.params.types, self.params.per_perspective
        turns = [types[turn % len(types)] for turn in range(len(perspectives) * count)]
        wanted = [turns[place * count : (place + 1) * count] for place in range(len(perspectives))]
        questions = [
            ideas_question(p, attributes, kinds, self.domain) for p, kinds in zip(perspectives, wanted, strict=True)
        ]
        answers = self._ask(questions, [p.id for p in perspectives], count, "task ideas")
        ideas = []
        for perspective, kinds, answer in zip(perspectives, wanted, answers, strict=True):
            # by name: an answer is in the alphabetical order of its schema, in which task_10 comes before task_2
            for number, kind in enumerate(kinds if answer else (), 1):
                item = answer[f"task_{number}"]
                name = clean_name(item["name"])
                if set(words(name)) <= _SAYS_NOTHING:
                    self._reject(perspective.id, "name_says_nothing", f"{item['name']}: {item['purpose']}")
                else:
                    ideas.append(Idea(perspective, name, inline(item["purpose"]), kind))
        return ideas

    def define(self, ideas: Sequence[Idea]) -> list[Task]:
        """The tasks of the ideas whose definition can be used."""
        questions = [definition_question(idea, self.domain) for idea in ideas]
        answers = self._ask(questions, [idea.perspective.id for idea in ideas], 1, "definitions")
        tasks = []
        for idea, answer in zip(ideas, answers, strict=True):
            if answer is None:
                continue
            try:
                tasks.append(build_task(idea, answer, self.domain, self.monitored_is_asked))
            except BadAnswer as bad:
                self._reject(idea.perspective.id, bad.reason, f"{idea.name}: {bad.detail}")
        return tasks


def clean_name(name: str) -> str:
    """The name of a task on one line, without surrounding punctuation, in lower case."""
    return inline(name).strip(" .,:;!?\"'`*_-").lower()


def drop_near_duplicates(
    tasks: Sequence[Task], embed: Callable[[Sequence[str]], Any], similarity: float
) -> tuple[list[Task], list[Reject]]:
    """Keep a task unless an earlier one of the same type, or one of the user's own, is as similar as `similarity`
    (cosine of embeddings). What the user asks for is kept whatever it is like.

    Args:
        tasks: in order of preference (the user's own, then perspectives by total count).
        embed: texts -> (n, d) unit vectors.
    """
    kept: list[int] = []
    ids: set[str] = set()
    rejects: list[Reject] = []
    vectors = embed([f"{task.name}. {task.description} {' '.join(task.labels)}" for task in tasks]) if tasks else []
    for place, task in enumerate(tasks):
        # rounded: what differs in the last bits on another machine decides nothing
        cosines = (vectors @ vectors[place]).round(COSINE_DECIMALS)
        rivals = [other for other in kept if task.type == tasks[other].type or is_own(tasks[other])]
        closest = max(rivals, key=lambda other: float(cosines[other]), default=None)
        if task.id in ids:
            rejects.append(Reject(stage=STAGE, record_id=task.id, reason="duplicate", detail=f"{task.name} ({place})"))
        elif closest is not None and not is_own(task) and float(cosines[closest]) >= similarity:
            detail = f"{task.name}: as {tasks[closest].id} ({tasks[closest].name})"
            rejects.append(Reject(stage=STAGE, record_id=task.id, reason="near_duplicate", detail=detail))
        else:
            kept.append(place)
            ids.add(task.id)
    return [tasks[place] for place in kept], rejects


def generate_tasks(
    perspectives: Sequence[Perspective],
    attributes: dict[str, Attribute],
    params: TasksParams,
    domain: Domain,
    talk: Conversation,
    embed: Callable[[Sequence[str]], Any],
) -> tuple[list[Task], list[Reject]]:
    """The tasks of all perspectives, and a reject for every other task that was asked for (see `tasks_asked`)."""
    writer = TaskWriter(params, domain, talk)
    analysis = writer.analysis_tasks(perspectives, attributes)
    defined = writer.define(writer.ideas(perspectives, attributes))
    kept, duplicates = drop_near_duplicates([*writer.own, *defined, *analysis], embed, params.near_duplicate_similarity)
    return kept, writer.rejects + duplicates
