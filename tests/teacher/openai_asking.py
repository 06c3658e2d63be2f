"""Questions put to a server that behaves as a test says, and what came back."""

import math
import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.openai_engine import OpenAIEngine
from compeffdist.teacher.replicated_engine import open_servers
from compeffdist.teacher.requests import Answer, Request
from tests.teacher.server import Body, Reply, chat_reply

CARD: Any = SimpleNamespace(id="model_1", served_name="some-model@here")


@pytest.fixture(autouse=True)
def fast_and_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once, and the environment names no proxy, certificate or key."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("SSL", "OPENAI_", "COMPEFFDIST_API")):
            monkeypatch.delenv(name)


def question(prompt: str, **changes: Any) -> Request:
    return Request(
        **{"system": "s", "prompt": prompt, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9, "seed": 4} | changes
    )


def engine_of(runtime: RuntimeParams) -> OpenAIEngine:
    return OpenAIEngine(CARD, TeacherParams(), runtime, None)


def ask(url: str | list[str], requests: Sequence[Request], **runtime: Any) -> tuple[dict[int, Answer], dict[int, str]]:
    """Answers and failures by index; each index is reported once."""
    answers: dict[int, Answer] = {}
    failures: dict[int, str] = {}
    reported: list[int] = []

    def on_answer(index: int, answer: Answer) -> None:
        reported.append(index)
        answers[index] = answer

    def on_failure(index: int, reason: str) -> None:
        reported.append(index)
        failures[index] = reason

    settings = RuntimeParams(
        **{"openai_base_url": url, "retries": 2, "request_timeout_seconds": 10.0, "busy_seconds": 0.0} | runtime
    )
    open_servers(CARD, TeacherParams(), settings, None).answer(requests, on_answer, on_failure)
    assert sorted(reported) == list(range(len(requests)))
    return answers, failures


def top_tokens(tokens: dict[str, float]) -> Reply:
    entries = [{"token": token, "logprob": math.log(p)} for token, p in tokens.items()]
    return Reply(chat_reply("x", logprobs={"content": [{"token": "x", "top_logprobs": entries}]}))


LABELS = Request.likelihood("s", "which?", ("negative", "neutral", "positive"))


def chooser(label: str, tokens: dict[str, float] | None, refuses: Sequence[str] = ()) -> Callable[[Body, int], Reply]:
    """A server that answers with `label`, has these first tokens (None: no log-probabilities) and refuses fields."""

    def respond(body: Body, _: int) -> Reply:
        if refused := [name for name in refuses if name in body]:
            return Reply({"error": {"message": f"{refused[0]} is not supported"}}, status=400)
        if "logprobs" in body:
            return top_tokens(tokens) if tokens else Reply(chat_reply("x"))
        return Reply(chat_reply(f'{{"answer": "{label}"}}' if "response_format" in body else f"{label}."))

    return respond
