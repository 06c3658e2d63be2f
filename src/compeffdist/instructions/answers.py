"""What counts as an answer to a task: the same for the teacher's responses and for the outputs of demonstrations."""

import json
from typing import Any

from compeffdist.instructions.label_sets import is_label
from compeffdist.instructions.rendering import Answerable
from compeffdist.instructions.schemas import tuple_parts
from compeffdist.label_spelling import clean_label
from compeffdist.params import ABSENT
from compeffdist.prompting import inline
from compeffdist.teacher.parsing import BadAnswer, is_worded, parse_json, spans_missing
from compeffdist.texts.words import stand_in, words

_SEEN = 80
"""Characters of a refused answer that its reject quotes."""


def choices(task: Answerable) -> list[str]:
    """All possible answers where they are few (labels, or the numbers of a scale), else none."""
    if task.type == "closed_classification":
        return task.labels
    if task.type == "scoring":
        low, high = task.score_range
        return [str(score) for score in range(low, high + 1)]
    return []


def check_answer(task: Answerable, name: str, asked: str, text: str, answer: str) -> str:
    """An answer to `task`, of this name and definition, on `text` in canonical form, spans once each.

    Raises:
        BadAnswer: empty; a label not in the set, a number off the scale; JSON that does not fit the schema, or a span
            without words, or one that does not stand in a text that must hold it; where the label is free, a
            sentence, a word for labels, or a piece of the question; and an answer that is the text over again.
    """
    possible = choices(task)
    if possible:
        given = answer.strip() if answer.strip() in possible else clean_label(answer)
        # punctuation around a label says nothing, a minus before a number does
        if given not in possible or (task.type == "scoring" and "-" in answer):
            raise BadAnswer("label_not_in_set", given[:_SEEN])
        return given
    if task.json_schema:
        return _check_json(task, text, answer)
    response = inline(answer)
    if not response:
        raise BadAnswer("empty", "")
    if words(response) == words(text):
        raise BadAnswer("echoes_text", response[:_SEEN])
    return _check_label(name, asked, text, response) if task.type == "open_classification" else response


def _check_label(name: str, asked: str, text: str, response: str) -> str:
    label = clean_label(response)
    if not is_label(label):
        raise BadAnswer("not_a_label", response[:_SEEN])
    # one word of text or definition may well be the answer, a phrase of theirs is copied; but what the task is called
    # ("cause of disappointment") is what it asks about ("disappointment"), not what it asks for
    said = words(label)
    if len(said) > 1 and stand_in(said, words(text)):
        raise BadAnswer("echoes_text", label)
    if stand_in(said, words(name)) or (len(said) > 1 and stand_in(said, words(asked))):
        raise BadAnswer("echoes_instruction", label)
    return label


def _check_json(task: Answerable, text: str, answer: str) -> str:
    schema = json.loads(task.json_schema)
    try:
        value = parse_json(answer, schema)
    except ValueError as error:
        raise BadAnswer("schema_violation", str(error)) from None
    if parts := tuple_parts(schema):
        copied = [item[name] for item in value for name, part in parts.items() if "enum" not in part]
        spans = [span for span in copied if span != ABSENT]
    else:
        copied = spans = value if isinstance(value, list) else []
    if not all(is_worded(span) for span in copied):
        raise BadAnswer("wordless_span", json.dumps(copied, ensure_ascii=False)[:_SEEN])
    missing = spans_missing(spans if parts else value, text) if task.exact_spans else []
    if missing:
        raise BadAnswer("span_not_in_text", missing[0][:_SEEN])
    if isinstance(value, list):
        once: dict[str, Any] = {}
        for item in value:
            once.setdefault(str(item).casefold(), item)
        value = list(once.values())
    return json.dumps(value, ensure_ascii=False)
