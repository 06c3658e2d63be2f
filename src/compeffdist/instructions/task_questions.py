"""What the teacher is asked for tasks: the domain's prompts, filled, and the schemas of their answers.

Method sections 4-6 (official scripts 2-6), in three kinds of question:
1. analysis prompts, from all member names and the commonest descriptions: open-ended tasks as they stand;
2. ideas, from the head attribute and its commonest description: a name, a description, and an explicit type;
3. a definition of each idea, with its label set, score range, span rule or fields.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compeffdist.canonical import canonical_json
from compeffdist.domain import Domain, TaskPrompts, filled
from compeffdist.instructions.schemas import FIELD_KINDS, array_of, object_of, string_of
from compeffdist.prompting import inline
from compeffdist.records import Attribute, Perspective

EXPLAINED_MEMBERS = 5
"""Members whose description the analysis question quotes (official script 2)."""

_WHOLE = {"type": "integer"}
_AN = re.compile(
    r"(?!U[A-Z]|[Ee]u)"  # a UK, an EU
    r"(?i:(?!ew|one\b|once\b|u[bcfhjkqrst][aeiou]|uni(?:[ftv]|on|que|c[eo]))[aeiou]|hour|honest|honou?r|heir)"
)
"""Beginnings of words that "an" stands before: a vowel that is not said as in "user" or "one", and a silent h."""
_FIELD = {"field": string_of(2, 24), "type": {"enum": list(FIELD_KINDS)}}


@dataclass(frozen=True)
class TaskForm:
    """How a type of task is put to the teacher; `{subject}` is what the domain calls a text, `{a_subject}` that with
    its article."""

    answered_by: str
    """In plain words, because small teachers repeat whatever jargon a prompt holds."""
    wish: str = ""
    """What its definition has beside a description."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """The schemas of that."""


FORMS = {
    "closed_classification": TaskForm(
        "choosing among three or four fixed answers",
        '"labels": three or four answers to choose from, each of one or two plain words and of another meaning; the '
        'last is "none", for {a_subject} that shows nothing of it.',
        {"labels": array_of(string_of(2, 24), 3, 5)},
    ),
    "open_classification": TaskForm("naming it in one to three words of one's own"),
    "scoring": TaskForm(
        "a number on a scale",
        'It says what the "lowest" and the "highest" number mean.',
        {"highest": {**_WHOLE, "minimum": 3, "maximum": 10}, "lowest": {**_WHOLE, "minimum": 0, "maximum": 1}},
    ),
    "extraction": TaskForm(
        "copying the words of the {subject} that show it",
        '"verbatim": whether the words must be copied exactly from the {subject}.',
        {"verbatim": {"type": "boolean"}},
    ),
    "structured": TaskForm(
        "filling in two to four short fields",
        '"fields": two to four of them, each with a short name and a type.',
        {"fields": array_of(object_of(_FIELD), 2, 4)},
    ),
}


def article(noun: str) -> str:
    """ "a" or "an", by how an English noun begins."""
    return "an" if _AN.match(noun) else "a"


@dataclass(frozen=True)
class Idea:
    """A task before its definition."""

    perspective: Perspective
    name: str
    purpose: str
    type: str


def analysis_question(
    perspective: Perspective, attributes: dict[str, Attribute], count: int, prompts: TaskPrompts
) -> tuple[str, dict[str, Any]]:
    """Prompt and schema asking for open-ended analysis prompts on a perspective."""
    explained = [
        f"- {name}: {attributes[member].descriptions[0]}"
        for name, member in zip(perspective.member_names, perspective.member_ids, strict=True)
        if member in attributes and attributes[member].descriptions
    ][:EXPLAINED_MEMBERS]
    prompt = filled(
        prompts.analysis_prompt, names=", ".join(perspective.member_names), explained="\n".join(explained), count=count
    )
    return prompt, object_of({"prompts": array_of(string_of(2, 160), count, count)})


def ideas_question(
    perspective: Perspective, attributes: dict[str, Attribute], types: Sequence[str], domain: Domain
) -> tuple[str, dict[str, Any]]:
    """Prompt and schema asking for one task idea of each given type, each about another side of the head attribute. The
    example is of an attribute hardly ever named, and shows sides only."""
    prompts = domain.tasks
    head = attributes.get(perspective.member_ids[0])
    meaning = f" ({head.descriptions[0].rstrip('.')})" if head and head.descriptions else ""
    seen = Counter[str]()
    wanted: list[str] = []
    example: dict[str, dict[str, str]] = {}
    for number, kind in enumerate(types, 1):
        sides = prompts.types[kind].sides
        shown = sides[seen[kind] % len(sides)]
        seen[kind] += 1
        answered_by = filled(FORMS[kind].answered_by, subject=domain.monitored.subject)
        wanted.append(f"task_{number}: about {shown.side}; answered by {answered_by}")
        example[f"task_{number}"] = {"name": shown.name, "purpose": shown.purpose}
    prompt = filled(
        prompts.ideas_prompt,
        count=len(types),
        attribute=perspective.head,
        wanted="\n".join(wanted),
        example_attribute=prompts.example_attribute,
        example=canonical_json(example),
        quoted_attribute=repr(perspective.head),
        meaning=meaning,
    )
    idea = object_of({"name": string_of(2, 40), "purpose": string_of(2, 140)})
    return prompt, object_of({f"task_{number}": idea for number in range(1, len(types) + 1)})


def definition_question(idea: Idea, domain: Domain) -> tuple[str, dict[str, Any]]:
    """Prompt and schema asking for the full definition of an idea, by its type."""
    form, prompts, subject = FORMS[idea.type], domain.tasks, domain.monitored.subject
    prompt = filled(
        prompts.definition_prompt,
        answered_by=filled(form.answered_by, subject=subject),
        wish=filled(form.wish, subject=subject, a_subject=f"{article(subject)} {subject}"),
        example_attribute=prompts.example_attribute,
        example=canonical_json(prompts.types[idea.type].definition.model_dump(exclude_none=True)),
        name=inline(idea.name),
        purpose=inline(idea.purpose),
    )
    return prompt, object_of({"description": string_of(2, 160), **form.properties})
