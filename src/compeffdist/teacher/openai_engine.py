"""The teacher behind any OpenAI-compatible server: vLLM elsewhere, Ollama, a hosted API.

How requests are sent, retried and given up is in `server_client`, which the engine for a local vLLM server shares; what
a server refuses of them (`seed`, `max_tokens`, temperature 0) in `dialect`.

Labels are weighed by the 20 likeliest first tokens, which is all this protocol gives: exact up to AMBIGUOUS_SHARE
where each label is told apart by its first token (`first_tokens`). Where it is not ("1" and "10"), where a label is not
among the 20, or where the server gives no log-probabilities, the server is asked to choose: one greedy answer, held to
the labels by a JSON schema if it takes one (`chosen`). Such an answer has no likelihoods, and says so.
"""

import asyncio
import json
import math
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from compeffdist.errors import one_line
from compeffdist.files import canonical_json
from compeffdist.network import HTTPX, check_key, host_of, is_loopback, malformed, public_url
from compeffdist.params import RuntimeParams
from compeffdist.teacher.dialect import Dialect
from compeffdist.teacher.engine import OnAnswer, OnFailure, RequestFailed
from compeffdist.teacher.requests import CHOSEN, FIRST_TOKENS, Answer, Request
from compeffdist.teacher.server_client import Refused, ServerClient

KEY_VARIABLE = "COMPEFFDIST_API_KEY"
TOP_LOGPROBS = 20
AMBIGUOUS_SHARE = 0.001
"""Mass, relative to the labels', of first tokens common to several labels, above which a request fails."""
WRAPPING_TOKENS = 32
"""Room for the JSON object around an answer."""


async def answer_concurrently(
    requests: Sequence[Request],
    answer_one: Callable[[Request], Awaitable[Answer]],
    concurrency: int,
    on_answer: OnAnswer,
    on_failure: OnFailure,
) -> None:
    """Keep `concurrency` requests in flight, begun in the order given; an exception cancels the rest."""
    queue = iter(enumerate(requests))

    async def work() -> None:
        for index, request in queue:
            try:
                answer = await answer_one(request)
            except RequestFailed as failure:
                on_failure(index, str(failure))
            else:
                on_answer(index, answer)

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(requests)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class OpenAIEngine:
    """Chat completions on `runtime.openai_base_url`; its key is COMPEFFDIST_API_KEY, never stored."""

    name = "openai"

    def __init__(self, model: str, runtime: RuntimeParams) -> None:
        self.model, self.runtime, self.starts = model, runtime, 0
        self.dialect, self.warned = Dialect(), False
        self.weighs = True
        self.refused_schemas: set[str] = set()

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """See `Engine.answer`."""
        asyncio.run(self._answer(requests, on_answer, on_failure))

    def close(self) -> None:
        """Nothing is held between calls."""

    async def _answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        hint = f"check runtime.openai_base_url, the model name {self.model!r} and {KEY_VARIABLE}"
        url, key = self.runtime.openai_base_url, check_key(KEY_VARIABLE)
        self._warn_of_environment(url)
        async with ServerClient(url, key, self.runtime, hint, self.dialect) as client:
            await client.check()

            async def answer_one(request: Request) -> Answer:
                return await (self._labels if request.labels else self._generate)(client, request)

            await answer_concurrently(requests, answer_one, self.runtime.concurrency, on_answer, on_failure)

    def _warn_of_environment(self, url: str) -> None:
        """Say once what is broken of the environment, though a server on this machine is reached without it."""
        if is_loopback(host_of(url)) and not self.warned and (faults := malformed(HTTPX)):
            print(f"warning: {faults[0]} (not needed to reach {public_url(url)})", file=sys.stderr)
        self.warned = True

    async def _generate(self, client: ServerClient, request: Request) -> Answer:
        body = self._body(request) | {
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        schema = json.loads(request.schema) if request.schema else {}
        wrapped = bool(schema) and schema.get("type") != "object"
        body["max_tokens"] += WRAPPING_TOKENS * wrapped
        if schema:
            reply = await self._chat_held(client, body, _wrap(schema) if wrapped else schema)
        else:
            reply = await client.chat(body)
        text, finish = reply_text(reply)
        return Answer(_unwrap(text) if wrapped else text, None, *token_counts(reply), finish)

    async def _labels(self, client: ServerClient, request: Request) -> Answer:
        """Weigh the labels if the server can, else have it choose one; what both cost is counted."""
        spent = (0, 0, 0)
        if self.weighs:
            try:
                top, spent = await self._first_tokens(client, request)
            except Refused:
                answer = await self._choose(client, request, spent)
                self._cannot_weigh(client)  # it took the same question without log-probabilities
                return answer
            if not top:
                self._cannot_weigh(client)
            elif logprobs := first_token_likelihood(request.labels, top):
                return Answer.of_labels(logprobs, spent[0], spent[1], 1, FIRST_TOKENS)
        return await self._choose(client, request, spent)

    async def _first_tokens(
        self, client: ServerClient, request: Request
    ) -> tuple[dict[str, float], tuple[int, int, int]]:
        asked = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": TOP_LOGPROBS}
        reply = await client.chat(self._body(request) | asked)
        return _first_token_candidates(only_choice(reply)), token_counts(reply)

    async def _choose(self, client: ServerClient, request: Request, spent: tuple[int, int, int]) -> Answer:
        # no token is shorter than a byte
        longest = max(len(label.encode()) for label in request.labels)
        body = self._body(request) | {"max_tokens": longest + WRAPPING_TOKENS, "temperature": 0.0}
        reply = await self._chat_held(client, body, _wrap({"type": "string", "enum": list(request.labels)}))
        label = chosen_label(reply_text(reply)[0], request.labels)
        prompt, cached, completion = (now + before for now, before in zip(token_counts(reply), spent, strict=True))
        return Answer(label, None, prompt, cached, completion, CHOSEN)

    async def _chat_held(self, client: ServerClient, body: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
        """Ask under a schema; plainly if the server refuses that schema, as each answer is checked in any case."""
        key = canonical_json(schema)
        if key not in self.refused_schemas:
            asked = {"name": "answer", "schema": schema, "strict": True}
            try:
                return await client.chat(body | {"response_format": {"type": "json_schema", "json_schema": asked}})
            except Refused:
                pass
        reply = await client.chat(body)
        if not self.refused_schemas:
            print(f"{client.place} refuses a JSON schema: answers are checked, not held to it", file=sys.stderr)
        self.refused_schemas.add(key)
        return reply

    def _cannot_weigh(self, client: ServerClient) -> None:
        if self.weighs:
            print(f"{client.place} gives no log-probabilities: labels are chosen, not weighed", file=sys.stderr)
        self.weighs = False

    def _body(self, request: Request) -> dict[str, Any]:
        system = [{"role": "system", "content": request.system}] if request.system else []
        return {"model": self.model, "messages": [*system, {"role": "user", "content": request.prompt}]}


def _wrap(schema: dict[str, Any]) -> dict[str, Any]:
    """Servers take an object at the root only."""
    return {
        "type": "object",
        "properties": {"answer": schema},
        "required": ["answer"],
        "additionalProperties": False,
    }


def _unwrap(text: str) -> str:
    """The JSON inside; the text as it is where the server did not keep to the schema, or wrote half a character."""
    try:
        inside = json.dumps(json.loads(text)["answer"], ensure_ascii=False)
        inside.encode()
        return inside
    except (ValueError, TypeError, KeyError, RecursionError):
        return text


def chosen_label(text: str, labels: Sequence[str]) -> str:
    """The label an answer states: in a JSON object, or bare but for quotes, a full stop and case.

    Raises:
        RequestFailed: if it states none, or two that differ in case only.
    """
    # weak models write white space without end before the closing brace, and are cut; the label is whole by then
    cut = re.match(r'\s*\{\s*"answer"\s*:\s*("(?:[^"\\]|\\.)*")\s*$', text)
    said = (cut[1] if cut else _unwrap(text)).strip().strip("\"'`*. ")
    fitting = [label for label in labels if label == said] or [
        label for label in labels if label.casefold() == said.casefold()
    ]
    if len(fitting) != 1:
        raise RequestFailed(f"server's answer is none of the labels: {one_line(text, 60)!r}")
    return fitting[0]


def reply_text(reply: Mapping[str, Any]) -> tuple[str, str]:
    """Text and finish reason of a chat reply. Raises RequestFailed if it has no text that can be kept."""
    choice = only_choice(reply)
    text = dig(choice, "message", "content")
    if not isinstance(text, str):
        raise RequestFailed("server's answer holds no text")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestFailed("server's answer holds half a character")
    return text, str(choice.get("finish_reason") or "unknown")


def first_token_likelihood(labels: Sequence[str], top: Mapping[str, float]) -> dict[str, float] | None:
    """Log-probability of each label from the likeliest first tokens (text -> log-probability).

    A label's mass is that of all tokens it begins with and no other label does, renormalised over the labels. None if
    a label has no such token, or if tokens that several labels begin with weigh too much.
    """
    mass = dict.fromkeys(labels, 0.0)
    ambiguous = 0.0
    for token, logprob in top.items():
        fitting = [label for label in labels if token and label.startswith(token)]
        if len(fitting) == 1:
            mass[fitting[0]] += math.exp(logprob)
        elif fitting:
            ambiguous += math.exp(logprob)
    total = math.fsum(mass.values())
    if not all(mass.values()) or ambiguous > AMBIGUOUS_SHARE * total:
        return None
    return {label: math.log(value / total) for label, value in mass.items()}


def _first_token_candidates(choice: Mapping[str, Any]) -> dict[str, float]:
    candidates = dig(choice, "logprobs", "content", 0, "top_logprobs") or []
    found = ((dig(entry, "token"), dig(entry, "logprob")) for entry in candidates)
    return {str(t): float(p) for t, p in found if isinstance(p, int | float) and math.isfinite(p)}


def dig(value: Any, *path: str | int) -> Any:
    """The value under a path of keys and positions in somebody else's JSON; None if the path breaks off."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def only_choice(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The first choice of a reply. Raises RequestFailed if it has none."""
    choice = dig(reply, "choices", 0)
    if not isinstance(choice, dict):
        raise RequestFailed("server's answer holds no choices")
    return choice


def token_counts(reply: Mapping[str, Any]) -> tuple[int, int, int]:
    """(prompt, cached, completion) tokens of a reply; 0 where the server does not say."""
    paths = (("prompt_tokens",), ("prompt_tokens_details", "cached_tokens"), ("completion_tokens",))
    counts = (dig(reply, "usage", *path) for path in paths)
    prompt, cached, completion = (count if isinstance(count, int) else 0 for count in counts)
    return prompt, cached, completion
