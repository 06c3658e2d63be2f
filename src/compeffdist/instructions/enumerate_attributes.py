"""Attribute enumeration: the teacher names the attributes of each text that the domain is about.

Method section 1 (official prompt `facet_analysis`, scripts 0 and 1). We ask for JSON under a schema in place of the
official numbered list, whose lazy parser let an item without a description swallow the next one. Here and wherever a
schema constrains the teacher, property names are such that their alphabetical order, which canonical JSON imposes and
generation follows, is the order in which to think.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.canonical import canonical_json
from compeffdist.domain import AttributePrompts, filled
from compeffdist.instructions.attributes import normalise
from compeffdist.instructions.schemas import array_of, object_of, string_of
from compeffdist.params import AttributesParams
from compeffdist.prompting import delimited, inline
from compeffdist.records import Mention, Reject, Text, by_id
from compeffdist.teacher.conversation import Conversation, Question, json_question
from compeffdist.texts.draw import draw_evenly

STAGE = "enumerate_attributes"
NAME_CHARACTERS, DESCRIPTION_CHARACTERS, VALUE_CHARACTERS = 40, 100, 60


def attributes_question(text: Text, params: AttributesParams, prompts: AttributePrompts) -> Question[Any]:
    """The question for one text."""
    prompt = filled(
        prompts.prompt,
        count=params.max_per_text,
        example_text=prompts.example_text,
        example=canonical_json([item.model_dump() for item in prompts.example]),
        text=delimited(text.text),
    )
    item = object_of(
        {
            "attribute": string_of(2, NAME_CHARACTERS),
            "description": string_of(2, DESCRIPTION_CHARACTERS),
            "value": string_of(1, VALUE_CHARACTERS),
        }
    )
    most = params.max_per_text
    schema = object_of({"attributes": array_of(item, -(-most // 2), most)})
    return json_question(text.id, prompt, schema, params.max_tokens)


def mention_of(
    text_id: str, answer_id: str, position: int, item: Mapping[str, str], params: AttributesParams
) -> Mention | None:
    """The mention an item of an answer makes; None if it has no usable name."""
    if not (names := normalise(item["attribute"], params.normalisation)):
        return None
    return Mention(
        text_id=text_id,
        answer_id=answer_id,
        position=position,
        raw_name=item["attribute"],
        names=names,
        description=inline(item["description"]),
        value=inline(item["value"]),
    )


@dataclass(frozen=True)
class Enumerated:
    """What came of asking about the attributes of texts."""

    mentions: list[Mention]
    rejects: list[Reject]
    """One for each text whose answer gave no mention."""
    nameless: list[Reject]
    """One for each attribute without a usable name."""
    listed: int
    """Attributes listed in the answers that could be read."""


def enumerate_attributes(
    texts: Sequence[Text], params: AttributesParams, prompts: AttributePrompts, talk: Conversation
) -> Enumerated:
    """Ask about each text drawn. A text whose answer yields no mention is a reject with a reason."""
    by_text = by_id(texts)
    chosen = [by_text[key] for key in draw_evenly({t.id: t.domain for t in texts}, params.texts, talk.seed)]
    mentions: list[Mention] = []
    rejects: list[Reject] = []
    nameless: list[Reject] = []
    listed = 0
    asked = talk.ask([attributes_question(text, params, prompts) for text in chosen], "attributes")
    for text, said in zip(chosen, asked, strict=True):
        if isinstance(said, Reject):
            rejects.append(said)
            continue
        items = said.value["attributes"]
        found = [mention_of(text.id, said.answer_id, place, item, params) for place, item in enumerate(items)]
        listed += len(items)
        mentions += [mention for mention in found if mention is not None]
        nameless += [
            talk.reject(text.id, "nameless", f"attribute {place}: {item['attribute']!r}")
            for place, (item, mention) in enumerate(zip(items, found, strict=True))
            if mention is None
        ]
        if not any(found):
            rejects.append(talk.reject(text.id, "no_attribute"))
    return Enumerated(mentions, rejects, nameless, listed)
