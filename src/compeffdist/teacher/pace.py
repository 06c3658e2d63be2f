"""How fast a server is asked: as many requests at once as it bears, and none while it says to wait.

A server that is too busy (429, 529, or 503 with a time to come back) is given half as many requests at once, each
answer lets a little more through again, and nobody sends before the time it names. That costs no attempt: attempts are
for faults. It has an end all the same: once a request has waited for `runtime.busy_seconds` and the server has answered
nothing for as long, its refusal counts as a fault.

A request that is not answered in time slows asking down, too, but is tried again as every fault is.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from compeffdist.teacher.server_errors import read_body, status_of

TOO_BUSY = 529
"""Overloaded, as some servers have it."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds, where the server names no time: doubled from one refusal of a request to its next."""
NAMED_AT_MOST = 900.0
"""Of a time that a server names."""


@dataclass
class Pace:
    """What is known of how fast a server can be asked; an engine keeps it for its run."""

    most: int
    """Requests at once that the user allows."""
    patience: float
    """Seconds that it may be too busy."""
    limit: float = field(init=False)
    """Requests at once, as far as is known; at least 1."""
    open_at: float = 0.0
    """When it may be asked again (monotonic seconds)."""
    cut_at: float = float("-inf")
    answered_at: float = float("-inf")
    """When it last answered."""

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    def answered(self) -> None:
        """An answer came: after as many as go out at once, one more does."""
        self.answered_at = time.monotonic()
        self.limit = min(self.most, self.limit + 1 / self.limit)

    def slow_down(self, sent_at: float, wait: float = 0.0) -> bool:
        """A request that was sent then was too much. Whether that was news: of those sent before the last cut, no."""
        now = time.monotonic()
        self.open_at = max(self.open_at, now + wait)
        if sent_at <= self.cut_at:
            return False
        self.limit, self.cut_at = max(1.0, self.limit / 2), now
        return True

    def has_patience(self, first_sent_at: float, wait: float) -> bool:
        """Whether a request may wait so long and be sent again."""
        return time.monotonic() + wait - max(first_sent_at, self.answered_at) <= self.patience


class Gate:
    """Lets requests of one event loop through at a pace."""

    def __init__(self, pace: Pace) -> None:
        self.pace, self.flying, self.changed = pace, 0, asyncio.Condition()

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[float]:
        """Waits until a request may be sent; gives when that was."""
        async with self.changed:
            while (wait := self.pace.open_at - time.monotonic()) > 0 or self.flying >= max(1, int(self.pace.limit)):
                await self._wait(wait)
            self.flying += 1
        try:
            yield time.monotonic()
        finally:
            async with self.changed:
                self.flying -= 1
                self.changed.notify_all()

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            # not all at the same moment
            async with asyncio.timeout(seconds * random.uniform(1.0, 1.1) if seconds > 0 else None):
                await self.changed.wait()


def is_busy(status: int, headers: Mapping[str, str], body: str) -> bool:
    """Whether a server says that it would answer later. A quota that is used up is often told as 429, too."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return status_of(status, read_body(body)) == status
    return status == TOO_BUSY or (status == HTTPStatus.SERVICE_UNAVAILABLE and named_wait(headers) is not None)


def named_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until a server wants to be asked again, by `Retry-After` in seconds or as a date, or `retry-after-ms`;
    None if it does not say, or nothing sensible."""
    milliseconds, said = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    try:
        seconds = float(milliseconds) / 1000 if milliseconds else float(said)
    except ValueError:
        seconds = _until(said)
    return seconds if 0 <= seconds <= NAMED_AT_MOST else None


def _until(said: str) -> float:
    try:
        date = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return -1.0
    moment = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - time.time())


def own_wait(refusals: int) -> float:
    """Seconds to wait after so many refusals of a request where the server names no time."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0**refusals) * random.uniform(0.5, 1.0)


def paced(client: Any, pace: Pace, tell: Any) -> Any:
    """A class of HTTP client, made of the one given, that sends requests at a pace.

    Args:
        client: `httpx.AsyncClient` or a class derived from it, in whichever version the openai client uses.
        tell: called with the requests at once that are left, when asking slows down.
    """

    class PacedClient(client):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self.gate = Gate(pace)

        async def send(self, request: Any, **options: Any) -> Any:
            if request.url.path.endswith("/models"):  # only a look whether the server is there
                return await super().send(request, **options)
            first, refusals = time.monotonic(), 0
            while True:
                async with self.gate.passage() as sent_at:
                    try:
                        response = await super().send(request, **options)
                    except Exception as error:
                        if type(error).__name__ == "ReadTimeout" and pace.slow_down(sent_at):
                            tell(int(pace.limit))
                        raise
                    if response.is_success:
                        pace.answered()
                        return response
                    if response.extensions.get(HIDDEN):
                        return response
                    await response.aread()
                    if not is_busy(response.status_code, response.headers, response.text):
                        return response
                    named = named_wait(response.headers)
                    wait = named if named is not None else own_wait(refusals)
                    if not pace.has_patience(first, wait):
                        return response
                    refusals += 1
                    if pace.slow_down(sent_at, wait):
                        tell(int(pace.limit))

    return PacedClient


HIDDEN = "compeffdist.hidden"
"""Mark of a response whose status was 200, though it tells an error."""
