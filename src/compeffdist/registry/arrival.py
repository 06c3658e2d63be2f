"""Bodies of requests as they arrive: within a size and a time, and those that do not come in the way of none that does.

Whoever opens connections and sends nothing has nothing to lose. So where too many bodies are being read, or hold too
much together, the oldest is let go, and not the newest refused.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from compeffdist.registry.bodies import Refusal

READ_SECONDS = 10.0
"""For a client to send its body."""
READERS, HELD = 256, 32
"""Bodies that are read at once, and times `body_bytes` that they may hold together."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Gone(Exception):
    """The client is no longer there."""


class Body:
    """What a client sends, as it comes."""

    def __init__(self, scope: Any, receive: Receive) -> None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.content_type = headers.get(b"content-type", "")
        announced = headers.get(b"content-length", "")
        self._announced = int(announced[:20]) if announced.isdecimal() else 0
        self._held_back = b"expect" in headers  # it sends when it is told to, which to receive does
        self._receive = receive
        self._deadline = asyncio.timeout(READ_SECONDS)
        self._why = f"within {READ_SECONDS:g} s"
        self.held = bytearray()
        """What has come of it while it is read."""
        self.ended = False

    async def read(self, most: int, grew: Callable[[], None]) -> bytes:
        """All of it, telling `grew` of each part. Raises Refusal if it is more or does not come, Gone."""
        too_large = Refusal(413, f"the body has more than {most} bytes (serving.body_bytes): send fewer rows")
        if self._announced > most:
            raise too_large
        try:
            async with self._deadline:
                while not self.ended:
                    self.held += await self._part()
                    if len(self.held) > most:
                        raise too_large
                    grew()
            return bytes(self.held)
        except TimeoutError:
            raise Refusal(408, f"the body was not sent {self._why}") from None
        finally:
            self.held.clear()

    def let_go(self) -> None:
        """Read no more of it, while it is being read."""
        if not self._deadline.expired():
            self._why = "while others wait to send theirs"
            self._deadline.reschedule(asyncio.get_running_loop().time())

    async def discard(self, most: int) -> None:
        """Throw the rest away, up to `most` bytes: who still sends does not yet listen, and a connection that is closed
        with bytes unread is reset, the answer lost."""
        if self._held_back:
            return
        with contextlib.suppress(TimeoutError, Gone):
            async with asyncio.timeout(READ_SECONDS):
                while not self.ended and most > 0:
                    most -= len(await self._part())

    async def client_left(self) -> bool:
        """Whether the client, whose body was read, has left."""
        left = asyncio.ensure_future(self._receive())
        await asyncio.sleep(0)
        if left.done():
            return bool(left.result()["type"] == "http.disconnect")
        left.cancel()
        return False

    async def _part(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            raise Gone
        self._held_back = False
        self.ended = not message.get("more_body", False)
        return bytes(message.get("body", b""))


class Readers:
    """The bodies that are being read, at most READERS, each of at most `body_bytes`, HELD times that together."""

    def __init__(self, body_bytes: int) -> None:
        self.body_bytes = body_bytes
        self.reading: dict[Body, None] = {}
        """The oldest first."""

    async def read(self, body: Body) -> bytes:
        """All of a body. Raises Refusal, Gone."""
        self.reading[body] = None
        self._make_room()
        try:
            return await body.read(self.body_bytes, self._make_room)
        finally:
            self.reading.pop(body, None)

    def _make_room(self) -> None:
        while len(self.reading) > READERS or sum(len(body.held) for body in self.reading) > HELD * self.body_bytes:
            oldest = next(iter(self.reading))
            del self.reading[oldest]
            oldest.let_go()
