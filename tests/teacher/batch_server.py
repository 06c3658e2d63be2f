"""A server with a batch API of OpenAI's form, on real sockets: files, batches, and chat for what is asked at once."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.teacher.server import Body, Reply, echo, send


@dataclass
class BatchServer:
    """Answers each request of a batch by `respond(body, 0)`, and keeps what happened."""

    respond: Callable[[Body, int], Reply] = echo
    url: str = ""
    looks: int = 1
    """How often a batch is looked at before it has ended."""
    status: str = "completed"
    """How batches end."""
    lost: set[int] = field(default_factory=set)
    """Places in a batch of requests that get no line."""
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    at_once: list[Body] = field(default_factory=list)
    batched: list[Body] = field(default_factory=list)
    refuse_batches: bool = False
    lost_uploads: list[int] = field(default_factory=list)
    """Status of uploads that fail, one after the other; 0: the connection is lost."""
    ended: threading.Event = field(default_factory=threading.Event)
    """Set: batches end at all."""

    def __post_init__(self) -> None:
        self.ended.set()

    def make(self, asked: Body) -> dict[str, Any]:
        """A new batch, answered at once, told later."""
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        output, errors = [], []
        for place, line in enumerate(lines):
            if place in self.lost:
                continue
            self.batched.append(line["body"])
            reply = self.respond(line["body"], 0)
            told = {"custom_id": line["custom_id"], "error": None}
            told["response"] = {"status_code": reply.status, "body": reply.value}
            (output if reply.status == 200 else errors).append(told)
        number = len(self.batches)
        batch: dict[str, Any] = {"id": f"batch_{number}", "object": "batch", "status": "in_progress", **asked}
        for name, told in (("output_file_id", output), ("error_file_id", errors)):
            batch[name] = f"{name}_{number}" if told else None
            # the order of a batch's replies is nobody's
            self.files[f"{name}_{number}"] = "".join(f"{json.dumps(line)}\n" for line in reversed(told)).encode()
        batch |= {"looks": 0, "request_counts": {"total": len(lines), "completed": 0, "failed": 0}}
        self.batches[batch["id"]] = batch
        return batch

    def look(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch as it is told."""
        batch["looks"] += 1
        if batch["looks"] > self.looks and self.ended.is_set():
            batch["status"] = self.status
            batch["request_counts"]["completed"] = batch["request_counts"]["total"]
        told = dict(batch)
        if batch["status"] == "in_progress":
            told |= {"output_file_id": None, "error_file_id": None}
        if batch["status"] == "failed":
            told |= {"output_file_id": None, "error_file_id": None}
            told["errors"] = {"data": [{"code": "model_not_found", "message": "no batches of this model"}]}
        return told


@contextmanager
def serving_batches(server: BatchServer) -> Iterator[BatchServer]:
    """Run it on a free port while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if match := re.fullmatch(r"/v1/files/([^/]+)/content", path):
                send(self, server.files[match[1]], 200, {})
            elif match := re.fullmatch(r"/v1/batches/([^/]+)", path):
                if batch := server.batches.get(match[1]):
                    self._json(server.look(batch))
                else:
                    self._json({"error": {"message": "no such batch"}}, 404)
            elif path == "/v1/batches":
                self._json({"object": "list", "data": list(server.batches.values()), "has_more": False})
            else:
                self._json({"object": "list", "data": []})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/files" and server.lost_uploads:
                if status := server.lost_uploads.pop(0):
                    self._json({"error": {"message": "bad gateway"}}, status)
            elif self.path == "/v1/files":
                name = f"file_{len(server.files)}"
                server.files[name] = _part(content, "file")
                self._json({"id": name, "object": "file", "purpose": "batch", "filename": "requests.jsonl"})
            elif self.path == "/v1/batches":
                if server.refuse_batches:
                    self._json({"error": {"message": "there is no such thing"}}, 404)
                else:
                    try:
                        batch = server.make(json.loads(content))
                    except ConnectionError:
                        self.close_connection = True
                        return
                    self._json(batch)
            else:
                body = json.loads(content)
                server.at_once.append(body)
                reply = server.respond(body, 0)
                self._json(reply.value, reply.status)

        def _json(self, value: Any, status: int = 200) -> None:
            send(self, json.dumps(value).encode(), status, {})

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def _part(content: bytes, name: str) -> bytes:
    """A part of a multipart form."""
    boundary = content.partition(b"\r\n")[0]
    for part in content.split(boundary):
        head, _, body = part.partition(b"\r\n\r\n")
        if f'name="{name}"'.encode() in head:
            return body.removesuffix(b"\r\n")
    raise AssertionError(f"no part {name}")
