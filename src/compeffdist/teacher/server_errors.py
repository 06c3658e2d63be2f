"""What a chat server says when it does not answer, in the shapes that servers have for it.

OpenAI: {"error": {"message", "type", "param", "code"}}. Ollama, LM Studio, llama.cpp: {"error": "text"}. FastAPI, and
whatever is built on it: {"detail": [{"loc", "msg"}]}. Mistral: {"object": "error", "message": {"detail": [...]}} or
"message" as text. Google: a list of {"error": {...}}. OpenRouter: {"error": {"message", "metadata": {"raw"}}}. MiniMax:
{"base_resp": {"status_code", "status_msg"}}. Gateways: a page of HTML. Errors also come with status 200.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from compeffdist.errors import one_line

_SAYING = ("error", "errors", "message", "detail", "details", "msg", "error_message", "error_msg", "errorMessage")
_SAYING_TOO = ("error_description", "status_msg", "base_resp", "reason", "title", "description")
"""Where an error is told, the likeliest places first."""
_DEPTH = 8
_MOST = 20
"""Values looked at in a list of errors."""
_PERMANENT = re.compile(
    r"invalid|unsupported|not support|not permitted|not allowed|unknown|unrecogni[sz]ed|bad.request|required|malformed"
    r"|context.length|too long",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"overload|rate.?limit|too many|time.?out|timed out|temporar|unavailable|try again|retry|busy|capacity|loading",
    re.IGNORECASE,
)
_CREDIT = re.compile(
    r"insufficient.?(quota|balance|funds|credit)|billing|out of credit|payment|budget.?exceeded", re.IGNORECASE
)
_SPENT = re.compile(r"credit balance is too low|exceeded.?budget|budget has been exceeded", re.IGNORECASE)
_BY_WORDS = (
    (HTTPStatus.PAYMENT_REQUIRED, _CREDIT),
    (HTTPStatus.SERVICE_UNAVAILABLE, _PASSING),
    (HTTPStatus.UNAUTHORIZED, re.compile(r"api.?key|unauthori[sz]ed|authentication|credential", re.IGNORECASE)),
    (HTTPStatus.NOT_FOUND, re.compile(r"not found|does not exist|no such", re.IGNORECASE)),
    (HTTPStatus.BAD_REQUEST, _PERMANENT),
)
"""What an error says and the status it should have had; the first that fits."""
_PASSING_STATUS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


def read_body(text: str) -> Any:
    """A body as JSON if it is JSON, else as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def reason(body: Any) -> str:
    """What a body says of an error, as one line: empty if it says nothing, uncut otherwise."""
    return one_line("; ".join(dict.fromkeys(_told(body, _DEPTH))), 4000)


def _told(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str) and value.strip():
        text = value.strip()
        inner = read_body(text) if text[0] in "{[" and depth else text
        if isinstance(inner, str):
            yield _page_title(text)
        else:
            yield from _told(inner, depth - 1)
    elif not depth:
        return
    elif isinstance(value, Mapping):
        yield from _told_by_object(value, depth)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value[:_MOST]:
            yield from _told(part, depth - 1)


def _told_by_object(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    path = value.get("loc")
    where = ".".join(str(step) for step in path if step != "body") if isinstance(path, list) else ""
    found = [text for key in (*_SAYING, *_SAYING_TOO) for text in _told(value.get(key), depth - 1)]
    metadata = value.get("metadata")
    if isinstance(metadata, Mapping):  # "Provider returned error", and inside what the provider said
        found += _told(metadata.get("raw"), depth - 1)
    param = value.get("param")
    if isinstance(param, str) and param and found and not any(param in text for text in found):
        where = where or param
    yield from (f"{where}: {text}" if where else text for text in found)
    if not found and isinstance(value.get("code"), str):
        yield value["code"]


def _page_title(text: str) -> str:
    """Of a page of HTML its title, or its text."""
    if not re.match(r"\s*<(!doctype|html|head|body|h1|center)\b", text, re.IGNORECASE):
        return text
    title = re.search(r"<(title|h1)\b[^>]*>(.*?)</", text, re.IGNORECASE | re.DOTALL)
    return f"a web page: {one_line(title[2] if title else re.sub('<[^>]*>', ' ', text), 100)}"


# ---------------------------------------------------------------- errors with status 200


def hidden_status(body: Any) -> int:
    """The status that a body of status 200 should have had: 0 if it is an answer, or nothing that is known. An error
    counts by the code it states; else by what it says. What may pass is 503."""
    error = error_in(body)
    if not isinstance(error, Mapping) or not (said := reason(error)):
        return 0
    codes = [str(code) for code in _codes(error, _DEPTH)]
    stated = next((int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)), 0)
    if stated:
        return status_of(stated, error)
    told = " ".join([*codes, said])
    return next((status for status, words in _BY_WORDS if words.search(told)), HTTPStatus.SERVICE_UNAVAILABLE)


def error_in(body: Any) -> Any:
    """The part of a body that tells an error: all of it or, beside an answer that broke off, what is said of that."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    if not isinstance(choices, list) or not choices:
        return body
    first = first_choice(choices)
    return {"error": first.get("error") if isinstance(first, Mapping) else None}


def first_choice(choices: Sequence[Any]) -> Any:
    """The choice of the lowest `index`, whatever their order; the first one where that is not told; None of none."""
    places = [choice.get("index") if isinstance(choice, Mapping) else None for choice in choices]
    told = [place for place in places if isinstance(place, int) and not isinstance(place, bool)]
    return choices[places.index(min(told))] if told and len(told) == len(places) else next(iter(choices), None)


def status_of(status: int, body: Any) -> int:
    """The status of an error, made sharper: no credit is often told as 429 or 400, which waiting does not mend."""
    told_otherwise = status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_REQUEST)
    if told_otherwise and _CREDIT.search(" ".join(str(code) for code in _codes(body, _DEPTH))):
        return HTTPStatus.PAYMENT_REQUIRED
    return status


def says_spent(said: str) -> bool:
    """Whether an error says that there is no credit, where only its words do: Anthropic, LiteLLM, with status 400."""
    return bool(_SPENT.search(said))


def passing(status: int) -> bool:
    """Whether asking again may mend it."""
    return status in _PASSING_STATUS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _codes(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, list) and value:
        yield from _codes(value[0], depth - 1)
    if isinstance(value, Mapping) and depth:
        found = (value.get(key) for key in ("code", "type", "status", "status_code"))
        yield from (code for code in found if isinstance(code, str | int))
        for key in ("error", "base_resp"):
            yield from _codes(value.get(key), depth - 1)


# ---------------------------------------------------------------- fields of a request


def fields_named(said: str, fields: Collection[str]) -> list[str]:
    """Those of `fields` that a message names, in any case and spelling (`max_tokens`, `maxTokens`)."""
    words = {_plain(word) for word in re.findall(r"[A-Za-z_]+", said)}
    return [field for field in fields if _plain(field) in words]


def _plain(word: str) -> str:
    return word.replace("_", "").lower()
