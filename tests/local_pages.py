"""A page that is served on this machine: asked over HTTP, as a browser does.

with serving(WatchServer(Watcher())) as address:
    assert LocalPage(address).ask("state")[0] == 200
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from compeffdist.local_server import LocalServer


class LocalPage:
    """What a server answers."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address.strip())
        self.host, self.port, self.path = parts.hostname or "", parts.port or 0, parts.path

    def ask(
        self, name: str = "", method: str = "GET", path: str | None = None, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers; `path` in place of the token's; `_` in the name of a header stands for `-`."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        try:
            connection.request(method, path if path is not None else f"{self.path}{name}", body, given)
            reply = connection.getresponse()
            return reply.status, reply.read(), dict(reply.getheaders())
        finally:
            connection.close()


@contextmanager
def serving(server: LocalServer) -> Iterator[str]:
    """A server that answers, in this process; its address."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.address
        finally:
            server.shutdown()
            thread.join()
