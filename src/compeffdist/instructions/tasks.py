"""Task generation: from a perspective to fully defined tasks on one text.

Method sections 4-6 (official scripts 2-6), in three kinds of question to the teacher:
1. analysis prompts, from all member names and the commonest descriptions: open-ended tasks as they stand;
2. ideas, from the head attribute and its commonest description: a name, a description, and an explicit type;
3. a definition of each idea, with its label set, score range, span rule or fields.
Then near-duplicates, within and across perspectives, are dropped with reason (an open problem in the paper's
limitations). Answers are JSON under a schema; each kind of definition has its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.files import canonical_json
from compeffdist.instructions.label_sets import is_polarity_set, label_set
from compeffdist.params import TasksParams, TeacherParams, stage_seed
from compeffdist.polarity import POLARITIES, polarity_instruction
from compeffdist.prompting import inline
from compeffdist.records import Attribute, Perspective, Reject, Task
from compeffdist.teacher.asking import Teacher
from compeffdist.teacher.parsing import BadAnswer, parse_json
from compeffdist.teacher.requests import Request
from compeffdist.texts.words import words

STAGE = "generate_tasks"
EXPLAINED_MEMBERS = 5
"""Members whose description the analysis question quotes (official script 2)."""
FEWEST_WORDS = 4
"""Words of a description at least: less tells nobody what to do."""

ANSWERED_BY = {
    "closed_classification": "choosing among three or four fixed answers",
    "open_classification": "naming it in one to three words of one's own",
    "scoring": "a number on a scale",
    "extraction": "copying the words of the text that show it",
    "structured": "filling in two to four short fields",
}
"""How a type is put to the teacher: in plain words, because small teachers repeat whatever jargon a prompt holds."""

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


@dataclass(frozen=True)
class Idea:
    """A task before its definition."""

    perspective: Perspective
    name: str
    purpose: str
    type: str


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _string(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 2, "maxLength": longest}


def _array(items: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


# ---------------------------------------------------------------- questions


def analysis_question(
    perspective: Perspective, attributes: dict[str, Attribute], count: int
) -> tuple[str, dict[str, Any]]:
    """Prompt and schema asking for open-ended analysis prompts on a perspective."""
    explained = [
        f"- {name}: {attributes[member].descriptions[0]}"
        for name, member in zip(perspective.member_names, perspective.member_ids, strict=True)
        if member in attributes and attributes[member].descriptions
    ][:EXPLAINED_MEMBERS]
    prompt = (
        "These attributes of subjective texts belong together: "
        + ", ".join(perspective.member_names)
        + ".\n"
        + "\n".join(explained)
        + f"\n\nWrite {count} prompts that each ask for an analysis of one text along what these attributes share.\n"
        "- Catch their common core; do not hang on one of them.\n"
        '- Fit any domain: say "this text", not "this review".\n'
        "- Vary: an imperative (analyse, identify, explain) or a what, which or how question.\n"
        "- Each is one sentence.\nAnswer in JSON."
    )
    return prompt, _object({"prompts": _array(_string(160), count, count)})


def ideas_question(
    perspective: Perspective, attributes: dict[str, Attribute], types: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """Prompt and schema asking for one task idea of each given type about the head attribute."""
    head = attributes.get(perspective.member_ids[0])
    meaning = f" ({head.descriptions[0].rstrip('.')})" if head and head.descriptions else ""
    wanted = "\n".join(f"task_{number}: answered by {ANSWERED_BY[kind]}" for number, kind in enumerate(types, 1))
    prompt = (
        f"An attribute of texts: {perspective.head}{meaning}.\n"
        f"Think up {len(types)} tasks on one text, each about another side of it, such as its kind, cause, target, "
        f"strength, aim, manner or effect:\n{wanted}\n\n"
        '"about": that side in two to four words. "name": a title of two to four words that says what is looked at, '
        'not how it is answered. "purpose": one sentence saying what to find out about the text.\n'
        "None asks merely whether the text is positive or negative. Answer in JSON."
    )
    idea = _object({"about": _string(40), "name": _string(40), "purpose": _string(140)})
    return prompt, _object({f"task_{number}": idea for number in range(1, len(types) + 1)})


_WHOLE = {"type": "integer"}
_FIELD = {"field": _string(24), "type": {"enum": ["string", "list", "boolean"]}}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "closed_classification": (
        '"labels": the three or four answers to choose from, each of one or two plain words and of another meaning, '
        "so that one of them fits any text.",
        {"labels": _array(_string(24), 3, 5)},
    ),
    "open_classification": ("", {}),
    "scoring": (
        'It also says what the lowest and what the highest number means. "highest" and "lowest": those numbers.',
        {"highest": {**_WHOLE, "minimum": 3, "maximum": 10}, "lowest": {**_WHOLE, "minimum": 0, "maximum": 1}},
    ),
    "extraction": (
        '"verbatim": whether the words must be copied exactly from the text.',
        {"verbatim": {"type": "boolean"}},
    ),
    "structured": (
        '"fields": two to four of them, each with a short name and a type.',
        {"fields": _array(_object(_FIELD), 2, 4)},
    ),
}
"""What the definition of a type of task asks for beside its description, and the schema of it."""


def definition_question(idea: Idea) -> tuple[str, dict[str, Any]]:
    """Prompt and schema asking for the full definition of an idea, by its type."""
    wish, properties = FORMS[idea.type]
    prompt = (
        f"A task on one text: {inline(idea.name)}. {inline(idea.purpose)}\n"
        f"It is answered by {ANSWERED_BY[idea.type]}.\n\n"
        "Define it, so that anyone can do it on any text.\n"
        f'"description": one or two plain sentences telling the reader of the text what to do. {wish}\n'
        "Keep to the meaning of the task; if it could go two ways, choose one. Answer in JSON."
    )
    return prompt, _object({"description": _string(240), **properties})


# ---------------------------------------------------------------- answers to tasks


def build_task(idea: Idea, definition: dict[str, Any], polarity_is_asked: bool) -> Task:
    """A task from an idea and its definition.

    Args:
        polarity_is_asked: whether the seed task asks for polarity, so that no other is to.

    Raises:
        BadAnswer: if the definition cannot be used.
    """
    description = " ".join(definition["description"].split())
    whole = f"{idea.name} {description}".casefold()
    if any(first in whole and second in whole for first, second in _TWO_TEXTS):
        raise BadAnswer("compares_texts", whole)
    if len(words(description)) < FEWEST_WORDS:
        raise BadAnswer("no_description", description)
    labels: list[str] = []
    schema = ""
    if idea.type == "closed_classification":
        try:
            labels = label_set(definition["labels"])
        except ValueError as error:
            raise BadAnswer("bad_label_set", str(error)) from None
        if polarity_is_asked and is_polarity_set(labels):
            raise BadAnswer("polarity_again", ", ".join(labels))
    elif idea.type == "extraction":
        schema = canonical_json(_array({"type": "string", "minLength": 1, "maxLength": 80}, 0, 5))
    elif idea.type == "structured":
        schema = canonical_json(_fields_schema(definition["fields"]))
    return Task(
        perspective_id=idea.perspective.id,
        name=idea.name,
        description=description,
        type=idea.type,
        labels=labels,
        score_range=[definition["lowest"], definition["highest"]] if idea.type == "scoring" else [],
        json_schema=schema,
        exact_spans=bool(definition.get("verbatim", False)),
    )


def _fields_schema(fields: Sequence[dict[str, str]]) -> dict[str, Any]:
    kinds = {
        "string": {"type": "string", "maxLength": 60},
        "list": _array({"type": "string", "maxLength": 40}, 0, 3),
        "boolean": {"type": "boolean"},
    }
    named = {"_".join(field["field"].lower().split()): kinds[field["type"]] for field in fields}
    if len(named) < 2:
        raise BadAnswer("bad_fields", ", ".join(named))
    return _object(named)


def polarity_task() -> Task:
    """The seed task `tasks.seed_polarity_task`: the question every text is asked anyway."""
    return Task(
        perspective_id="",
        name="overall polarity",
        description=polarity_instruction(),
        type="closed_classification",
        labels=list(POLARITIES),
    )


# ---------------------------------------------------------------- the stage


def tasks_asked(perspectives: Sequence[Perspective], params: TasksParams) -> int:
    """How many tasks a run asks for, the seed task included: each comes back as a task or as a reject."""
    of_each = params.per_perspective + params.analysis_per_perspective
    return len(perspectives) * of_each + params.seed_polarity_task


class TaskWriter:
    """Asks the three kinds of question; every task that does not come of them is a reject."""

    def __init__(self, params: TasksParams, teacher_params: TeacherParams, teacher: Teacher, seed: int) -> None:
        self.params, self.teacher_params, self.teacher = params, teacher_params, teacher
        self.seed = stage_seed(seed, STAGE)
        self.rejects: list[Reject] = []

    def _ask(
        self, questions: Sequence[tuple[str, dict[str, Any]]], owners: Sequence[str], tasks_each: int, label: str
    ) -> list[Any]:
        """The parsed answer to each question, or None where it was rejected: a reject under its owner's id for each of
        the `tasks_each` tasks it would have given."""
        requests = [
            Request.generation(self.teacher_params, prompt, self.params.max_tokens, self.seed, schema)
            for prompt, schema in questions
        ]
        values: list[Any] = []
        for (_, schema), owner, asked in zip(questions, owners, self.teacher.ask(requests, label), strict=True):
            value, reason, why = None, "no_answer", asked.reason
            if asked.answer is not None:
                try:
                    value = parse_json(asked.answer.text, schema)
                except ValueError as error:
                    reason, why = "unparsable", str(error)
            if value is None:
                for number in range(1, tasks_each + 1):
                    self._reject(owner, reason, f"{label}, {number} of {tasks_each}: {why}")
            values.append(value)
        return values

    def _reject(self, record_id: str, reason: str, detail: str) -> None:
        self.rejects.append(Reject(stage=STAGE, record_id=record_id, reason=reason, detail=detail))

    def analysis_tasks(self, perspectives: Sequence[Perspective], attributes: dict[str, Attribute]) -> list[Task]:
        """Open-ended analysis tasks of every perspective."""
        count = self.params.analysis_per_perspective
        if not count:
            return []
        questions = [analysis_question(p, attributes, count) for p in perspectives]
        answers = self._ask(questions, [p.id for p in perspectives], count, "analysis prompts")
        return [
            Task(perspective_id=p.id, name=f"analysis: {p.head}", description=inline(prompt), type="analysis")
            for p, answer in zip(perspectives, answers, strict=True)
            if answer is not None
            for prompt in answer["prompts"]
        ]

    def ideas(self, perspectives: Sequence[Perspective], attributes: dict[str, Attribute]) -> list[Idea]:
        """Ideas of every perspective; types go round `tasks.types`, each perspective starting one further."""
        wanted = [self._types_for(place) for place in range(len(perspectives))]
        questions = [ideas_question(p, attributes, kinds) for p, kinds in zip(perspectives, wanted, strict=True)]
        answers = self._ask(questions, [p.id for p in perspectives], self.params.per_perspective, "task ideas")
        ideas = []
        for perspective, kinds, answer in zip(perspectives, wanted, answers, strict=True):
            for kind, item in zip(kinds, (answer or {}).values(), strict=answer is not None):
                name = clean_name(item["name"])
                if set(words(name)) <= _SAYS_NOTHING:
                    self._reject(perspective.id, "name_says_nothing", f"{item['name']}: {item['purpose']}")
                else:
                    ideas.append(Idea(perspective, name, inline(item["purpose"]), kind))
        return ideas

    def _types_for(self, place: int) -> list[str]:
        types, count = self.params.types, self.params.per_perspective
        return [types[(place * count + offset) % len(types)] for offset in range(count)]

    def define(self, ideas: Sequence[Idea]) -> list[Task]:
        """The tasks of the ideas whose definition can be used."""
        answers = self._ask(
            [definition_question(i) for i in ideas], [i.perspective.id for i in ideas], 1, "definitions"
        )
        tasks = []
        for idea, answer in zip(ideas, answers, strict=True):
            if answer is None:
                continue
            try:
                tasks.append(build_task(idea, answer, self.params.seed_polarity_task))
            except BadAnswer as bad:
                self._reject(idea.perspective.id, bad.reason, f"{idea.name}: {bad.detail}")
        return tasks


def clean_name(name: str) -> str:
    """The name of a task on one line, without surrounding punctuation, in lower case."""
    return inline(name).strip(" .,:;!?\"'`*_-").lower()


def drop_near_duplicates(
    tasks: Sequence[Task], embed: Callable[[Sequence[str]], Any], similarity: float
) -> tuple[list[Task], list[Reject]]:
    """Keep a task unless an earlier one of the same type, or the seed task, is as similar as `similarity` (cosine of
    embeddings).

    Args:
        tasks: in order of preference (the seed task, then perspectives by total count).
        embed: texts -> (n, d) unit vectors.
    """
    kept: list[int] = []
    ids: set[str] = set()
    rejects: list[Reject] = []
    vectors = embed([f"{task.name}. {task.description} {' '.join(task.labels)}" for task in tasks]) if tasks else []
    for place, task in enumerate(tasks):
        cosines = vectors @ vectors[place]
        rivals = [other for other in kept if task.type == tasks[other].type or not tasks[other].perspective_id]
        closest = max(rivals, key=lambda other: float(cosines[other]), default=None)
        if task.id in ids:
            rejects.append(Reject(stage=STAGE, record_id=task.id, reason="duplicate", detail=f"{task.name} ({place})"))
        elif closest is not None and float(cosines[closest]) >= similarity:
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
    teacher_params: TeacherParams,
    teacher: Teacher,
    embed: Callable[[Sequence[str]], Any],
    seed: int,
) -> tuple[list[Task], list[Reject]]:
    """The tasks of all perspectives, and a reject for every other task that was asked for (see `tasks_asked`)."""
    writer = TaskWriter(params, teacher_params, teacher, seed)
    analysis = writer.analysis_tasks(perspectives, attributes)
    defined = writer.define(writer.ideas(perspectives, attributes))
    seeds = [polarity_task()] if params.seed_polarity_task else []
    kept, duplicates = drop_near_duplicates([*seeds, *defined, *analysis], embed, params.near_duplicate_similarity)
    return kept, writer.rejects + duplicates
