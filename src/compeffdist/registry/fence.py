"""What stands between the network and MLflow's server: few requests, whole bodies, one at a time, errors in one line.

By itself that server reads a body of any size from as many clients as come, starts six requests on two cores, lets all
others wait without an end, and answers faults with tracebacks and the texts it was sent. Here a request is refused at
once where too many wait; its body is read within bounds and a time (`arrival`), and written anew (`bodies`); then it
waits for its turn. MLflow makes its server right after it has loaded a version, and offers no place to put something
around it. So a version that is loaded by it puts its own kind of application where MLflow takes one from.
"""

import asyncio
import json
import logging
import math
import sys
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from compeffdist.errors import one_line
from compeffdist.params import ServingParams
from compeffdist.registry.arrival import Body, Gone, Message, Readers, Receive, Send
from compeffdist.registry.bodies import Refusal, rewritten
from compeffdist.registry.bounds import TOO_LARGE

SERVER = "mlflow.pyfunc.scoring_server.app"
"""The module that is being imported while MLflow's server loads a version."""
PATH = "/invocations"
DISCARDED = 8
"""Times `body_bytes` that are thrown away of a body that is refused."""
LONGEST_RETRY = 60
"""Seconds that a client is told to wait at most."""
NEWEST = 0.2
"""Weight of the newest request in how long one takes of late."""
CODES = {500: "INTERNAL_ERROR", 503: "TEMPORARILY_UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
"""MLflow's names for what went wrong; of others BAD_REQUEST."""

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


class Fence:
    """An ASGI application around MLflow's: requests to PATH are bounded, all others pass."""

    def __init__(self, app: App, bounds: ServingParams) -> None:
        self.app, self.bounds = app, bounds
        self.inside = 0
        """Requests waiting or answered."""
        self.readers = Readers(bounds.body_bytes)
        self.took = 0.0
        """Seconds that a request takes of late."""
        self.turn = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", PATH):
            await self.app(scope, receive, send)
            return
        sent, retry_after = Body(scope, receive), 0
        try:
            status, body = await self._admitted(scope, sent)
        except Refusal as refusal:
            status, retry_after = refusal.status, refusal.retry_after
            body = _error(CODES.get(status, "BAD_REQUEST"), str(refusal))
            if status != HTTPStatus.REQUEST_TIMEOUT:  # who sends nothing is not waited for again
                await sent.discard(DISCARDED * self.bounds.body_bytes)
        except Gone:
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if retry_after:
            headers.append((b"retry-after", str(retry_after).encode()))
        if not sent.ended:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _admitted(self, scope: Any, body: Body) -> tuple[int, bytes]:
        """Status and body of the answer. Raises Refusal, Gone."""
        self._expect_place()
        sent = await self.readers.read(body)
        self._expect_place()
        self.inside += 1
        try:
            request = rewritten(sent, body.content_type, self.bounds)
            try:
                async with asyncio.timeout(self.bounds.wait_seconds):
                    await self.turn.acquire()
            except TimeoutError:
                waited = f"{self.bounds.wait_seconds:g} s (serving.wait_seconds)"
                raise self._busy(f"the request waited {waited} for its turn") from None
            try:
                if await body.client_left():
                    raise Gone
                return await self._answered(scope, request)
            finally:
                self.turn.release()
        finally:
            self.inside -= 1

    def _expect_place(self) -> None:
        if self.inside > self.bounds.waiting:
            raise self._busy(f"{self.inside} requests are being answered or wait already (serving.waiting)")

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
