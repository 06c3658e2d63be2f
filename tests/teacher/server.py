"""A small OpenAI-compatible HTTP server for tests: real sockets, scripted behaviour."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Reply:
    """What the server sends back: a JSON value, or raw bytes."""

    value: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay: float = 0.0


@dataclass
class FakeServer:
    """Answers POSTs by `respond(body, n)`, n counting earlier requests with the same body, and keeps them."""

    respond: Callable[[Body, int], Reply]
    url: str = ""
    bodies: list[Body] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    headers: set[str] = field(default_factory=set)
    """Names of headers that were sent."""
    peak: int = 0
    """Most requests ever in flight at once."""
    models_status: int = 200


def chat_reply(text: str | None, **choice: Any) -> Body:
    """A chat completion with one choice."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
    return {"choices": [{"message": message, "finish_reason": "stop", **choice}], "usage": usage}


def echo(body: Body, _: int) -> Reply:
    """Say the user message back."""
    return Reply(chat_reply("echo: " + body["messages"][-1]["content"]))


def send(handler: BaseHTTPRequestHandler, data: bytes, status: int, headers: Mapping[str, str]) -> None:
    """Send a whole response."""
    handler.send_response(status)
    own = {"Content-Type": "application/json", "Content-Length": str(len(data))}
    for name, value in (own | dict(headers)).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def serving(respond: Callable[[Body, int], Reply] = echo) -> Iterator[FakeServer]:
    """Run a server on a free port while the context lasts."""
    fake = FakeServer(respond)
    lock, flying = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._send(Reply({"object": "list", "data": []}, status=fake.models_status))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                earlier = fake.bodies.count(body)
                fake.bodies.append(body)
                fake.keys.add(self.headers["Authorization"])
                fake.headers |= set(self.headers.keys())
                flying[0] += 1
                fake.peak = max(fake.peak, flying[0])
            reply = fake.respond(body, earlier)
            time.sleep(reply.delay)
            with lock:
                flying[0] -= 1
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            data = reply.raw if reply.raw is not None else json.dumps(reply.value).encode()
            with suppress(BrokenPipeError, ConnectionResetError):  # a client that timed out has hung up
                send(self, data, reply.status, reply.headers)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
