"""Reading the teacher's answers: JSON under a schema, labels, scores, spans."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from compeffdist.errors import one_line


class BadAnswer(ValueError):
    """An answer that cannot be used; `reason` is the reject reason, `detail` what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


WRAPPER = "answer"
"""The property that holds an answer which is no object: servers take an object at the root only."""
_CONTROL = re.compile(r"[\x00-\x1f]")
_CLOSERS = {"{": "}", "[": "]"}
_OPENER = re.compile(r"[{\[]")
_FENCED = re.compile(r"`{3,}[^\n`{\[]*(.*?)`{3,}", re.DOTALL)
_MARKS = (
    *((f"<{tag}>", f"</{tag}>") for tag in ("think", "thinking", "thought", "reasoning", "seed:think")),
    (r"\[THINK\]", r"\[/THINK\]"),
    ("◁think▷", "◁/think▷"),
    (r"<\|channel\|>analysis", r"<\|channel\|>final<\|message\|>"),
)
"""How models that reason mark it, where their server leaves it in the answer: what opens thoughts, and what closes
them."""
_OPENS_THOUGHTS, _CLOSES_THOUGHTS, _THOUGHTS = (
    re.compile("|".join(forms), re.DOTALL | re.IGNORECASE)
    for forms in (*zip(*_MARKS, strict=True), [f"{opens}.*?{closes}" for opens, closes in _MARKS])
)


def opens_with_thoughts(text: str) -> bool:
    """Whether a text begins as a reasoning model's does that thinks in its answer."""
    return _OPENS_THOUGHTS.match(text.lstrip()) is not None


def without_thoughts(text: str) -> str:
    """An answer without the think blocks before it; empty if they are all there is of it, or are cut.

    Where a model's chat template has opened the block already, only its end is seen; but in what is JSON as a whole,
    such a mark is part of a string.
    """
    rest = text.lstrip()
    if not opens_with_thoughts(rest):
        end = _CLOSES_THOUGHTS.search(rest)
        if end is None or is_json(rest):
            return text
        rest = rest[end.end() :].lstrip()
    while opens_with_thoughts(rest):
        block = _THOUGHTS.match(rest)
        if block is None:
            return ""
        inner = rest[: block.end()]
        rest = rest[block.end() :].lstrip()
        # a block inside that block has ended, and the outer one goes on
        if len(_OPENS_THOUGHTS.findall(inner)) > 1 and (end := _CLOSES_THOUGHTS.search(rest)) and not is_json(rest):
            rest = rest[end.end() :].lstrip()
    return rest


def is_json(text: str) -> bool:
    """Whether a text is one JSON value as a whole."""
    try:
        json.loads(_CONTROL.sub(" ", text))
    except (ValueError, RecursionError):
        return False
    return True


def parse_json(answer: str, schema: dict[str, Any]) -> Any:
    """The JSON value in `answer`, checked against `schema`: the one reader of what teachers write as JSON.

    Tolerated are a code fence, think blocks and prose around the value, brackets in the prose included, and a value of
    another kind than an object inside an object's only property `answer`, as servers are asked to write it. A tab or
    the like inside a string, which the grammar of a bounded string lets through, is read as a space. A truncated or
    invalid value is not tolerated, nor several that fit and differ, nor half a character: an escape such as \\ud83d
    without its other half, which no file can hold. Nor is an object that gives a key two values.

    Raises:
        ValueError: one line saying what is wrong.
    """
    fault = ""
    for values in _readings(answer):
        fitting: dict[str, Any] = {}
        for value in values:
            for said in _unwrapped(value, schema):
                wrong = _violation(said, schema)
                fault = fault or wrong
                if not wrong:
                    fitting.setdefault(json.dumps(said, sort_keys=True), said)
                    break
        if len(fitting) > 1:
            raise ValueError(f"{len(fitting)} different JSON values in the answer fit: which is meant cannot be told")
        if fitting:
            (value,) = fitting.values()
            _refuse_half_characters(value)
            _refuse_torn(value)
            return value
    raise ValueError(fault or _no_value(answer))


def _readings(answer: str) -> Iterator[list[Any]]:
    """The JSON values in an answer, by ever more tolerant readings; one alone where the answer is JSON as a whole."""
    spoken = without_thoughts(answer)
    for text in dict.fromkeys((answer, spoken)):
        if values := _values(text):
            yield values
            return
    yield [value for block in _FENCED.findall(spoken) for value in _values(block)]
    yield _embedded(_CONTROL.sub(" ", spoken))


def _values(text: str) -> list[Any]:
    """`text` as a JSON value: as one, or none."""
    try:
        return [_DECODER.decode(_CONTROL.sub(" ", text).strip())]
    except (json.JSONDecodeError, RecursionError):
        return []


def _embedded(text: str) -> list[Any]:
    """Every JSON object and list that stands in a text, outermost ones only. What begins as one and breaks off is
    passed over with what it holds: parts of a broken value are no answer."""
    found: list[Any] = []
    place = 0
    while opener := _OPENER.search(text, place):
        try:
            value, place = _DECODER.raw_decode(text, opener.start())
            found.append(value)
        except json.JSONDecodeError as error:
            if error.msg.startswith("Unterminated string"):  # the rest of the text is in that string
                break
            place = max(error.pos, opener.end())
        except RecursionError:
            break
    return found


def _unwrapped(value: Any, schema: Mapping[str, Any]) -> list[Any]:
    """What a value may stand for, the likelier first."""
    inside = isinstance(value, dict) and value.keys() == {WRAPPER} and schema.get("type") != "object"
    return [value[WRAPPER], value] if inside else [value]


def _violation(value: Any, schema: dict[str, Any]) -> str:
    """What is wrong with a value, in one line; empty if it meets the schema."""
    import jsonschema

    error = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(value)), None)
    if error is None:
        return ""
    where = "/".join(str(part) for part in error.absolute_path) or "the answer"
    return one_line(f"{where}: {error.message}", 200)


class _Torn(dict[str, Any]):
    """An object that gives a key different values; which is meant cannot be told."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    same = len(found) == len(pairs) or all(found[key] == value for key, value in pairs)
    return found if same else _Torn(found)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _refuse_torn(value: Any) -> None:
    if isinstance(value, _Torn):
        raise ValueError("an object in the answer has a key twice, with different values")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_torn(inner)


def _refuse_half_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as half:
        raise ValueError(f"half a character: {half.object[half.start]!r}") from None


def _no_value(answer: str) -> str:
    """Why there is no JSON value in an answer."""
    spoken = _CONTROL.sub(" ", without_thoughts(answer)).strip()
    if not spoken and answer.strip():
        return "the answer holds thoughts only"
    opener = _OPENER.search(spoken)
    if opener is None:
        return "no JSON in the answer"
    # told of the outermost brackets, whatever is between
    end = spoken.rfind(_CLOSERS[opener[0]])
    try:
        json.loads(spoken[opener.start() : end + 1])
    except (json.JSONDecodeError, RecursionError) as error:
        return one_line(f"invalid JSON: {error}", 200)
    return "no JSON in the answer"


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
