"""A teacher that misbehaves, on real sockets: each fault is a row of FAULTS, and a server draws them from a seed.

    ended = Unruly(seed=1, share=0.5)
    with serving(ended.respond) as server: ...
    ended.of("p7")     # the fault that question met, "" for none

A question's fault is drawn from its own text, so that it is the same in whatever order questions come.
"""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from tests.teacher.server import Body, Reply, chat_reply

MESSAGE = {"error": {"message": "not now"}}
PAGE = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def said(prompt: str) -> str:
    """What this teacher answers."""
    return f"answer to {prompt}"


ALWAYS = 10**6


@dataclass(frozen=True)
class Fault:
    """One way to misbehave."""

    reply: Callable[[str], Reply]
    """What is sent, by the prompt."""
    times: int = 1
    """Of a question's attempts."""
    reason: str = ""
    """What the reject is called, as a pattern; empty: the question is answered in the end."""
    kept: Callable[[str], str] = said
    """The text that is kept of the answer, by the prompt."""


def whole(prompt: str, **choice: Any) -> dict[str, Any]:
    """An answer as it should be."""
    return chat_reply(said(prompt), **choice)


def message(finish: str = "stop", **fields: Any) -> Reply:
    """An answer with another message."""
    choice = {"message": {"role": "assistant", **fields}, "finish_reason": finish}
    return Reply(chat_reply(None) | {"choices": [choice]})


def fenced(prompt: str) -> str:
    """JSON in a fence."""
    return f'```json\n{{"x": "{prompt}"}}\n```'


def long(prompt: str) -> str:
    """Ten times what was asked for."""
    return " ".join([said(prompt)] * 10)


def soon(prompt: str) -> Reply:
    """429 with a date."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    return Reply(MESSAGE, status=429, headers={"Retry-After": date})


FAULTS: dict[str, Fault] = {
    # it will pass
    "429 seconds": Fault(lambda p: Reply(MESSAGE, status=429, headers={"Retry-After": "0.05"}), times=3),
    "429 date": Fault(soon),
    "429 date of a slow clock": Fault(
        lambda p: Reply(MESSAGE, status=429, headers={"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}), times=2
    ),
    "429 bare": Fault(lambda p: Reply(MESSAGE, status=429), times=3),
    "429 empty": Fault(lambda p: Reply(raw=b"", status=429), times=2),
    "500": Fault(lambda p: Reply(MESSAGE, status=500), times=2),
    "503": Fault(lambda p: Reply(MESSAGE, status=503), times=2),
    "503 page": Fault(lambda p: Reply(raw=PAGE, status=503)),
    "425": Fault(lambda p: Reply(MESSAGE, status=425)),
    "529": Fault(lambda p: Reply(MESSAGE, status=529), times=3),
    "hung up": Fault(lambda p: Reply(hang_up=True), times=2),
    "truncated": Fault(lambda p: Reply(whole(p), cut=40), times=2),
    "half JSON": Fault(lambda p: Reply(raw=json.dumps(whole(p))[:60].encode())),
    "empty body": Fault(lambda p: Reply(raw=b""), times=2),
    "page with 200": Fault(lambda p: Reply(raw=PAGE), times=2),
    "JSON that is no object": Fault(lambda p: Reply(["x"])),
    "error with 200": Fault(lambda p: Reply({"error": {"message": "upstream overloaded", "code": 502}})),
    "empty choices": Fault(lambda p: Reply({"choices": []})),
    "error with usage 0": Fault(lambda p: Reply({"error": "overloaded", "usage": {"prompt_tokens": 0}})),
    # it stays
    "500 always": Fault(lambda p: Reply(MESSAGE, status=500), ALWAYS, r"^server answered 500 not now$"),
    "hung up always": Fault(lambda p: Reply(hang_up=True), ALWAYS, r"^connection lost: "),
    "truncated always": Fault(lambda p: Reply(whole(p), cut=40), ALWAYS, r"lost: .*without sending complete"),
    "page always": Fault(lambda p: Reply(raw=PAGE), ALWAYS, r"not JSON: a web page: 502 Bad Gateway$"),
    "empty always": Fault(lambda p: Reply(raw=b""), ALWAYS, r"not JSON: it is empty$"),
    "choices never": Fault(lambda p: Reply({"choices": []}), ALWAYS, r"holds no choices$"),
    "choices paid for": Fault(lambda p: Reply(chat_reply("x") | {"choices": []}), ALWAYS, r"holds no choices$"),
    "broken off": Fault(
        lambda p: Reply(whole(p, finish_reason="error", error={"message": "upstream"})),
        ALWAYS,
        r"ended by 'error': upstream$",
    ),
    "400": Fault(
        lambda p: Reply({"error": {"message": "no such thing"}}, status=400), ALWAYS, r"refused.*no such thing"
    ),
    "403": Fault(lambda p: Reply({"error": {"message": "flagged"}}, status=403), ALWAYS, r"answered 403 flagged$"),
    "404": Fault(lambda p: Reply({"error": {"message": "replica"}}, status=404), ALWAYS, r"answered 404 replica$"),
    "refusal": Fault(lambda p: message(content=None, refusal="I cannot."), ALWAYS, r"^the teacher refuses .*I cannot"),
    "filtered": Fault(lambda p: Reply(whole(p, finish_reason="content_filter")), ALWAYS, r"ended by 'content_filter'$"),
    "no end": Fault(lambda p: Reply(whole(p, finish_reason=None)), ALWAYS, r"does not say how it ended"),
    "null": Fault(lambda p: message(content=None), ALWAYS, r"holds no text$"),
    "null beside thoughts": Fault(
        lambda p: message(content=None, reasoning_content=said(p)), ALWAYS, r"holds thoughts only$"
    ),
    # it is an answer all the same
    "thoughts": Fault(lambda p: message(content=f"<think>hm\n</think>\n\n{said(p)}"), ALWAYS),
    "fenced": Fault(lambda p: message(content=fenced(p)), ALWAYS, kept=fenced),
    "no usage": Fault(lambda p: Reply({"choices": whole(p)["choices"]}), ALWAYS),
    "cut at max_tokens": Fault(lambda p: Reply(whole(p, finish_reason="length")), ALWAYS),
    "another model": Fault(lambda p: Reply(whole(p) | {"model": "somebody-else"}), ALWAYS),
    "ten times longer": Fault(lambda p: message(content=long(p)), ALWAYS, kept=long),
    "sent twice": Fault(lambda p: Reply(whole(p), twice=True), ALWAYS),
    "drip": Fault(lambda p: Reply(whole(p), drip=0.0005), ALWAYS),
}
SLOW: dict[str, Fault] = {
    "time-out": Fault(lambda p: Reply(whole(p), delay=3.5)),
    "endless drip": Fault(lambda p: Reply(whole(p), drip=0.05)),
    "drip always": Fault(lambda p: Reply(whole(p), drip=0.05), ALWAYS, r"^no answer within 2.5 s$"),
}
"""Those that take a time-out of 2.5 seconds to be seen."""


@dataclass
class Unruly:
    """Answers with a fault where the draw says so."""

    seed: int
    share: float
    """Of questions that meet a fault."""
    faults: dict[str, Fault] = field(default_factory=lambda: FAULTS)
    met: Counter[str] = field(default_factory=Counter)
    """Questions by their fault."""
    paid: set[str] = field(default_factory=set)
    """Prompts that were sent a whole answer."""
    tries: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    """Replies of status 200 that were sent whole, their tokens, and how many of them were sent twice; apart from them
    those that were cut."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, prompt: str) -> str:
        """The fault that a question meets; empty: none."""
        draw = random.Random(f"{self.seed} {prompt}")
        return draw.choice(sorted(self.faults)) if draw.random() < self.share else ""

    def respond(self, body: Body, _: int) -> Reply:
        """The reply to a request."""
        prompt = body["messages"][-1]["content"]
        name = self.of(prompt)
        with self.lock:
            attempt = self.tries[prompt]
            self.tries[prompt] += 1
            self.met[name] += not attempt
        fault = self.faults.get(name)
        meets = fault is not None and attempt < fault.times
        reply = fault.reply(prompt) if fault and meets else Reply(whole(prompt))
        with self.lock:
            if not meets or (fault and fault.times == ALWAYS and not fault.reason):
                self.paid.add(prompt)
            self._count(reply)
        return reply

    def _count(self, reply: Reply) -> None:
        if reply.status != 200 or reply.hang_up or reply.cut is not None:
            self.sent["cut"] += reply.cut is not None
            return
        self.sent["replies"] += 1
        self.sent["twice"] += reply.twice
        if isinstance(reply.value, dict) and (usage := reply.value.get("usage")):
            self.sent["prompt_tokens"] += usage["prompt_tokens"]
            self.sent["completion_tokens"] += usage.get("completion_tokens", 0)
            self.sent["cached_tokens"] += usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
