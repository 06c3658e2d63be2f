"""How fast a server is asked: as many requests at once as it bears, and none while it says to wait.

A server that is too busy (429, 529, or 503 with a time to come back) is given half as many requests at once, each
answer lets a little more through again, and nobody sends before the time it names. That costs no attempt: attempts are
for faults. It has an end all the same: `runtime.busy_seconds` after any request first waited, if the server has
answered none since, every refusal counts as a fault, however short the request itself has waited.

A request that is not answered in time slows asking down, too, but is tried again as every fault is. A server that was
there and is gone (no connection; or a gateway's errors for many requests, and nothing answered between them) is waited
for like one that is busy, and just as long: no request is to blame for that. A connection that is lost costs its
attempt each time: what was asked on it may have been answered, and paid for.

Where others can be asked in its place (`replicas`), nobody waits for a server that is gone: it is left to them.
"""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from compeffdist.teacher.server_errors import read_body, reason, status_of
from compeffdist.teacher.wire import attempt, is_asked

TOO_BUSY = 529
"""Overloaded, as some servers have it."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds, where the server names no time: doubled from one refusal of a request to its next."""
NAMED_AT_MOST = 900.0
"""Of a time that a server names."""
DOWN = 8
"""Requests that failed one after the other, by what may be the server's fault, from which on it is the server's."""
_SAID_BUSY = re.compile(
    r"\bbusy\b|overload|too many|rate.?limit|capacity|\bqueue|loading|warming|starting", re.IGNORECASE
)
_NO_CONNECTION = {"ConnectError", "ConnectTimeout"}
OF_GATEWAYS = {502, 503, 504, *range(520, 531)}
"""What a gateway says of a server that it does not reach; 520 to 530 are Cloudflare's."""


class ServerGone(Exception):
    """A server that others can be asked in place of is not there: nothing is known of the request that met it."""

    def __init__(self, why: str, in_time: bool = True) -> None:
        super().__init__(why)
        self.why, self.in_time = why, in_time
        """What is seen of it, and whether the request found that out sooner than by its time running out."""


@dataclass
class Pace:
    """What is known of how fast a server can be asked; an engine keeps it for its run."""

    most: int
    """Requests at once that the user allows."""
    patience: float
    """Seconds that it may be too busy."""
    comes_back: bool = True
    """Whether one that is gone may be there again: somebody else's may, one of ours that died is not."""
    others: bool = False
    """Whether others can be asked in its place."""
    told: set[str] = field(default_factory=set)
    """What was said of it already."""
    limit: float = field(init=False)
    """Requests at once, as far as is known; at least 1."""
    open_at: float = 0.0
    """When it may be asked again (monotonic seconds)."""
    cut_at: float = float("-inf")
    there: bool = False
    """Whether it ever gave a response, of whatever kind."""
    has_answered: bool = False
    answered_at: float = float("-inf")
    """When it last did."""
    waited_for_since: float | None = None
    """When it was first waited for since it last answered."""
    failing: set[int] = field(default_factory=set)
    """Requests that failed since it last answered one that was sent later, by their contents."""
    failing_since: float = float("inf")

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    def begin(self) -> None:
        """Have patience anew: what it failed at before says nothing of it now."""
        self.waited_for_since = None
        self.failing.clear()
        self.failing_since = float("inf")

    def answered(self, sent_at: float) -> None:
        """An answer came to a request that was sent then: after as many as go out at once, one more does."""
        self.has_answered, self.waited_for_since, self.answered_at = True, None, time.monotonic()
        if sent_at > self.failing_since:  # an answer that was on its way before tells nothing of the server since
            self.failing.clear()
            self.failing_since = float("inf")
        self.limit = min(self.most, self.limit + 1 / self.limit)

    def slow_down(self, sent_at: float, wait: float = 0.0) -> bool:
        """A request that was sent then was too much. Whether that was news: of those sent before the last cut, no."""
        now = time.monotonic()
        self.open_at = max(self.open_at, now + wait)
        if sent_at <= self.cut_at:
            return False
        self.limit, self.cut_at = max(1.0, self.limit / 2), now
        return True

    def has_patience(self, wait: float) -> bool:
        """Whether a request may wait so long and be sent again: the time since any was first waited for counts."""
        now = time.monotonic()
        if self.waited_for_since is None:
            self.waited_for_since = now
        return now + wait - self.waited_for_since <= self.patience

    def failed(self, contents: bytes) -> bool:
        """A request failed by what may be the server's fault. Whether so many did that it is."""
        self.failing_since = min(self.failing_since, time.monotonic())
        self.failing.add(hash(contents))
        return len(self.failing) >= DOWN


class Gate:
    """Lets requests of one event loop through at a pace."""

    def __init__(self, pace: Pace) -> None:
        self.pace, self.flying, self.changed = pace, 0, asyncio.Event()

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[float]:
        """Waits until a request may be sent; gives when that was."""
        while (wait := self.pace.open_at - time.monotonic()) > 0 or self.flying >= max(1, int(self.pace.limit)):
            await self._wait(wait)
        self.flying += 1
        try:
            yield time.monotonic()
        finally:  # without waiting for anything: a request that is cancelled leaves no place taken
            self.flying -= 1
            self.changed.set()
            self.changed.clear()

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            # not all at the same moment
            async with asyncio.timeout(seconds * random.uniform(1.0, 1.1) if seconds > 0 else None):
                await self.changed.wait()


def is_busy(status: int, headers: Mapping[str, str], body: str) -> bool:
    """Whether a server says that it would answer later. A quota that is used up is often told as 429, too."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return status_of(status, read_body(body)) == status
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return named_wait(headers) is not None or bool(_SAID_BUSY.search(reason(read_body(body))))
    return status == TOO_BUSY


def named_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until a server wants to be asked again, by `Retry-After` in seconds or as a date, or `retry-after-ms`;
    None if it does not say, or nothing sensible."""
    milliseconds, said = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    try:
        seconds = float(milliseconds) / 1000 if milliseconds else float(said)
    except ValueError:
        seconds = _until(said, headers.get("date", ""))
    return seconds if 0 <= seconds <= NAMED_AT_MOST else None


def _until(said: str, now: str) -> float:
    """Seconds until a date by the server's own clock, if it tells its time: the one here may be wrong."""
    moment, its_time = _moment(said), _moment(now)
    if moment is None:
        return -1.0
    return max(0.0, moment - (time.time() if its_time is None else its_time))


def _moment(said: str) -> float | None:
    try:
        date = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def own_wait(refusals: int) -> float:
    """Seconds to wait after so many refusals of a request where the server names no time."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0**refusals) * random.uniform(0.5, 1.0)


def paced(client: Any, pace: Pace, tell: Callable[[int, str], None]) -> Any:
    """A class of HTTP client, made of the one given, that sends requests at a pace.

    Args:
        client: `httpx.AsyncClient` or a class derived from it, in whichever version the openai client uses.
        tell: called when asking slows down: with the requests at once that are left, and, if the server is gone, what
            is seen of that.
    """
    pace.begin()

    class PacedClient(client):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.gate = Gate(pace)

        async def send(self, request: Any, **options: Any) -> Any:
            if request.url.path.endswith("/models"):  # only a look whether the server is there
                response = await super().send(request, **options)
                pace.there = True
                return response
            refusals = 0
            while True:
                async with self.gate.passage() as sent_at:
                    response, lost = None, None
                    try:
                        response = await attempt(super().send, request, options)
                        if not response.is_success:
                            await response.aread()
                    except Exception as error:
                        lost = error
                    if response is not None and response.is_success:
                        pace.there = True
                        pace.answered(sent_at)
                        return response
                    gone = _gone(pace, request, response, lost)
                    pace.there |= response is not None
                    late = type(lost).__name__ == "ReadTimeout"
                    if late and pace.slow_down(sent_at):
                        tell(int(pace.limit), "")
                    if pace.others and (gone or (late and pace.answered_at < sent_at)):
                        raise ServerGone(gone or "nothing is answered in time", in_time=not late)
                    if gone is not None:
                        wait = _named(response) or own_wait(refusals)
                        if pace.has_patience(wait):
                            refusals += 1
                            if pace.slow_down(sent_at, wait):
                                tell(int(pace.limit), gone)
                            continue
                        if pace.others:
                            raise ServerGone(f"too busy for {pace.patience:g} s")
                if lost is not None:
                    raise lost
                if response.status_code == HTTPStatus.TOO_EARLY:  # passes, which the openai client does not know
                    response.headers["x-should-retry"] = "true"
                return response

    return PacedClient


def _gone(pace: Pace, request: Any, response: Any, lost: Exception | None) -> str | None:
    """What is seen of a server that is to be waited for: empty if it is busy, None if it is not to be waited for."""
    if response is not None and response.extensions.get(HIDDEN):
        return None
    if response is not None:
        if is_busy(response.status_code, response.headers, response.text):
            return ""
        # a file that is sent up has no content to tell it by
        down = response.status_code in OF_GATEWAYS and is_asked(request) and pace.failed(request.content)
        return f"status {response.status_code}" if down else None
    down = type(lost).__name__ in _NO_CONNECTION and pace.there
    return "no connection" if down and pace.comes_back else None


def _named(response: Any) -> float | None:
    return None if response is None else named_wait(response.headers)


HIDDEN = "compeffdist.hidden"
"""Mark of a response whose status was 200, though it tells an error."""
