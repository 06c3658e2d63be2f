"""Attribute enumeration: the teacher names the sentiment-related attributes of each text.

Method section 1 (official prompt `facet_analysis`, scripts 0 and 1). We ask for JSON under a schema in place of the
official numbered list, whose lazy parser let an item without a description swallow the next one. Here and wherever a
schema constrains the teacher, property names are such that their alphabetical order, which canonical JSON imposes and
generation follows, is the order in which to think.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.files import canonical_json
from compeffdist.instructions.attributes import normalise
from compeffdist.instructions.schemas import array_of, object_of, string_of
from compeffdist.params import AttributesParams, TeacherParams, stage_seed
from compeffdist.prompting import delimited, inline
from compeffdist.records import Mention, Reject, Text, by_id
from compeffdist.teacher.asking import Teacher
from compeffdist.teacher.parsing import parse_json
from compeffdist.teacher.requests import Request
from compeffdist.texts.draw import draw_evenly

STAGE = "enumerate_attributes"
EXAMPLE_TEXT = "Third parcel they lost. Lovely people, as ever."
EXAMPLE = [
    {"attribute": "sarcasm", "description": "whether praise is meant as blame", "value": "mock praise"},
    {"attribute": "resignation", "description": "how far the writer has given up hope", "value": "mostly"},
]
"""Shows small teachers what is general and what belongs to the text."""
NAME_CHARACTERS, DESCRIPTION_CHARACTERS, VALUE_CHARACTERS = 40, 100, 60


def enumeration_request(text: Text, params: AttributesParams, teacher: TeacherParams, seed: int) -> Request:
    """The question for one text."""
    prompt = (
        "Name the sentiment-related attributes of the text below.\n"
        f"- Brainstorm: give {params.max_per_text} attributes, from any angle you can think of.\n"
        "- An attribute is a general characteristic that bears on sentiment, opinion, emotion or attitude: what is "
        "felt, how strongly, in which manner, about which aspect, toward whom, to what end.\n"
        "- Leave out tedious specifics of this one text.\n"
        '- "attribute": its name, one to three words, such as would fit many texts.\n'
        '- "description": what the attribute means for any text, in a few words.\n'
        '- "value": what it is in this text, in a few words.\n'
        f"For the text {EXAMPLE_TEXT!r} two of them might be:\n{canonical_json(EXAMPLE)}\n"
        "Answer in JSON.\n\n" + delimited(text.text)
    )
    return Request.generation(teacher, prompt, params.max_tokens, seed, _schema(params.max_per_text))


def _schema(most: int) -> dict[str, Any]:
    item = object_of(
        {
            "attribute": string_of(2, NAME_CHARACTERS),
            "description": string_of(2, DESCRIPTION_CHARACTERS),
            "value": string_of(1, VALUE_CHARACTERS),
        }
    )
    return object_of({"attributes": array_of(item, -(-most // 2), most)})


def mention_of(
    text_id: str, answer_id: str, position: int, item: Mapping[str, str], params: AttributesParams
) -> Mention | None:
    """The mention an item of an answer makes; None if it has no usable name."""
    names = normalise(item["attribute"], params.normalisation)
    if not names:
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
    texts: Sequence[Text],
    params: AttributesParams,
    teacher_params: TeacherParams,
    teacher: Teacher,
    seed: int,
) -> Enumerated:
    """Ask about each text drawn. A text whose answer yields no mention is a reject with a reason."""
    seed = stage_seed(seed, STAGE)
    by_text = by_id(texts)
    chosen = [by_text[key] for key in draw_evenly({t.id: t.domain for t in texts}, params.texts, seed)]
    requests = [enumeration_request(text, params, teacher_params, seed) for text in chosen]
    mentions: list[Mention] = []
    rejects: list[Reject] = []
    nameless: list[Reject] = []
    listed = 0
    for text, asked in zip(chosen, teacher.ask(requests, "attributes"), strict=True):
        if asked.answer is None:
            rejects.append(Reject(stage=STAGE, record_id=text.id, reason="no_answer", detail=asked.reason))
            continue
        try:
            items = parse_json(asked.answer.whole_text(), _schema(params.max_per_text))["attributes"]
        except ValueError as error:
            rejects.append(Reject(stage=STAGE, record_id=text.id, reason="unparsable", detail=str(error)))
            continue
        listed += len(items)
        found = 0
        for position, item in enumerate(items):
            mention = mention_of(text.id, asked.answer_id, position, item, params)
            if mention is None:
                detail = f"attribute {position}: {item['attribute']!r}"
                nameless.append(Reject(stage=STAGE, record_id=text.id, reason="nameless", detail=detail))
            else:
                mentions.append(mention)
                found += 1
        if not found:
            rejects.append(Reject(stage=STAGE, record_id=text.id, reason="no_attribute"))
    return Enumerated(mentions, rejects, nameless, listed)
