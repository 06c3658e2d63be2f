"""Serves what is watched on this machine alone, to whoever has the address with its token.

Only GET and HEAD, only by 127.0.0.1 or localhost in `Host` (a name that was rebound to this machine gets nothing), only
the page, the state, and pages of the report; each connection for one request, few at a time, none for long.
"""

import hmac
import json
import re
import secrets
import sys
import threading
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, socket
from typing import Any
from urllib.parse import urlsplit

from compeffdist import pages
from compeffdist.artefacts import DIFFICULTY_PAGE, REPORT
from compeffdist.declaration import read_pipeline
from compeffdist.errors import UserError, one_line
from compeffdist.gates.outcome import page_of
from compeffdist.watch.page import POLICY as PAGE_POLICY
from compeffdist.watch.page import render
from compeffdist.watch.reading import clip
from compeffdist.watch.state import Watcher

ADDRESS = "127.0.0.1"
MOST_CONNECTIONS = 16
SECONDS = 10.0
"""That a request may take to come, and its reply to be taken."""
LONGEST_PATH = 300
FRAMED = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
_OURS = re.compile(f"({re.escape(pages.POLICY)}|{re.escape(PAGE_POLICY)})(; script-src( 'sha256-[A-Za-z0-9+/=]+')+)?")
_HEAD = 2000
"""Characters of a page in which its policy stands."""


class WatchServer(ThreadingHTTPServer):
    """Listens on a free port from the moment it is made; `serve_forever` answers."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, watcher: Watcher) -> None:
        """Raises UserError if the working folder is no checkout."""
        read_pipeline()
        self.watcher, self.token = watcher, secrets.token_urlsafe(32)
        self.free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.page = render(clip(Path().absolute().name)).encode("utf-8", "replace")
        self.policy = policy_of(self.page)
        super().__init__((ADDRESS, 0), Handler)

    @property
    def address(self) -> str:
        """What is opened in a browser."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, if there is one left."""
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        late = threading.Timer(SECONDS, partial(_hang_up, request))
        late.daemon = True
        late.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            late.cancel()
            self.free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line on what is ours; nothing on a browser that left."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(one_line(f"watch: {type(error).__name__}: {error}"), file=sys.stderr)


class Handler(BaseHTTPRequestHandler):
    """A request."""

    server: WatchServer
    server_version, sys_version = "compeffdist", ""
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = TEXT
    timeout = SECONDS

    def parse_request(self) -> bool:
        """Refuses, whatever the method, what has not the token or comes by another name."""
        if not super().parse_request():
            return False
        hosts = self.headers.get_all("Host") or []
        port = self.server.server_port
        known = (f"{ADDRESS}:{port}", f"localhost:{port}")
        if len(hosts) != 1 or hosts[0].lower() not in known or not self._has_token():
            self.send_error(HTTPStatus.FORBIDDEN)
        elif len(self.path) > LONGEST_PATH:
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        else:
            return True
        return False

    def do_GET(self) -> None:
        """The page, the state, or a page of the report."""
        _, slash, name = urlsplit(self.path).path.lstrip("/").partition("/")
        if not slash:  # what the page asks for lies below
            self.send_response(HTTPStatus.PERMANENT_REDIRECT)
            self.send_header("Location", f"/{self.server.token}/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif not name:
            self._send(self.server.page, HTML, self.server.policy)
        elif name == "state":
            self._send(*self._state())
        else:
            self._send_file(name)

    do_HEAD = do_GET

    def _send_file(self, name: str) -> None:
        try:
            shown = name in shown_files()
        except UserError as error:  # dvc.yaml is broken, or is being written
            self._send(f"{error}\n".encode("utf-8", "replace"), TEXT, pages.POLICY, HTTPStatus.SERVICE_UNAVAILABLE)
            return
        if shown and (content := _read(Path(name))) is not None:
            self._send(content, HTML, policy_of(content))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """With what every reply says: the address, which holds the token, is told to nobody, and nothing is kept."""
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the token would be in it."""

    def _has_token(self) -> bool:
        given = self.path.lstrip("/").partition("/")[0]
        return self.path.startswith("/") and hmac.compare_digest(
            given.encode("utf-8", "replace"), self.server.token.encode()
        )

    def _state(self) -> tuple[bytes, str, str, HTTPStatus]:
        try:
            told, status = self.server.watcher.state(), HTTPStatus.OK
        except UserError as error:  # the checkout went
            told, status = {"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE
        content = json.dumps(told, allow_nan=False).encode()
        return content, "application/json", pages.POLICY, status

    def _send(self, content: bytes, kind: str, policy: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", f"{policy}; {FRAMED}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def policy_of(page: bytes) -> str:
    """The policy that a page of ours carries, to be sent beside it; of another one, that which lets no script run."""
    found = _POLICY.search(page[:_HEAD].decode("utf-8", "replace"))
    return found[1] if found and _OURS.fullmatch(found[1]) else pages.POLICY


def shown_files() -> set[str]:
    """What of the report is served."""
    gates = (stage.gate for stage in read_pipeline().values() if stage.gate)
    return {str(REPORT), str(DIFFICULTY_PAGE), *(str(page_of(gate)) for gate in gates)}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # it is not there, or is being written anew
        return None


def _hang_up(connection: socket) -> None:
    with suppress(OSError):  # it is over
        connection.shutdown(SHUT_RDWR)
