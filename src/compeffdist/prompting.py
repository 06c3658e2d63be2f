"""Putting user texts into prompts, and the layout that every question shares.

Texts are hostile: they are delimited, and cannot close their own delimiter.
"""

import re
from collections.abc import Sequence

_TAG = re.compile(r"<(/?\s*text\s*)>", re.IGNORECASE)


def delimited(text: str) -> str:
    """`text` between <text> tags, any such tag inside it made harmless."""
    return f"<text>\n{inline(text)}\n</text>"


def inline(text: str) -> str:
    """`text` on one line with any <text> tag in it made harmless, so that it cannot start a line of ours."""
    return _TAG.sub(r"(\1)", " ".join(text.split()))


def clipped(text: str, characters: int) -> str:
    """At most `characters` of `text`, cut at the last word end that fits."""
    if len(text) <= characters:
        return text
    cut = text[:characters]
    return cut.rsplit(" ", 1)[0] if " " in cut else cut


def listed(items: Sequence[str]) -> str:
    """`a, b or c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"


def one_of(labels: Sequence[str]) -> str:
    """The sentence that states the form of an answer from a closed set."""
    return f"Answer with exactly one of: {listed(labels)}."


def closed_question(question: str, labels: Sequence[str]) -> str:
    """A question and the form of its answer, which is not said twice."""
    form = one_of(labels)
    return question if question.endswith(form) else f"{question} {form}"


def with_input(instruction: str, text: str) -> str:
    """The whole user message: the instruction with the text in place."""
    return f"{instruction}\n\nInput: {inline(text)}\nOutput:"
