"""A small OpenAI-compatible HTTP server for tests: real sockets, scripted behaviour."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Reply:
    """What the server sends back: a JSON value, or raw bytes; and how it misbehaves on the wire."""

    value: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay: float = 0.0
    cut: int | None = None
    """Only so many bytes of the body are sent, then the connection ends."""
    drip: float = 0.0
    """Seconds from one byte of the body to the next, sent in chunks."""
    hang_up: bool = False
    """The connection ends without a word."""
    twice: bool = False
    """Sent twice on the same connection."""

    @property
    def data(self) -> bytes:
        """The body."""
        return self.raw if self.raw is not None else json.dumps(self.value).encode()


@dataclass
class FakeServer:
    """Answers POSTs by `respond(body, n)`, n counting earlier requests with the same body, and keeps them."""

    respond: Callable[[Body, int], Reply]
    url: str = ""
    bodies: list[Body] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    """Paths that were asked, with their queries."""
    keys: set[str | None] = field(default_factory=set)
    """What stood under `Authorization`."""
    api_keys: set[str | None] = field(default_factory=set)
    """And under `api-key`."""
    codings: set[str | None] = field(default_factory=set)
    """And under `Accept-Encoding`."""
    headers: set[str] = field(default_factory=set)
    """Names of headers that were sent."""
    peak: int = 0
    """Most requests ever in flight at once."""
    models_status: int = 200
    models: Any = field(default_factory=lambda: {"object": "list", "data": []})
    """What it lists."""
    on_models: Callable[[], None] = lambda: None
    """Called before it lists them."""
    close_for: Callable[[float | None], None] = lambda seconds: None
    """Lose every connection, as when a process ends, and have new ones refused for some seconds; None: for good."""


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


def _misbehave(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    """Send a response as its fields of the wire say."""
    handler.close_connection = reply.hang_up or reply.cut is not None or bool(reply.drip)
    if reply.drip:
        handler.send_response(reply.status)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for byte in reply.data:
            time.sleep(reply.drip)
            handler.wfile.write(b"1\r\n%c\r\n" % byte)
        handler.wfile.write(b"0\r\n\r\n")
    elif reply.twice:
        head = f"HTTP/1.1 {reply.status} OK\r\nContent-Length: {len(reply.data)}\r\n\r\n".encode()
        handler.wfile.write((head + reply.data) * 2)
    elif not reply.hang_up:
        headers = {"Content-Length": str(len(reply.data))} | reply.headers
        send(handler, reply.data[: reply.cut], reply.status, headers)


@contextmanager
def serving(respond: Callable[[Body, int], Reply] = echo) -> Iterator[FakeServer]:
    """Run a server on a free port while the context lasts."""
    fake = FakeServer(respond)
    lock, flying, seen = threading.Lock(), [0], Counter[str]()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            fake.on_models()
            self._send(Reply(fake.models, status=fake.models_status))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                same = json.dumps(body, sort_keys=True)
                earlier = seen[same]
                seen[same] += 1
                fake.bodies.append(body)
                fake.paths.add(self.path)
                fake.keys.add(self.headers["Authorization"])
                fake.api_keys.add(self.headers["api-key"])
                fake.codings.add(self.headers["Accept-Encoding"])
                fake.headers |= set(self.headers.keys())
                flying[0] += 1
                fake.peak = max(fake.peak, flying[0])
            reply = fake.respond(body, earlier)
            time.sleep(reply.delay)
            with lock:
                flying[0] -= 1
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # a client that timed out has hung up
                _misbehave(self, reply)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def __init__(self, *settings: Any) -> None:
            self.connections: set[socket.socket] = set()
            super().__init__(*settings)

        def process_request(self, request: Any, client_address: Any) -> None:
            self.connections.add(request)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            self.connections.discard(request)
            super().shutdown_request(request)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that hangs up between two requests is no matter of a test."""

    def listen(port: int) -> Server:
        server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def close_for(seconds: float | None) -> None:
        server = servers.pop()
        port = server.server_port
        _end(server)
        for connection in [*server.connections]:
            with suppress(OSError):  # its other side was faster
                connection.shutdown(socket.SHUT_RDWR)

        if seconds is None:
            return

        def pause() -> None:
            time.sleep(seconds)
            servers.append(listen(port))

        pausing.append(threading.Thread(target=pause))
        pausing[-1].start()

    servers, pausing = [listen(0)], list[threading.Thread]()
    fake.url, fake.close_for = f"http://127.0.0.1:{servers[0].server_port}/v1", close_for
    try:
        yield fake
    finally:
        for thread in pausing:
            thread.join()
        _end(*servers)


def _end(*servers: ThreadingHTTPServer) -> None:
    for server in servers:
        server.shutdown()
        server.server_close()
