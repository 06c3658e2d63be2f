"""What the teacher is asked for tasks: prompts and the schemas of their answers.

Method sections 4-6 (official scripts 2-6), in three kinds of question:
1. analysis prompts, from all member names and the commonest descriptions: open-ended tasks as they stand;
2. ideas, from the head attribute and its commonest description: a name, a description, and an explicit type;
3. a definition of each idea, with its label set, score range, span rule or fields.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.files import canonical_json
from compeffdist.instructions.schemas import array_of, object_of, string_of
from compeffdist.prompting import inline
from compeffdist.records import Attribute, Perspective

EXPLAINED_MEMBERS = 5
"""Members whose description the analysis question quotes (official script 2)."""

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


@dataclass(frozen=True)
class Idea:
    """A task before its definition."""

    perspective: Perspective
    name: str
    purpose: str
    type: str


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
    return prompt, object_of({"prompts": array_of(string_of(2, 160), count, count)})


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
    idea = object_of({"name": string_of(2, 40), "purpose": string_of(2, 140)})
    return prompt, object_of({f"task_{number}": idea for number in range(1, len(types) + 1)})


_WHOLE = {"type": "integer"}
_FIELD = {"field": string_of(2, 24), "type": {"enum": ["string", "list", "boolean"]}}


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
        {"labels": array_of(string_of(2, 24), 3, 5)},
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
        {"fields": array_of(object_of(_FIELD), 2, 4)},
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
    return prompt, object_of({"description": string_of(2, 160), **form.properties})
