"""The teacher behind any OpenAI-compatible server: vLLM elsewhere, Ollama, a hosted API.

Requests are sent, retried and given up in `server_client`, put as this server takes them in `dialect`; replies are
read in `replies`. Labels are weighed by the 20 likeliest first tokens, which is all this protocol gives, where these
tell the labels apart and carry enough of the mass (`label_reading`). Where they do not ("1" and "10"; "Positive" of
`positive`), or where the server gives no log-probabilities of an answer, because it has none or because the model
thinks first, it is asked to choose: one greedy answer, held to the labels by a JSON schema if it takes one (`chosen`),
without likelihoods.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from compeffdist.canonical import canonical_json
from compeffdist.credentials import public_address
from compeffdist.models import ModelIdentity
from compeffdist.network import HTTPX, check_key, host_of, is_loopback, key_variable, malformed
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.control_tokens import disarmed
from compeffdist.teacher.dialect import Change, Dialect, is_cut, is_of_one_answer, is_too_long
from compeffdist.teacher.engine import OnAnswer, OnFailure, RequestFailed
from compeffdist.teacher.found_out import recall, remember
from compeffdist.teacher.label_reading import chosen_label, first_token_candidates, first_token_likelihood
from compeffdist.teacher.pace import Pace
from compeffdist.teacher.parsing import WRAPPER, parse_json
from compeffdist.teacher.replies import CutInThoughts, finish_of, only_choice, reply_text, thinks, token_counts
from compeffdist.teacher.requests import FIRST_TOKENS, LENGTH, Answer, Request
from compeffdist.teacher.server_client import Refused, ServerClient
from compeffdist.teacher.spending import Meter, Spent, generation_at_most, prompt_at_most

TOP_LOGPROBS = 20
WRAPPING_TOKENS = 32
"""Room for the JSON object around an answer."""
THINKING_TOKENS = 4096
"""Room for the thoughts of a teacher that was seen to think before it answers; halved, down to LEAST_ROOM, where a
server says that its context does not hold so much."""
LEAST_ROOM = 256

C = TypeVar("C", bound=ServerClient)


class Chat(Protocol):
    """Whoever passes a chat request on to a server."""

    @property
    def place(self) -> str:
        """The server's address, as it may be shown."""
        ...

    async def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """See `ServerClient.chat`."""
        ...


Tokens = tuple[int, int, int]
"""Of prompt, cache and completion."""


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
    """Chat completions on the one server of `runtime.openai_base_url`; its key is in the environment (`key_variable`),
    never stored."""

    name = "openai"

    def __init__(
        self, model: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None
    ) -> None:
        self.model, _, server = model.served_name.rpartition("@")
        (self.url,) = runtime.addresses
        self.runtime, self.starts, self.key_variable = runtime, 0, key_variable(server, self.url)
        self.dialect, self.meter, self.warned, self.weighs = Dialect(), Meter(), False, True
        self.pace = Pace(runtime.concurrency, runtime.busy_seconds)
        self.weighed = False
        """Whether the server ever gave log-probabilities."""
        self.refused_schemas: set[str] = set()
        self.taken_schemas: set[str] = set()
        self.room = 0
        """Tokens beside those of an answer."""
        self._server = f"{public_address(self.url)} {self.model}"
        self._kept = recall(runtime, self._server)
        if self._kept:
            with suppress(KeyError, TypeError, ValueError):  # of another version: it is found out again
                self.take_over(self._kept)

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """See `Engine.answer`."""
        try:
            asyncio.run(self._answer(requests, on_answer, on_failure))
        finally:
            self.keep_findings()

    def at_most(self, request: Request) -> Spent:
        """See `Engine.at_most`. That a model thinks is known once it did: what it thought until then comes on top."""
        request = replace(request, prompt=disarmed(request.prompt))
        if not request.labels:
            return generation_at_most(request, WRAPPING_TOKENS * bool(request.schema) + self.room)
        chosen = Spent(1, prompt_at_most(request), 0, _longest(request.labels) + WRAPPING_TOKENS + self.room)
        return chosen + (Spent(1, prompt_at_most(request), 0, 1) if self.weighs else Spent())

    def close(self) -> None:
        """Nothing is held between calls."""

    async def _answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        async with self.open_client(ServerClient) as client:
            await client.check()

            async def answer_one(request: Request) -> Answer:
                return await self.answer_one(client, request)

            await answer_concurrently(requests, answer_one, self.runtime.concurrency, on_answer, on_failure)

    def open_client(self, kind: type[C]) -> C:
        """A client of a kind for this server. Raises UserError as it does, and if the key cannot be sent."""
        hint = f"check runtime.openai_base_url, the model name {self.model!r} and {self.key_variable}"
        key, header = check_key(self.key_variable), self.runtime.openai_key_header
        self._warn_of_environment(self.url)
        return kind(self.url, key, self.runtime, hint, self.meter, self.pace, self.dialect, header)

    def learned(self) -> dict[str, Any]:
        """What is known of the server, as JSON holds it."""
        return {
            "weighs": self.weighs,
            "weighed": self.weighed,
            "room": self.room,
            "refused_schemas": sorted(self.refused_schemas),
            "taken_schemas": sorted(self.taken_schemas),
            "changes": [asdict(change) for change in self.dialect.known],
            "taken": sorted(self.dialect.taken, key=str),
        }

    def take_over(self, learned: Mapping[str, Any]) -> None:
        """Know what `learned` gave; what older versions did not keep was not known. Raises KeyError, TypeError or
        ValueError if it is of another form."""
        self.weighs, self.room = self.weighs and bool(learned["weighs"]), max(self.room, int(learned["room"]))
        self.refused_schemas |= set(learned["refused_schemas"])
        self.dialect.learn([Change(**change) for change in learned["changes"]])
        self.weighed |= bool(learned.get("weighed"))
        self.taken_schemas |= set(learned.get("taken_schemas", ()))
        self.dialect.taken |= {(str(field), value) for field, value in learned.get("taken", ())}

    def keep_findings(self) -> None:
        """Leave what is known of the server to the run's next stages."""
        learned = self.learned()
        if learned != self._kept:
            remember(self.runtime, self._server, learned)
            self._kept = learned

    async def answer_one(self, client: Chat, request: Request) -> Answer:
        """The answer to a request. Raises RequestFailed or UserError."""
        return await (self._labels if request.labels else self._generate)(client, request)

    def _warn_of_environment(self, url: str) -> None:
        """Say once what is broken of the environment, though a server on this machine is reached without it."""
        if is_loopback(host_of(url)) and not self.warned and (faults := malformed(HTTPX)):
            print(f"warning: {faults[0]} (not needed to reach {public_address(url)})", file=sys.stderr)
        self.warned = True

    async def _generate(self, client: Chat, request: Request) -> Answer:
        schema = json.loads(request.schema) if request.schema else {}
        wrapped = bool(schema) and schema.get("type") != "object"
        body = self._body(request) | {"max_tokens": request.max_tokens + WRAPPING_TOKENS * wrapped}
        body |= {"temperature": request.temperature, "top_p": request.top_p, "seed": request.seed}
        held = _wrap(schema) if wrapped else schema
        text, finish, spent = await self._said(client, body, held, (0, 0, 0))
        return Answer(_unwrap(text, schema) if wrapped else text, None, *spent, finish)

    async def _labels(self, client: Chat, request: Request) -> Answer:
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
                return await self._choose(client, request, spent)
            self.weighed = True
            if logprobs := first_token_likelihood(request.labels, top):
                return Answer.of_labels(logprobs, spent[0], spent[1], 1, FIRST_TOKENS)
        return await self._choose(client, request, spent)

    async def _first_tokens(self, client: Chat, request: Request) -> tuple[dict[str, float], Tokens]:
        asked = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": TOP_LOGPROBS}
        reply = await client.chat(self._body(request) | asked)
        choice = only_choice(reply)
        finish_of(choice)
        if thinks(choice):
            self.room = THINKING_TOKENS
        return first_token_candidates(choice), token_counts(reply)

    async def _choose(self, client: Chat, request: Request, spent: Tokens) -> Answer:
        body = self._body(request) | {"max_tokens": _longest(request.labels) + WRAPPING_TOKENS, "temperature": 0.0}
        held = _wrap({"type": "string", "enum": list(request.labels)})
        text, finish, spent = await self._said(client, body, held, spent)
        return Answer.of_choice(chosen_label(text, request.labels, cut=finish == LENGTH), *spent)

    async def _said(
        self, client: Chat, body: dict[str, Any], schema: dict[str, Any], spent: Tokens
    ) -> tuple[str, str, Tokens]:
        """Text, finish reason, and what it cost beside `spent`; a teacher that thinks first is given room for it."""
        while True:
            room = self.room
            asked = body | {"max_tokens": body["max_tokens"] + room}
            try:
                reply = await (self._chat_held(client, asked, schema) if schema else client.chat(asked))
            except Refused as refusal:
                if is_cut(refusal.said) and not room:
                    self.room = THINKING_TOKENS
                    continue
                if room < 2 * LEAST_ROOM or not is_too_long(refusal.said):
                    raise
                self.room = min(self.room, room // 2)
                continue
            prompt, cached, completion = (new + old for new, old in zip(token_counts(reply), spent, strict=True))
            spent = prompt, cached, completion
            try:
                return *reply_text(reply, held=bool(schema)), spent
            except CutInThoughts:
                if room:
                    raise
                self.room = THINKING_TOKENS

    async def _chat_held(self, client: Chat, body: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
        """Ask under a schema; plainly if the server refuses that schema, as each answer is checked in any case."""
        key, of_one = canonical_json(schema), False
        if key not in self.refused_schemas:
            asked = {"name": "answer", "schema": schema, "strict": True}
            try:
                reply = await client.chat(body | {"response_format": {"type": "json_schema", "json_schema": asked}})
            except Refused as refusal:
                if is_cut(refusal.said):
                    raise
                of_one = is_of_one_answer(refusal.said)
            else:
                self.taken_schemas.add(key)
                return reply
        reply = await client.chat(body)
        if of_one or key in self.taken_schemas:
            return reply
        if not self.refused_schemas:
            print(f"{client.place} refuses a JSON schema: answers are checked, not held to it", file=sys.stderr)
        self.refused_schemas.add(key)
        return reply

    def _cannot_weigh(self, client: Chat) -> None:
        if self.weighed:  # it can: that was one answer without, by another provider or from a model that thought first
            return
        if self.weighs:
            told = "gives no log-probabilities of answers: labels are chosen, not weighed"
            print(f"{client.place} {told}", file=sys.stderr)
        self.weighs = False

    def _body(self, request: Request) -> dict[str, Any]:
        system = [{"role": "system", "content": request.system}] if request.system else []
        # the server tokenises it, and some read control tokens in it
        return {"model": self.model, "messages": [*system, {"role": "user", "content": disarmed(request.prompt)}]}


def _longest(labels: Sequence[str]) -> int:
    """The most tokens that one of the labels has: no token is shorter than a byte."""
    return max(len(label.encode()) for label in labels)


def _wrap(schema: dict[str, Any]) -> dict[str, Any]:
    """Servers take an object at the root only."""
    return {"type": "object", "properties": {WRAPPER: schema}, "required": [WRAPPER], "additionalProperties": False}


def _unwrap(text: str, schema: dict[str, Any]) -> str:
    """The JSON meant, as a record keeps it; the text as it is where it does not meet the schema."""
    try:
        return json.dumps(parse_json(text, schema), ensure_ascii=False)
    except ValueError:
        return text
