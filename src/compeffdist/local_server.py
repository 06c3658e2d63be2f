"""Pages served on this machine alone, to whoever has the address with its token.

Only by 127.0.0.1 or localhost in `Host` (a name that was rebound to this machine gets nothing); each connection for one
request, few at a time, none for long; every reply under a policy. What there is to see is up to whoever serves it.
"""

import hmac
import re
import secrets
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any
from urllib.parse import urlsplit

from compeffdist import pages
from compeffdist.errors import one_line
from compeffdist.house_style import document

ADDRESS = "127.0.0.1"
MOST_CONNECTIONS = 16
SECONDS = 10.0
"""That a request may take to come, and its reply to be taken."""
LONGEST_PATH = 300
POLICY = f"{pages.POLICY}; connect-src 'self'"
"""Of a page that asks the server it came from, and nobody else."""
FRAMED = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HTML, TEXT, JSON = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json"
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
_OURS = re.compile(f"({re.escape(pages.POLICY)}|{re.escape(POLICY)})(; script-src( 'sha256-[A-Za-z0-9+/=]+')+)?")
_HEAD = 2000
"""Characters of a page in which its policy stands."""


def asking_document(title: str, body: Iterable[str], style: str, scripts: Sequence[str]) -> str:
    """A page as `house_style.document`, whose scripts may ask the server it came from."""
    return document(title, body, style, scripts).replace(pages.POLICY, POLICY, 1)


def policy_of(page: bytes) -> str:
    """The policy that a page of ours carries, to be sent beside it; of another one, that which lets no script run."""
    found = _POLICY.search(page[:_HEAD].decode("utf-8", "replace"))
    return found[1] if found and _OURS.fullmatch(found[1]) else pages.POLICY


class LocalServer(ThreadingHTTPServer):
    """Listens on a free port from the moment it is made; `serve_forever` answers."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, handler: type["LocalHandler"], command: str) -> None:
        """`command`: whose page it is, for the line on a fault."""
        self.command, self.token = command, secrets.token_urlsafe(32)
        self.free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((ADDRESS, 0), handler)

    @property
    def address(self) -> str:
        """What is opened in a browser."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """What it may be called in `Host`."""
        return f"{ADDRESS}:{self.server_port}", f"localhost:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, if there is one left."""
        if not self.free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except Exception:  # no thread has begun; one that has, when Ctrl-C comes, gives its place back itself
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
            print(one_line(f"{self.command}: {type(error).__name__}: {error}"), file=sys.stderr)


class LocalHandler(BaseHTTPRequestHandler, ABC):
    """A request. Which methods there are besides GET and HEAD, and what lies below the token, says who serves."""

    server: LocalServer
    server_version, sys_version = "compeffdist", ""
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = TEXT
    timeout = SECONDS

    def parse_request(self) -> bool:
        """Refuses, whatever the method, what has not the token or comes by another name."""
        if not super().parse_request():
            return False
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts or not self._has_token():
            self.send_error(HTTPStatus.FORBIDDEN)
        elif len(self.path) > LONGEST_PATH:
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        else:
            return True
        return False

    @property
    def below(self) -> str | None:
        """What is asked for below the token; None if there is no end to the token."""
        _, slash, name = urlsplit(self.path).path.lstrip("/").partition("/")
        return name if slash else None

    def do_GET(self) -> None:
        """Show what lies below the token."""
        if (name := self.below) is not None:
            self.show(name)
            return
        self.send_response(HTTPStatus.PERMANENT_REDIRECT)  # what the page asks for lies below
        self.send_header("Location", f"/{self.server.token}/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    @abstractmethod
    def show(self, name: str) -> None:
        """Reply with what has a name; the page's own is empty."""

    def reply(self, content: bytes, kind: str, policy: str = pages.POLICY, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send a reply under a policy of its own."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", f"{policy}; {FRAMED}")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

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


def _hang_up(connection: socket) -> None:
    with suppress(OSError):  # it is over
        connection.shutdown(SHUT_RDWR)
