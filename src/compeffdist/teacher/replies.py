"""What a server's reply says: its text without thoughts, how it ended, what it cost.

Replies are somebody else's JSON: anything may be missing, or of another type. Text is kept only if the server says that
it ended in order (`how_text_ended`): what a filter or a fault cut off looks like any other text.

Reasoning models think before they answer. Servers put their thoughts beside the answer (`reasoning_content`,
`reasoning`), into content parts of their own, or into the text, between marks.
"""

from collections.abc import Mapping
from typing import Any

from compeffdist.errors import one_line
from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.parsing import is_json, opens_with_thoughts, without_thoughts
from compeffdist.teacher.requests import LENGTH, how_text_ended
from compeffdist.teacher.server_errors import first_choice

_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message that hold thoughts."""
_MOST_TOKENS = 2**31
"""Of a reply; what a server states beyond is no count, and no store need hold it."""
_TEXT_PARTS = ("text", "output_text", None)
"""Types of content parts that are said; None: a part without a type."""


class CutInThoughts(RequestFailed):
    """The answer ended at max_tokens before it began: all that was said is thoughts."""


def dig(value: Any, *path: str | int) -> Any:
    """The value under a path of keys and positions in somebody else's JSON; None if the path breaks off."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def only_choice(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The choice that a reply has for the one answer asked for: of several, in whatever order, that of the lowest
    `index`. Raises RequestFailed if it has none."""
    choices = reply.get("choices")
    choice = first_choice(choices) if isinstance(choices, list) else None
    if not isinstance(choice, dict):
        raise RequestFailed("server's answer holds no choices")
    return choice


def token_counts(reply: Mapping[str, Any]) -> tuple[int, int, int]:
    """(prompt, cached, completion) tokens of a reply; 0 where the server does not say."""

    def count(*path: str) -> int:
        said = dig(reply, "usage", *path)
        return said if isinstance(said, int) and 0 <= said < _MOST_TOKENS else 0

    return count("prompt_tokens"), count("prompt_tokens_details", "cached_tokens"), count("completion_tokens")


def finish_of(choice: Mapping[str, Any]) -> str:
    """How a choice ended: `stop` or `length`. Raises RequestFailed, with the server's reason, if it ended otherwise."""
    said = choice.get("finish_reason")
    if said is None or said == "":
        raise RequestFailed("server's answer does not say how it ended (no finish_reason)")
    finish = how_text_ended(str(said))
    if finish is None:
        error = dig(choice, "error", "message") or dig(choice, "message", "refusal")
        told = f": {one_line(error, 120)}" if isinstance(error, str) else ""
        raise RequestFailed(f"server's answer is not whole: it ended by {one_line(said, 40)!r}{told}")
    return finish


def kept_text(text: Any, finish: str) -> str:
    """An answer as it is kept: without the thoughts before it. Raises RequestFailed if it is no text, holds half a
    character, which no file can hold, or nothing but thoughts; CutInThoughts if it would have gone on."""
    if not isinstance(text, str):
        raise RequestFailed("server's answer holds no text")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestFailed("server's answer holds half a character")
    spoken = without_thoughts(text)
    if not spoken and text:
        raise _only_thoughts(finish)
    return spoken


def reply_text(reply: Mapping[str, Any], held: bool = False) -> tuple[str, str]:
    """Text and finish reason (`stop` or `length`) of a chat reply.

    Args:
        held: the server was held to a JSON schema. Some put what it holds into the field of thoughts: where nothing
            else is said, and that is JSON as a whole, it is the answer.

    Raises:
        RequestFailed: it did not end in order, or has no text that can be kept; CutInThoughts.
    """
    choice = only_choice(reply)
    message = choice.get("message")
    content = _said(dig(message, "content"))
    refusal = dig(message, "refusal") or _refused(dig(message, "content"))
    if not content and isinstance(refusal, str) and refusal:
        raise RequestFailed(f"the teacher refuses to answer: {one_line(refusal, 120)}")
    finish = finish_of(choice)
    if content:
        return kept_text(content, finish), finish
    thoughts = _thoughts(message)
    if held and finish != LENGTH and thoughts.strip().startswith(("{", "[")) and is_json(thoughts):
        return kept_text(thoughts, finish), finish
    begun = isinstance(dig(message, "content"), str | list)
    if thoughts.strip() or (begun and finish == LENGTH):
        raise _only_thoughts(finish)
    return kept_text(content, finish), finish


def thinks(choice: Mapping[str, Any]) -> bool:
    """Whether what a choice begins with is thoughts, not an answer."""
    message = choice.get("message")
    if _thoughts(message).strip():
        return True
    begun = (_said(dig(message, "content")), dig(choice, "logprobs", "content", 0, "token"))
    return any(isinstance(text, str) and opens_with_thoughts(text) for text in begun)


def _only_thoughts(finish: str) -> RequestFailed:
    if finish == LENGTH:
        return CutInThoughts("server's answer was cut before it began: max_tokens went into thoughts")
    return RequestFailed("server's answer holds thoughts only")


def _said(content: Any) -> str | None:
    """The text of a message's content: a text, or a list of parts of which those that are thoughts are left out; none
    if no part is text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [
        part if isinstance(part, str) else dig(part, "text") for part in content if dig(part, "type") in _TEXT_PARTS
    ]
    texts = [text for text in parts if isinstance(text, str)]
    return "".join(texts) if texts else None


def _refused(content: Any) -> Any:
    """What the first part of a content says that refuses to answer."""
    parts = content if isinstance(content, list) else []
    return next((dig(part, "refusal") for part in parts if dig(part, "type") == "refusal"), None)


def _thoughts(message: Any) -> str:
    """What a message holds of thoughts, in fields of their own or in content parts."""
    found = [dig(message, name) for name in _THOUGHTS]
    content = dig(message, "content")
    for part in content if isinstance(content, list) else []:
        if dig(part, "type") in _THOUGHTS:
            inner = dig(part, dig(part, "type")) or dig(part, "text")
            found += [dig(piece, "text") for piece in inner] if isinstance(inner, list) else [inner]
    return "\n".join(text for text in found if isinstance(text, str))
