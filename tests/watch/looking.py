"""A page that is watched: asked over HTTP, as a browser does; and a checkout that is not to change."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from compeffdist.watch.server import WatchServer
from compeffdist.watch.state import Watcher


class Page:
    """What a server answers."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address.strip())
        self.host, self.port, self.path = parts.hostname or "", parts.port or 0, parts.path

    def ask(
        self, name: str = "", method: str = "GET", path: str | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers; `path` in place of the token's."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path if path is not None else f"{self.path}{name}", headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.read(), dict(reply.getheaders())
        finally:
            connection.close()

    def state(self) -> dict[str, Any]:
        status, body, _ = self.ask("state")
        assert status == 200, body
        told: dict[str, Any] = json.loads(body, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
        return told

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first state that is as wanted, within a minute."""
        deadline = time.monotonic() + 60
        while not wanted(state := self.state()):
            assert time.monotonic() < deadline, state
            time.sleep(0.2)
        return state


@contextmanager
def served() -> Iterator[Page]:
    """The working folder, watched in this process."""
    with WatchServer(Watcher()) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Page(server.address)
        finally:
            server.shutdown()
            thread.join()


def states(state: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in state["stages"]}


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all that is in a checkout, folders included."""
    return {str(one): (one.lstat().st_size, one.lstat().st_mtime_ns) for one in [folder, *folder.rglob("*")]}
