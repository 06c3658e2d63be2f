"""What one chat server takes of a request, found out from what it refuses.

Reasoning models of OpenAI take `max_completion_tokens` only and no temperature but 1, other servers refuse `seed` or
allow five `top_logprobs`. A refusal names the field; the request is asked again without it, and once the server takes
that, so are all that follow in this run, which is said once. An answer's key is of the question as it was meant.

A message that names a field may mean its value ("max_tokens is too large"): where that value is the user's, or the
request would grow beyond bounds without it, the refusal stands. A field that the server has taken once it does not
refuse, whatever it says of it later: that request is asked without it, and nothing is remembered.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.errors import one_line
from compeffdist.teacher.server_errors import fields_named

LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"
SAMPLING = ("temperature", "top_p")
TOP = "top_logprobs"
_CAN_CHANGE = (LIMIT, NEW_LIMIT, "seed", *SAMPLING, TOP)
_NAMES = {
    "logprobs": re.compile(r"log.?prob", re.IGNORECASE),
    "response_format": re.compile(r"json.?schema|response.?format|structured.?output", re.IGNORECASE),
}
"""Of fields whose refusal the engine answers by asking another question."""
_OUT_OF_RANGE = re.compile(
    r"too (large|long|big|high|many|small)|exceed|at (most|least)|(less|greater|more|larger|smaller) than"
    r"|maximum|minimum|context (length|window)|\brange\b|between|[<>≤≥]|must be|\bpositive",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(r"context (length|window|size)|max_model_len|maximum (model|sequence) length", re.IGNORECASE)
_ABOVE_ZERO = re.compile(
    r"(?<!non-)\bpositive\b|(greater|larger|more) than (0|zero)\b|> ?0(\.0+)?(?![.\d])", re.IGNORECASE
)
NEARLY_GREEDY = 0.01
"""The temperature sent where 0 is refused and another number would do: the likeliest token all but always wins."""
_ONE_OF_BOTH = re.compile(r"\bboth\b|only one|either", re.IGNORECASE)
_CUT = re.compile(r"could not finish the message|output limit was reached", re.IGNORECASE)
_ONE_ANSWER = re.compile(r"failed.generation|json_validate_failed|failed to (generate|validate)", re.IGNORECASE)
_VERSION = re.compile(
    r"([-:@_](latest|20\d\d-?[01]\d-?[0-3]\d|[01]\d-(20\d\d|[0-3]\d)|\d{6}|\d{4}|0\d\d|v\d+:\d+)){0,2}"
)
"""What a server adds to a model's name and it is the same model: a date (2024-08-06, 20240806, 08-2024, 05-20, 240806)
or a build (0613, 2411, 001, v1:0). A number alone is another model: gpt-4 and gpt-4.1, llama-3 and llama-3-70b."""
_REPLACED = re.compile(r"instead|not support|unsupported|deprecated|favou?r|\buse\b", re.IGNORECASE)


@dataclass(frozen=True)
class Change:
    """A field that a server does not take as it is."""

    field: str
    value: Any
    """Only of requests that have this value; None: of all."""
    instead: str | float | None
    """A name that it goes by, a number to send, or None: the field is left out."""

    def applied(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request as the server takes it."""
        if self.field not in body or self.value not in (None, body[self.field]):
            return body
        rest = {name: value for name, value in body.items() if name != self.field}
        if isinstance(self.instead, str):
            return rest | {self.instead: body[self.field]}
        return rest if self.instead is None else rest | {self.field: self.instead}

    def __str__(self) -> str:
        if isinstance(self.instead, str):
            return f"wants {self.instead} in place of {self.field}"
        if self.field in SAMPLING and self.instead is not None:
            return f"refuses {self.field} {self.value:g}: asked with {self.instead:g}"
        if self.instead is not None:
            return f"allows {self.field} up to {self.instead}"
        if self.field in SAMPLING:
            return f"refuses {self.field} {self.value:g}: asked without it, so it decodes by its own default"
        return f"refuses {self.field}: asked without it"


class Dialect:
    """The changes that a server is known to need; kept by an engine for its run."""

    def __init__(self) -> None:
        self.known: list[Change] = []
        self.taken: set[tuple[str, Any]] = set()
        """Fields, with their values where these count, of requests that were answered."""

    def spoken(self, body: Mapping[str, Any], tried: Sequence[Change] = ()) -> dict[str, Any]:
        """A request as this server takes it, as far as is known, with further changes that are tried."""
        changed = dict(body)
        for change in (*self.known, *tried):
            changed = change.applied(changed)
        return changed

    def learn(self, changes: Sequence[Change], meant: Mapping[str, Any] | None = None) -> list[Change]:
        """Remember changes that the server has taken in place of the request as it was meant, unless it is known to
        take that; returns those that are new."""
        taken = [change for change in changes if _field(change.field, (meant or {}).get(change.field)) in self.taken]
        new = [change for change in changes if change not in self.known and change not in taken]
        self.known += new
        return new

    def took(self, body: Mapping[str, Any]) -> None:
        """The server has answered a request of this form."""
        self.taken |= {_field(field, body[field]) for field in _CAN_CHANGE if field in body}

    @staticmethod
    def other_model(body: Mapping[str, Any], reply: Mapping[str, Any]) -> str:
        """The model that a reply says it is of, if that is not the one asked, versions and paths apart; else empty."""
        asked, said = (_name(value.get("model")) for value in (body, reply))
        longer, shorter = sorted((asked, said), key=len, reverse=True)
        same = longer.startswith(shorter) and _VERSION.fullmatch(longer[len(shorter) :])
        return "" if not said or same else one_line(reply["model"], 80)


def _field(field: str, value: Any) -> tuple[str, Any]:
    return field, value if field in (*SAMPLING, TOP) else None


def _name(model: Any) -> str:
    return model.rpartition("/")[2].lower() if isinstance(model, str) else ""


def changes_for(body: Mapping[str, Any], said: str) -> list[Change]:
    """How to ask again after a refusal of `body` that says `said`; nothing where asking again would not help."""
    named = fields_named(said, [field for field in _CAN_CHANGE if field in body])
    if is_cut(said):
        return []
    if set(SAMPLING) <= set(named) and _ONE_OF_BOTH.search(said):
        return [Change("top_p", body["top_p"], None)]
    return [change for field in named if (change := _change(field, body[field], said))]


def names_a_field(body: Mapping[str, Any], said: str) -> bool:
    """Whether a message is about a field of `body` that a request can do without."""
    named = fields_named(said, [field for field in _CAN_CHANGE if field in body])
    return bool(named) or any(field in body and pattern.search(said) for field, pattern in _NAMES.items())


def is_too_long(said: str) -> bool:
    """Whether a refusal says that question and answer together are longer than the server reads."""
    return bool(_TOO_LONG.search(said))


def is_cut(said: str) -> bool:
    """Whether a refusal says that the answer was not begun when max_tokens were used up: reasoning models of OpenAI."""
    return bool(_CUT.search(said))


def is_of_one_answer(said: str) -> bool:
    """Whether a refusal of a schema is about the answer that came of it, not about schemas."""
    return bool(_ONE_ANSWER.search(said))


def _change(field: str, value: Any, said: str) -> Change | None:
    is_range = bool(_OUT_OF_RANGE.search(said))
    if field == LIMIT:
        replaced = bool(fields_named(said, [NEW_LIMIT]) and _REPLACED.search(said))
        return Change(field, None, NEW_LIMIT) if replaced or not is_range else None
    if field == NEW_LIMIT:
        return None if is_range else Change(field, None, None)
    if field == TOP:
        allowed = [int(number) for number in re.findall(r"\b\d{1,2}\b", said) if 0 < int(number) < value]
        return Change(field, None, max(allowed)) if allowed and is_range else None
    if field in SAMPLING:
        if field == "temperature" and value == 0 and _ABOVE_ZERO.search(said):
            return Change(field, value, NEARLY_GREEDY)
        neutral = value in ((0,) if field == "temperature" else (1,))
        return Change(field, value, None) if neutral or not is_range else None
    return Change(field, None, None)
