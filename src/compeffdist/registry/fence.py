"""What stands between the network and MLflow's server: few requests, whole bodies, one at a time, errors in one line.

By itself that server reads a body of any size from as many clients as come, starts six requests on two cores, lets all
others wait without an end, and answers faults with tracebacks and the texts it was sent. Here a request is refused at
once where too many wait; its body is read within bounds and a time, and written anew (`bodies`); then it waits for its
turn. MLflow makes its server right after it has loaded a version, and offers no place to put something around it. So a
version that is loaded by it puts its own kind of application where MLflow takes one from.
"""

import asyncio
import contextlib
import json
import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from compeffdist.errors import one_line
from compeffdist.params import ServingParams
from compeffdist.registry.bodies import Refusal, rewritten
from compeffdist.registry.bounds import TOO_LARGE

SERVER = "mlflow.pyfunc.scoring_server.app"
"""The module that is being imported while MLflow's server loads a version."""
PATH = "/invocations"
READ_SECONDS = 10.0
"""For a client to send its body."""
DISCARDED = 8
"""Times `body_bytes` that are thrown away of a body that is refused."""
LONGEST_RETRY = 60
"""Seconds that a client is told to wait at most."""
NEWEST = 0.2
"""Weight of the newest request in how long one takes of late."""
CODES = {500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
"""MLflow's names for what went wrong; of others BAD_REQUEST."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)


def fence_server(bounds: ServingParams) -> bool:
    """Put a fence around the server that MLflow is about to make; whether it is."""
    if SERVER not in sys.modules:
        return False
    import fastapi

    class FencedApp(fastapi.FastAPI):
        def build_middleware_stack(self) -> Any:
            return Fence(super().build_middleware_stack(), bounds)

    vars(fastapi)["FastAPI"] = FencedApp
    return True


class _Gone(Exception):
    """The client is no longer there."""


class _Body:
    """What a client sends, as it comes."""

    def __init__(self, scope: Any, receive: Receive) -> None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.content_type = headers.get(b"content-type", "")
        announced = headers.get(b"content-length", "")
        self._announced = int(announced[:20]) if announced.isdecimal() else 0
        self._held_back = b"expect" in headers  # it sends when it is told to, which to receive does
        self._receive = receive
        self.ended = False

    async def read(self, most: int) -> bytes:
        """All of it. Raises Refusal if it is more or does not come, _Gone."""
        too_large = Refusal(413, f"the body has more than {most} bytes (serving.body_bytes): send fewer rows")
        if self._announced > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(READ_SECONDS):
                while not self.ended:
                    body += await self._part()
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            raise Refusal(408, f"the body was not sent within {READ_SECONDS:g} s") from None
        return bytes(body)

    async def discard(self, most: int) -> None:
        """Throw the rest away, up to `most` bytes: who still sends does not yet listen, and a connection that is closed
        with bytes unread is reset, the answer lost."""
        if self._held_back:
            return
        with contextlib.suppress(TimeoutError, _Gone):
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
            raise _Gone
        self._held_back = False
        self.ended = not message.get("more_body", False)
        return bytes(message.get("body", b""))


class Fence:
    """An ASGI application around MLflow's: requests to PATH are bounded, all others pass."""

    def __init__(self, app: App, bounds: ServingParams) -> None:
        self.app, self.bounds = app, bounds
        self.inside = 0
        """Requests being read, waiting or answered."""
        self.took = 0.0
        """Seconds that a request takes of late."""
        self.turn = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", PATH):
            await self.app(scope, receive, send)
            return
        sent, retry_after = _Body(scope, receive), 0
        try:
            status, body = await self._admitted(scope, sent)
        except Refusal as refusal:
            status, retry_after = refusal.status, refusal.retry_after
            body = _error(CODES.get(status, "BAD_REQUEST"), str(refusal))
            await sent.discard(DISCARDED * self.bounds.body_bytes)
        except _Gone:
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if retry_after:
            headers.append((b"retry-after", str(retry_after).encode()))
        if not sent.ended:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _admitted(self, scope: Any, body: "_Body") -> tuple[int, bytes]:
        """Status and body of the answer. Raises Refusal, _Gone."""
        if self.inside > self.bounds.waiting:
            raise self._busy(f"{self.inside} requests are being answered or wait already (serving.waiting)")
        self.inside += 1
        try:
            request = rewritten(await body.read(self.bounds.body_bytes), body.content_type, self.bounds)
            try:
                async with asyncio.timeout(self.bounds.wait_seconds):
                    await self.turn.acquire()
            except TimeoutError:
                waited = f"{self.bounds.wait_seconds:g} s (serving.wait_seconds)"
                raise self._busy(f"the request waited {waited} for its turn") from None
            try:
                if await body.client_left():
                    raise _Gone
                return await self._answered(scope, request)
            finally:
                self.turn.release()
        finally:
            self.inside -= 1

    def _busy(self, why: str) -> Refusal:
        seconds = min(LONGEST_RETRY, max(1, math.ceil(self.took * self.inside)))
        return Refusal(503, f"busy: {why}; come back in {seconds} s", seconds)

    async def _answered(self, scope: Any, body: bytes) -> tuple[int, bytes]:
        """What MLflow's server answers, its errors in one line."""
        parts: list[bytes] = []
        sent: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        status = 500

        async def receive() -> Message:
            if sent:
                return sent.pop()
            return await asyncio.get_running_loop().create_future()  # the client is looked after here

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            parts.append(message.get("body", b""))

        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        start = time.monotonic()
        try:
            await self.app({**scope, "headers": headers}, receive, send)
        except Exception:
            log.exception("a request failed")
            status, parts = 500, []
        took = time.monotonic() - start
        self.took += (took - self.took) * (NEWEST if self.took else 1.0)
        answer = b"".join(parts)
        return (status, answer) if status == HTTPStatus.OK else _told(status, answer)


def _told(status: int, answer: bytes) -> tuple[int, bytes]:
    """An error of MLflow's server as a client is told it: no traceback, nothing of what was sent."""
    try:
        error = json.loads(answer)
        code, message = str(error["error_code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        error, code, message = {}, CODES.get(status, "BAD_REQUEST"), ""
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return status, _error(
            code, "the request took longer than the server waits (MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT)"
        )
    if not message or "stack_trace" in error or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("a request failed: %s", error.get("stack_trace") or one_line(message))
        return 500, _error(CODES[500], "the request failed; the server's log says why")
    # MLflow puts its own words and the request before what the version said
    said = message.rpartition("\nError: ")[2]
    return 413 if error.get("reason") == TOO_LARGE else status, _error(code, said)


def _error(code: str, message: str) -> bytes:
    return json.dumps({"error_code": code, "message": one_line(message, 300)}).encode()
