"""Task generation: from a perspective to fully defined tasks on one text.

Method sections 4-6 (official scripts 2-6), in three kinds of question to the teacher:
1. analysis prompts, from all member names and the commonest descriptions: open-ended tasks as they stand;
2. ideas, from the head attribute and its commonest description: a name, a description, and an explicit type;
3. a definition of each idea, with its label set, score range, span rule or fields.
Then near-duplicates, within and across perspectives, are dropped with reason (an open problem in the paper's
limitations). Answers are JSON under a schema; each kind of definition has its own.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.files import canonical_json
from compeffdist.params import TasksParams, TeacherParams, stage_seed
from compeffdist.polarity import POLARITIES, polarity_instruction
from compeffdist.prompting import inline
from compeffdist.records import Attribute, Perspective, Reject, Task
from compeffdist.teacher.asking import Teacher
from compeffdist.teacher.parsing import parse_json
from compeffdist.teacher.requests import Request

STAGE = "generate_tasks"
EXPLAINED_MEMBERS = 5
"""Members whose description the analysis question quotes (official script 2)."""
MOST_LABELS = 8
SCORE_SPAN = 10
"""Widest score range: highest minus lowest."""

TYPE_MEANINGS = {
    "closed_classification": "choosing one label from a small fixed set",
    "open_classification": "naming a fitting label of one to three words, with no fixed set",
    "scoring": "rating something on a scale of whole numbers",
    "extraction": "listing the words or phrases of the text that show something",
    "structured": "filling two to four named fields about the text",
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
    meaning = f", that is: {head.descriptions[0].rstrip('.')}" if head and head.descriptions else ""
    wanted = "\n".join(f"{number}. a task of {TYPE_MEANINGS[kind]}" for number, kind in enumerate(types, 1))
    prompt = (
        f"Think up tasks for analysing the {perspective.head} of a single text{meaning}.\n"
        f"Give these, in this order:\n{wanted}\n\n"
        'Each has a "name" of two to four words and a "purpose": one sentence saying what the reader of a text is to '
        "find out. They differ from one another and never compare two texts.\n"
        'For the attribute "formality", the first might be: {"name": "formality of address", "purpose": "Decide how '
        'formally the writer addresses the reader."}\n'
        "Answer in JSON."
    )
    item = _object({"name": _string(50), "purpose": _string(140)})
    return prompt, _object({"tasks": _array(item, len(types), len(types))})


@dataclass(frozen=True)
class DefinitionForm:
    """What the definition of a type of task asks for beside its description."""

    wish: str
    """Continues "telling the reader what to do"."""
    example: str
    """The answer for a task about formality."""
    properties: dict[str, Any]


_WHOLE = {"type": "integer"}
_FIELD = {"field": _string(24), "type": {"enum": ["string", "list", "boolean"]}}
FORMS = {
    "closed_classification": DefinitionForm(
        ', and "labels": the two to six allowed answers, each one or two words, one of them right for any text',
        '{"description": "Decide how formally the writer addresses the reader.", '
        '"labels": ["casual", "neutral", "formal"]}',
        {"labels": _array(_string(24), 2, 6)},
    ),
    "open_classification": DefinitionForm(
        "",
        '{"description": "Name the register in which the writer addresses the reader."}',
        {},
    ),
    "scoring": DefinitionForm(
        ' and what both ends of the scale mean, and the "highest" and "lowest" number',
        '{"description": "Rate how formally the writer addresses the reader: 1 is very casual, 5 is very formal.", '
        '"highest": 5, "lowest": 1}',
        {"highest": {**_WHOLE, "minimum": 3, "maximum": 10}, "lowest": {**_WHOLE, "minimum": 0, "maximum": 1}},
    ),
    "extraction": DefinitionForm(
        ', and "verbatim": whether the phrases must be copied exactly from the text',
        '{"description": "List the words that show how formally the writer addresses the reader.", "verbatim": true}',
        {"verbatim": {"type": "boolean"}},
    ),
    "structured": DefinitionForm(
        ', and "fields": two to four of them, each with a short name and a type',
        '{"description": "Describe how formally the writer addresses the reader.", "fields": '
        '[{"field": "register", "type": "string"}, {"field": "casual_words", "type": "list"}]}',
        {"fields": _array(_object(_FIELD), 2, 4)},
    ),
}


def definition_question(idea: Idea) -> tuple[str, dict[str, Any]]:
    """Prompt and schema asking for the full definition of an idea, by its type."""
    form = FORMS[idea.type]
    prompt = (
        f"Define this task of {TYPE_MEANINGS[idea.type]}, so that anyone can do it on a given text.\n"
        f"Task: {inline(idea.name)}. {inline(idea.purpose)}\n\n"
        f'Give a "description": one or two plain sentences telling the reader what to do{form.wish}.\n'
        "Keep to the meaning of the task; if it could go two ways, choose one.\n"
        f'For a task "formality of address" the answer might be: {form.example}\n'
        "Answer in JSON."
    )
    return prompt, _object({"description": _string(240), **form.properties})


# ---------------------------------------------------------------- answers to tasks


def build_task(idea: Idea, definition: dict[str, Any]) -> Task:
    """A task from an idea and its definition.

    Raises:
        ValueError: with the reject reason, if the definition cannot be used.
    """
    description = " ".join(definition["description"].split())
    whole = f"{idea.name} {description}".casefold()
    if any(first in whole and second in whole for first, second in _TWO_TEXTS):
        raise ValueError("compares_texts")
    if any(description.strip(".") in form.example for form in FORMS.values()):
        raise ValueError("copies_example")
    labels: list[str] = []
    score_range: list[int] = []
    schema = ""
    if idea.type == "closed_classification":
        labels = list(dict.fromkeys(clean_label(label) for label in definition["labels"]))
        if not 2 <= len(labels) <= MOST_LABELS or not all(labels):
            raise ValueError("bad_label_set")
    elif idea.type == "scoring":
        score_range = [definition["lowest"], definition["highest"]]
    elif idea.type == "extraction":
        schema = canonical_json(_array({"type": "string", "minLength": 1, "maxLength": 80}, 0, 5))
    elif idea.type == "structured":
        schema = canonical_json(_fields_schema(definition["fields"]))
    return Task(
        perspective_id=idea.perspective.id,
        name=inline(idea.name),
        description=description,
        type=idea.type,
        labels=labels,
        score_range=score_range,
        json_schema=schema,
        exact_spans=bool(definition.get("verbatim", False)),
    )


def clean_label(label: str) -> str:
    """A label as shown and compared: one line, lower case, no surrounding punctuation."""
    return " ".join(label.split()).strip(" .,:;\"'`*()").lower()


def _fields_schema(fields: Sequence[dict[str, str]]) -> dict[str, Any]:
    kinds = {
        "string": {"type": "string", "maxLength": 60},
        "list": _array({"type": "string", "maxLength": 40}, 0, 3),
        "boolean": {"type": "boolean"},
    }
    named = {"_".join(field["field"].lower().split()): kinds[field["type"]] for field in fields}
    if len(named) < 2:
        raise ValueError("bad_fields")
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


class TaskWriter:
    """Asks the three kinds of question and accounts for every answer."""

    def __init__(self, params: TasksParams, teacher_params: TeacherParams, teacher: Teacher, seed: int) -> None:
        self.params, self.teacher_params, self.teacher = params, teacher_params, teacher
        self.seed = stage_seed(seed, STAGE)
        self.rejects: list[Reject] = []

    def _ask(self, questions: Sequence[tuple[str, dict[str, Any]]], owners: Sequence[str], label: str) -> list[Any]:
        """The parsed answer to each question, or None where it was rejected (recorded under its owner's id)."""
        requests = [
            Request(
                system=self.teacher_params.system_prompt,
                prompt=prompt,
                max_tokens=self.params.max_tokens,
                temperature=self.teacher_params.temperature,
                top_p=self.teacher_params.top_p,
                seed=self.seed,
                schema=canonical_json(schema),
            )
            for prompt, schema in questions
        ]
        values: list[Any] = []
        answered = zip(questions, owners, self.teacher.ask(requests, label), strict=True)
        for place, ((_, schema), owner, asked) in enumerate(answered):
            value = None
            if asked.answer is None:
                self._reject(owner, "no_answer", f"{label} {place}: {asked.reason}")
            else:
                try:
                    value = parse_json(asked.answer.text, schema)
                except ValueError as error:
                    self._reject(owner, "unparsable", f"{label} {place}: {error}")
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
        answers = self._ask(questions, [p.id for p in perspectives], "analysis prompts")
        return [
            Task(perspective_id=p.id, name=f"analysis: {p.head}", description=inline(prompt), type="analysis")
            for p, answer in zip(perspectives, answers, strict=True)
            if answer
            for prompt in dict.fromkeys(answer["prompts"])
        ]

    def ideas(self, perspectives: Sequence[Perspective], attributes: dict[str, Attribute]) -> list[Idea]:
        """Ideas of every perspective; types go round `tasks.types`, each perspective starting one further."""
        wanted = [self._types_for(place) for place in range(len(perspectives))]
        questions = [ideas_question(p, attributes, kinds) for p, kinds in zip(perspectives, wanted, strict=True)]
        answers = self._ask(questions, [p.id for p in perspectives], "task ideas")
        return [
            Idea(perspective, item["name"], item["purpose"], kind)
            for perspective, kinds, answer in zip(perspectives, wanted, answers, strict=True)
            if answer
            for kind, item in zip(kinds, answer["tasks"], strict=True)
        ]

    def _types_for(self, place: int) -> list[str]:
        types, count = self.params.types, self.params.per_perspective
        return [types[(place * count + offset) % len(types)] for offset in range(count)]

    def define(self, ideas: Sequence[Idea]) -> list[Task]:
        """The tasks of the ideas whose definition can be used."""
        answers = self._ask([definition_question(i) for i in ideas], [i.perspective.id for i in ideas], "definitions")
        tasks = []
        for idea, answer in zip(ideas, answers, strict=True):
            if answer is None:
                continue
            try:
                tasks.append(build_task(idea, answer))
            except ValueError as error:
                self._reject(idea.perspective.id, str(error), f"{idea.name}: {json.dumps(answer, ensure_ascii=False)}")
        return tasks


def drop_near_duplicates(
    tasks: Sequence[Task], embed: Callable[[Sequence[str]], Any], similarity: float
) -> tuple[list[Task], list[Reject]]:
    """Keep a task unless an earlier one of the same type is as similar as `similarity` (cosine of embeddings).

    Args:
        tasks: in order of preference (perspectives by total count).
        embed: texts -> (n, d) unit vectors.
    """
    kept: list[int] = []
    rejects: list[Reject] = []
    vectors = embed([f"{task.name}. {task.description} {' '.join(task.labels)}" for task in tasks]) if tasks else []
    for place, task in enumerate(tasks):
        rivals = [other for other in kept if tasks[other].type == task.type]
        closest = max(rivals, key=lambda other: float(vectors[other] @ vectors[place]), default=None)
        if task.id in {tasks[other].id for other in rivals}:
            rejects.append(Reject(stage=STAGE, record_id=task.id, reason="duplicate", detail=f"{task.name} ({place})"))
        elif closest is not None and float(vectors[closest] @ vectors[place]) >= similarity:
            detail = f"{task.name}: as {tasks[closest].id} ({tasks[closest].name})"
            rejects.append(Reject(stage=STAGE, record_id=task.id, reason="near_duplicate", detail=detail))
        else:
            kept.append(place)
    return [tasks[place] for place in kept], rejects


def generate_tasks(
    perspectives: Sequence[Perspective],
    attributes: dict[str, Attribute],
    params: TasksParams,
    teacher_params: TeacherParams,
    teacher: Teacher,
    embed: Callable[[Sequence[str]], Any],
    seed: int,
) -> tuple[list[Task], list[Reject], int]:
    """All tasks of all perspectives, the rejects, and how many candidates there were before them."""
    writer = TaskWriter(params, teacher_params, teacher, seed)
    analysis = writer.analysis_tasks(perspectives, attributes)
    ideas = writer.ideas(perspectives, attributes)
    defined = writer.define(ideas)
    seeds = [polarity_task()] if params.seed_polarity_task else []
    kept, duplicates = drop_near_duplicates([*seeds, *defined, *analysis], embed, params.near_duplicate_similarity)
    rejects = writer.rejects + duplicates
    return kept, rejects, len(kept) + len(rejects)
