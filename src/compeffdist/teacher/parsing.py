"""Reading the teacher's answers: JSON under a schema, labels, scores, spans."""

import json
import re
from typing import Any

from compeffdist.errors import one_line


class BadAnswer(ValueError):
    """An answer that cannot be used; `reason` is the reject reason, `detail` what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


_CLOSERS = {"{": "}", "[": "]"}
_CONTROL = re.compile(r"[\x00-\x1f]")


def parse_json(answer: str, schema: dict[str, Any]) -> Any:
    """The JSON value in `answer`, checked against `schema`.

    A code fence or prose around the value is tolerated, and a tab or the like inside a string, which the grammar of a
    bounded string lets through, is read as a space. A truncated or invalid value is not, nor half a character: an
    escape such as \\ud83d without its other half, which no file can hold.

    Raises:
        ValueError: one line saying what is wrong.
    """
    import jsonschema

    value = _first_value(answer)
    error = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(value)), None)
    if error is not None:
        where = "/".join(str(part) for part in error.absolute_path) or "the answer"
        raise ValueError(one_line(f"{where}: {error.message}", 200))
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as half:
        raise ValueError(f"half a character: {half.object[half.start]!r}") from None
    return value


def _first_value(answer: str) -> Any:
    stripped = _CONTROL.sub(" ", answer).strip()
    try:
        return json.loads(stripped)
    except (json.JSONDecodeError, RecursionError):
        pass
    start = next((i for i, c in enumerate(stripped) if c in _CLOSERS), None)
    if start is None:
        raise ValueError("no JSON in the answer")
    end = stripped.rfind(_CLOSERS[stripped[start]])
    try:
        return json.loads(stripped[start : end + 1])
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(one_line(f"invalid JSON: {error}", 200)) from None


def is_worded(span: Any) -> bool:
    """Whether an extracted span holds a letter or digit; small teachers fill lists with bare punctuation."""
    return any(character.isalnum() for character in str(span))


def spans_missing(value: Any, text: str) -> list[str]:
    """The strings in `value` (nested) that do not stand in `text`, ignoring case: whole words where words have ends."""
    if isinstance(value, str):
        return [] if _stands_in(value.casefold(), text.casefold()) else [value]
    if isinstance(value, list):
        return [missing for item in value for missing in spans_missing(item, text)]
    if isinstance(value, dict):
        return [missing for item in value.values() for missing in spans_missing(item, text)]
    return []


def _stands_in(span: str, text: str) -> bool:
    # "plan" does not stand in "planning"; scripts without spaces have no such ends
    before = r"(?<![^\W_])" if span[:1].isascii() and span[:1].isalnum() else ""
    after = r"(?![^\W_])" if span[-1:].isascii() and span[-1:].isalnum() else ""
    return re.search(f"{before}{re.escape(span)}{after}", text) is not None
