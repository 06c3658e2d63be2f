"""The teacher in a local vLLM server, shared by the stages of a run (see vllm_supervisor).

Requests go to /v1/completions as token ids, so that the prompt is ours to the last token, whatever chat defaults the
server has. Label likelihoods are exact: the server returns the log-probabilities of just the tokens each branch of the
label trie needs, taken from the softmax over the whole vocabulary.
"""

import asyncio
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from compeffdist.labels import Branch
from compeffdist.models import ModelIdentity
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.records import content_id
from compeffdist.teacher.chat import TOO_LONG, ChatTokenizer, json_grammar
from compeffdist.teacher.engine import OnAnswer, OnFailure, RequestFailed
from compeffdist.teacher.openai_engine import answer_concurrently
from compeffdist.teacher.pace import Pace
from compeffdist.teacher.replies import dig, finish_of, kept_text, only_choice, token_counts
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.server_client import ServerClient
from compeffdist.teacher.spending import Meter, Spent, generation_at_most, passes_at_most
from compeffdist.teacher.vllm_supervisor import Attachment, EngineFiles, attach

ENGINES_FOLDER = Path(".compeffdist/engines")
SERVED_NAME = "teacher"
MAX_LOGPROB_TOKEN_IDS = 128  # vLLM's bound on logprob_token_ids
TOUCH_SECONDS = 5.0


class Completes(Protocol):
    """Whoever passes a request for completions on to a server."""

    async def complete(self, body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """See `ServerClient.complete`."""
        ...


class VllmEngine:
    """A local vLLM server for the model in `folder`; started when first asked, shared if it runs."""

    name = "vllm"

    def __init__(
        self, model: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None
    ) -> None:
        assert folder is not None
        self.runtime, self.max_model_len, self.starts = runtime, teacher.max_model_len, 0
        self.meter, self.pace = Meter(), Pace(runtime.concurrency, runtime.busy_seconds, comes_back=False)
        self.chat = ChatTokenizer(folder)
        self.arguments = [*self._placing(), *_server_arguments(folder, model.dtype, teacher, runtime)]
        key = content_id("vllm", {"arguments": self.arguments})
        self.files = EngineFiles(ENGINES_FOLDER.absolute(), key)

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """See `Engine.answer`. Attaches anew each time: an idle server may have left in between."""
        runtime = self.runtime
        server = attach(self.files, self.arguments, runtime.engine_idle_seconds, runtime.engine_start_seconds)
        self.starts += server.started
        asyncio.run(self._answer(server, requests, on_answer, on_failure))

    def at_most(self, request: Request) -> Spent:
        """See `Engine.at_most`."""
        if not request.labels:
            return generation_at_most(request)
        try:
            branches = self.chat.trie(request.labels).branches
        except ValueError:  # told when it is asked; nothing is sent
            return Spent()
        return passes_at_most(request, sum(math.ceil(len(b.children) / MAX_LOGPROB_TOKEN_IDS) for b in branches))

    def close(self) -> None:
        """The server stays for the next stage; its supervisor ends it with the run."""

    def _placing(self) -> list[str]:
        """What the supervisor is told of where servers are."""
        return []

    async def _answer(
        self, server: Attachment, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure
    ) -> None:
        hint = f"see {self.files.log}"
        in_use = asyncio.create_task(self._keep_touching(server))
        try:
            key, settings = server.api_key, self.runtime
            async with ServerClient(server.base_url, key, settings, hint, self.meter, self.pace) as client:

                async def answer_one(request: Request) -> Answer:
                    return await self.answer_one(client, request)

                await answer_concurrently(requests, answer_one, self.runtime.concurrency, on_answer, on_failure)
        finally:
            in_use.cancel()
            with suppress(asyncio.CancelledError):
                await in_use

    async def answer_one(self, client: Completes, request: Request) -> Answer:
        """The answer to a request. Raises RequestFailed or UserError."""
        return await (self._labels if request.labels else self._generate)(client, request)

    async def _keep_touching(self, server: Attachment) -> None:
        while True:
            server.touch()
            await asyncio.sleep(min(TOUCH_SECONDS, self.runtime.engine_idle_seconds / 4))

    async def _generate(self, client: Completes, request: Request) -> Answer:
        body = self._body(request, request.max_tokens)
        body |= {"temperature": request.temperature, "top_p": request.top_p}
        extra: dict[str, Any] = {"stop_token_ids": [self.chat.end]}
        if request.temperature:
            body["seed"] = request.seed
        if request.schema:
            extra["structured_outputs"] = {"grammar": json_grammar(request.schema)}
        reply = await client.complete(body, extra)
        choice = only_choice(reply)
        finish = finish_of(choice)
        return Answer(kept_text(choice.get("text"), finish), None, *token_counts(reply), finish)

    async def _labels(self, client: Completes, request: Request) -> Answer:
        counts: list[tuple[int, int, int]] = [(0, 0, 0)]
        try:
            trie = self.chat.trie(request.labels)
            rows = [await self._child_logprobs(client, request, branch, counts) for branch in trie.branches]
            logprobs = trie.log_probabilities(rows)
        except ValueError as error:
            raise RequestFailed(str(error)) from None
        prompt_tokens, cached_tokens, passes = map(sum, zip(*counts, strict=True))
        return Answer.of_labels(logprobs, prompt_tokens, cached_tokens, passes)

    async def _child_logprobs(
        self, client: Completes, request: Request, branch: Branch, counts: list[tuple[int, int, int]]
    ) -> list[float]:
        logprobs: list[float] = []
        body = self._body(request, 1, branch.path) | {"temperature": 0.0, "logprobs": 1}
        for start in range(0, len(branch.children), MAX_LOGPROB_TOKEN_IDS):
            children = branch.children[start : start + MAX_LOGPROB_TOKEN_IDS]
            extra = {"logprob_token_ids": list(children), "return_tokens_as_token_ids": True}
            reply = await client.complete(body, extra)
            choice = only_choice(reply)
            finish_of(choice)
            logprobs += _read_logprobs(choice, children)
            counts.append(token_counts(reply))
        return logprobs

    def _body(self, request: Request, max_tokens: int, answered: tuple[int, ...] = ()) -> dict[str, Any]:
        ids = [*self.chat.prompt_ids(request.system, request.prompt), *answered]
        if len(ids) + max_tokens > self.max_model_len:
            raise RequestFailed(TOO_LONG)
        return {"model": SERVED_NAME, "prompt": ids, "max_tokens": max_tokens}


def _read_logprobs(choice: dict[str, Any], tokens: Sequence[int]) -> list[float]:
    row = dig(choice, "logprobs", "top_logprobs", 0)
    logprobs = [dig(row, f"token_id:{token}") for token in tokens]
    if not all(isinstance(logprob, int | float) for logprob in logprobs):
        raise RequestFailed("server's answer lacks the log-probabilities of the labels' tokens")
    return logprobs


def _server_arguments(folder: Path, dtype: str, teacher: TeacherParams, runtime: RuntimeParams) -> list[str]:
    settings = {
        "model": os.fspath(folder.absolute()),
        "served-model-name": SERVED_NAME,
        "dtype": dtype,
        "max-model-len": teacher.max_model_len,
        "max-num-seqs": runtime.max_num_seqs,
        "cpu-kv-cache-bytes": int(runtime.engine_memory_gib * 2**30),
        # sampling defaults a model ships with (repetition penalty, top-k) are not part of a request's id
        "generation-config": "vllm",
        "structured-outputs-config": '{"backend":"xgrammar"}',
    }
    switches = ["--enable-prefix-caching", "--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    return [*(f"--{name}={value}" for name, value in settings.items()), *switches, *runtime.engine_arguments]
