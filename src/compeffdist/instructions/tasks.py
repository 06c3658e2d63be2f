"""Task generation: from a perspective to fully defined tasks on one text.

Method sections 4-6 (official scripts 2-6), in three kinds of question to the teacher:
1. analysis prompts, from all member names and the commonest descriptions: open-ended tasks as they stand;
2. ideas, from the head attribute and its commonest description: a name, a description, and an explicit type;
3. a definition of each idea, with its label set, score range, span rule or fields.
Then near-duplicates, within and across perspectives, are dropped with reason (an open problem in the paper's
limitations). Answers are JSON under a schema; each kind of definition has its own.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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

EXAMPLE_HEAD = "haste"
"""The attribute of all examples in prompts: one hardly ever named, so that a copied example shows."""
SIDES = {
    "closed_classification": (
        ("its kind", "kind of haste", "Decide what kind of haste the writer shows."),
        (
            "how openly it is shown",
            "openness of haste",
            "Decide whether haste is shown openly, only hinted at or absent.",
        ),
        (
            "whom or what it is aimed at",
            "target of haste",
            "Decide whether the haste is about a person, a thing or an event.",
        ),
    ),
    "open_classification": (
        ("its cause", "cause of haste", "Name what makes the writer hasty."),
        ("whose it is", "holder of haste", "Name who is hasty."),
    ),
    "scoring": (
        ("its strength", "strength of haste", "Rate how hasty the writer is."),
        ("its weight in the text", "weight of haste", "Rate how much of the text is about haste."),
    ),
    "extraction": (
        ("the words that show it", "words of haste", "List the words that show haste."),
        ("what it is about", "objects of haste", "List what the writer is hasty about."),
    ),
    "structured": (
        ("its cause and its effect", "cause and effect of haste", "Say what makes the writer hasty and what follows."),
        ("its holder and its target", "holder and target of haste", "Say who is hasty, and about what."),
    ),
}
"""Sides of an attribute that tasks of a type look at, in turn, each with the name and purpose of an example: left to
themselves, small teachers look at one side only."""

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
    """Prompt and schema asking for one task idea of each given type about the head attribute.

    Each is to be about another side of it. The example is of an attribute hardly ever named, and shows sides only.
    """
    head = attributes.get(perspective.member_ids[0])
    meaning = f" ({head.descriptions[0].rstrip('.')})" if head and head.descriptions else ""
    seen = Counter[str]()
    wanted: list[str] = []
    example: dict[str, dict[str, str]] = {}
    for number, kind in enumerate(types, 1):
        side, name, purpose = SIDES[kind][seen[kind] % len(SIDES[kind])]
        seen[kind] += 1
        wanted.append(f"task_{number}: about {side}; answered by {ANSWERED_BY[kind]}")
        example[f"task_{number}"] = {"name": name, "purpose": purpose}
    prompt = (
        f"Think up {len(types)} tasks on the {perspective.head} of a single text:\n"
        + "\n".join(wanted)
        + '\n"name": two to four words. "purpose": one sentence that fits any text and speaks of no particular one. '
        "No task asks merely whether a text is positive or negative.\n\n"
        f"For the attribute {EXAMPLE_HEAD!r} the answer might be:\n{canonical_json(example)}\n\n"
        f"The attribute is {perspective.head!r}{meaning}. Answer in JSON."
    )
    idea = _object({"name": _string(40), "purpose": _string(140)})
    return prompt, _object({f"task_{number}": idea for number in range(1, len(types) + 1)})


_WHOLE = {"type": "integer"}
_FIELD = {"field": _string(24), "type": {"enum": ["string", "list", "boolean"]}}


@dataclass(frozen=True)
class DefinitionForm:
    """What the definition of a type of task asks for beside its description."""

    wish: str
    example: str
    """The answer for a task about EXAMPLE_HEAD."""
    properties: dict[str, Any]


FORMS = {
    "closed_classification": DefinitionForm(
        '"labels": three or four answers to choose from, each of one or two plain words and of another meaning; the '
        'last is "none", for a text that shows nothing of it.',
        '{"description":"Decide what kind of haste the writer shows.","labels":["eager","anxious","careless","none"]}',
        {"labels": _array(_string(24), 3, 5)},
    ),
    "open_classification": DefinitionForm("", '{"description":"Name what makes the writer hasty."}', {}),
    "scoring": DefinitionForm(
        'It says what the "lowest" and the "highest" number mean.',
        '{"description":"Rate how hasty the writer is: 1 is calm, 5 is rushed.","highest":5,"lowest":1}',
        {"highest": {**_WHOLE, "minimum": 3, "maximum": 10}, "lowest": {**_WHOLE, "minimum": 0, "maximum": 1}},
    ),
    "extraction": DefinitionForm(
        '"verbatim": whether the words must be copied exactly from the text.',
        '{"description":"List the words that show haste.","verbatim":true}',
        {"verbatim": {"type": "boolean"}},
    ),
    "structured": DefinitionForm(
        '"fields": two to four of them, each with a short name and a type.',
        '{"description":"Say what makes the writer hasty and what follows.","fields":'
        '[{"field":"cause","type":"string"},{"field":"effects","type":"list"}]}',
        {"fields": _array(_object(_FIELD), 2, 4)},
    ),
}


def definition_question(idea: Idea) -> tuple[str, dict[str, Any]]:
    """Prompt and schema asking for the full definition of an idea, by its type."""
    form = FORMS[idea.type]
    prompt = (
        f"Define a task on a single text, answered by {ANSWERED_BY[idea.type]}, so that anyone can do it on any text.\n"
        f'"description": one plain sentence telling the reader of the text what to do. {form.wish}\n\n'
        f"For a task on {EXAMPLE_HEAD} the answer might be:\n{form.example}\n\n"
        f"The task is: {inline(idea.name)}. {inline(idea.purpose)}\nAnswer in JSON."
    )
    return prompt, _object({"description": _string(160), **form.properties})


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
    if _is_example(idea, definition):
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


def _is_example(idea: Idea, definition: Mapping[str, Any]) -> bool:
    """Whether a task is that of the prompts: of its attribute, or with its labels."""
    said = {*words(f"{idea.name} {definition['description']}")}
    if EXAMPLE_HEAD not in idea.perspective.head and said & {EXAMPLE_HEAD, "hasty"}:
        return True
    shown = json.loads(FORMS[idea.type].example).get("labels")
    return bool(shown) and shown == definition["labels"]


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
            # by name: an answer is in the alphabetical order of its schema, in which task_10 comes before task_2
            for number, kind in enumerate(kinds if answer else (), 1):
                item = answer[f"task_{number}"]
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
