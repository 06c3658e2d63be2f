"""The teacher behind any OpenAI-compatible server: vLLM elsewhere, Ollama, a hosted API.

Retries with exponential backoff and Retry-After are the openai client's own. What a retry cannot mend
(refused connection, wrong key, no credit, unknown model) stops the run at once; a single request that stays unanswered
is reported and the rest go on, unless the server answers nothing at all. The engine for a local vLLM server
shares `ServerClient`.

Labels are weighed by the 20 likeliest first tokens, which is all this protocol gives, where these tell the labels
apart and carry enough of the mass (`label_reading`). Where they do not ("1" and "10"; "Positive" of `positive`), where
a label is not among the 20, or where the server gives no log-probabilities of an answer, because it has none or because
the model thinks first, the server is asked to choose: one greedy answer, held to the labels by a JSON schema if it
takes one (`chosen`). Such an answer has no likelihoods, and says so. How replies are read is in `replies`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from compeffdist.errors import UserError, one_line
from compeffdist.files import canonical_json
from compeffdist.params import RuntimeParams
from compeffdist.teacher.engine import OnAnswer, OnFailure, RequestFailed
from compeffdist.teacher.label_reading import chosen_label, first_token_candidates, first_token_likelihood
from compeffdist.teacher.parsing import WRAPPER, parse_json
from compeffdist.teacher.replies import CutInThoughts, finish_of, only_choice, reply_text, thinks, token_counts
from compeffdist.teacher.requests import CHOSEN, FIRST_TOKENS, Answer, Request

KEY_VARIABLE = "COMPEFFDIST_API_KEY"
TOP_LOGPROBS = 20
WRAPPING_TOKENS = 32
"""Room for the JSON object around an answer."""
THINKING_TOKENS = 4096
"""Room for the thoughts of a teacher that was seen to think before it answers."""
TROUBLE_LIMIT = 16
"""Requests in a row that fail after all their retries before the server is given up."""


Spent = tuple[int, int, int]
"""Prompt, cached and completion tokens."""


class Refused(RequestFailed):
    """The server does not take a request of this form."""


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


class ServerClient:
    """JSON over HTTP to one server, its errors sorted into those of a request and those of the run.

    `hint` ends the message when the server as a whole is at fault. Use as an async context manager.
    """

    def __init__(self, base_url: str, key: str, runtime: RuntimeParams, hint: str, direct: bool = False) -> None:
        import openai

        self.openai, self.key, self.hint = openai, key, hint
        self.place = public_url(base_url)
        self.timeout = runtime.request_timeout_seconds
        self.trouble = 0
        # a proxy set for the outside must not see requests to our own server
        transport = openai.DefaultAsyncHttpxClient(trust_env=False) if direct else None
        self.client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=key or "none",
            timeout=runtime.request_timeout_seconds,
            max_retries=runtime.retries,
            http_client=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()

    async def check(self) -> None:
        """One unretried look at the server. Raises UserError if it is not there or refuses the key."""
        try:
            await self.client.with_options(max_retries=0).models.with_raw_response.list()
        except (
            self.openai.APIConnectionError,
            self.openai.AuthenticationError,
            self.openai.PermissionDeniedError,
        ) as e:
            raise self._fatal(e) from None
        except self.openai.APIError:
            pass  # a server need not list its models; whether it answers is seen at the first request

    async def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /chat/completions. Raises RequestFailed or UserError."""
        create = self.client.chat.completions.with_raw_response.create
        return await self._json(lambda: create(**body))

    async def complete(self, body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """POST /completions; `extra` are fields that only vLLM knows. Raises RequestFailed or UserError."""
        create = self.client.completions.with_raw_response.create
        return await self._json(lambda: create(**body, extra_body=dict(extra)))

    async def _json(self, call: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        e = self.openai
        try:
            raw = await call()
            value = json.loads(raw.content)
        except e.APITimeoutError:
            raise self._exhausted(f"no answer within {self.timeout:g} s") from None
        except (
            e.APIConnectionError,
            e.AuthenticationError,
            e.PermissionDeniedError,
            e.NotFoundError,
        ) as error:
            raise self._fatal(error) from None
        except (e.RateLimitError, e.InternalServerError) as error:
            raise self._exhausted(f"server answered {self._describe(error)}") from None
        except e.APIStatusError as error:
            if error.status_code == HTTPStatus.PAYMENT_REQUIRED:  # so will be all that follow
                raise self._fatal(error) from None
            raise Refused(f"server refused the request: {self._describe(error)}") from None
        except (e.APIError, ValueError) as error:
            raise self._exhausted(f"server's answer is not JSON: {self._describe(error)}") from None
        self.trouble = 0
        if not isinstance(value, dict):
            raise RequestFailed("server's answer is not a JSON object")
        return value

    def _exhausted(self, reason: str) -> Exception:
        self.trouble += 1
        if self.trouble >= TROUBLE_LIMIT:
            return UserError(
                f"{self.place}: {self.trouble} requests in a row failed, the last with: {reason}; {self.hint}"
            )
        return RequestFailed(reason)

    def _fatal(self, error: Exception) -> UserError:
        if isinstance(error, self.openai.APIConnectionError):
            return UserError(f"{self.place}: cannot reach the teacher's server; {self.hint}")
        return UserError(f"{self.place}: the teacher's server answered {self._describe(error)}; {self.hint}")

    def _describe(self, error: Exception) -> str:
        status = getattr(error, "status_code", "")
        message = str(error).replace(self.key, "***") if self.key else str(error)
        return one_line(f"{status} {message}".strip(), 200)


class OpenAIEngine:
    """Chat completions on `runtime.openai_base_url`; its key is COMPEFFDIST_API_KEY, never stored."""

    name = "openai"

    def __init__(self, model: str, runtime: RuntimeParams) -> None:
        self.model, self.runtime, self.starts = model, runtime, 0
        self.weighs = True
        self.refused_schemas: set[str] = set()
        self.room = 0
        """Tokens beside those of an answer."""

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """See `Engine.answer`."""
        asyncio.run(self._answer(requests, on_answer, on_failure))

    def close(self) -> None:
        """Nothing is held between calls."""

    async def _answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        hint = f"check runtime.openai_base_url, the model name {self.model!r} and {KEY_VARIABLE}"
        key = os.environ.get(KEY_VARIABLE, "")
        async with ServerClient(self.runtime.openai_base_url, key, self.runtime, hint) as client:
            await client.check()

            async def answer_one(request: Request) -> Answer:
                return await (self._labels if request.labels else self._generate)(client, request)

            await answer_concurrently(requests, answer_one, self.runtime.concurrency, on_answer, on_failure)

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
        held = _wrap(schema) if wrapped else schema
        text, finish, spent = await self._said(client, body, held, (0, 0, 0))
        return Answer(_unwrap(text, schema) if wrapped else text, None, *spent, finish)

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

    async def _first_tokens(self, client: ServerClient, request: Request) -> tuple[dict[str, float], Spent]:
        asked = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": TOP_LOGPROBS}
        reply = await client.chat(self._body(request) | asked)
        choice = only_choice(reply)
        finish_of(choice)
        if thinks(choice):
            self.room = THINKING_TOKENS
        return first_token_candidates(choice), token_counts(reply)

    async def _choose(self, client: ServerClient, request: Request, spent: Spent) -> Answer:
        # no token is shorter than a byte
        longest = max(len(label.encode()) for label in request.labels)
        body = self._body(request) | {"max_tokens": longest + WRAPPING_TOKENS, "temperature": 0.0}
        held = _wrap({"type": "string", "enum": list(request.labels)})
        text, _, spent = await self._said(client, body, held, spent)
        return Answer(chosen_label(text, request.labels), None, *spent, CHOSEN)

    async def _said(
        self, client: ServerClient, body: dict[str, Any], schema: dict[str, Any], spent: Spent
    ) -> tuple[str, str, Spent]:
        """Text, finish reason, and what it cost beside `spent`; a teacher that thinks first is given room for it."""
        while True:
            room = self.room
            asked = body | {"max_tokens": body["max_tokens"] + room}
            reply = await (self._chat_held(client, asked, schema) if schema else client.chat(asked))
            prompt, cached, completion = (new + old for new, old in zip(token_counts(reply), spent, strict=True))
            spent = prompt, cached, completion
            try:
                return *reply_text(reply, held=bool(schema)), spent
            except CutInThoughts:
                if room:
                    raise
                self.room = THINKING_TOKENS

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
            print(
                f"{client.place} gives no log-probabilities of answers: labels are chosen, not weighed", file=sys.stderr
            )
        self.weighs = False

    def _body(self, request: Request) -> dict[str, Any]:
        system = [{"role": "system", "content": request.system}] if request.system else []
        return {"model": self.model, "messages": [*system, {"role": "user", "content": request.prompt}]}


def _wrap(schema: dict[str, Any]) -> dict[str, Any]:
    """Servers take an object at the root only."""
    return {
        "type": "object",
        "properties": {WRAPPER: schema},
        "required": [WRAPPER],
        "additionalProperties": False,
    }


def _unwrap(text: str, schema: dict[str, Any]) -> str:
    """The JSON meant, as a record keeps it; the text as it is where it does not meet the schema."""
    try:
        return json.dumps(parse_json(text, schema), ensure_ascii=False)
    except ValueError:
        return text


def public_url(url: str) -> str:
    """`url` without user name, password and query, fit for messages."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"
