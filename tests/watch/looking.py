"""A page that is watched: asked over HTTP, as a browser does; and a checkout that is not to change."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compeffdist.watch.server import WatchServer
from compeffdist.watch.state import Watcher
from tests.local_pages import LocalPage, serving


class Page(LocalPage):
    """What a watcher answers."""

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
    with serving(WatchServer(Watcher())) as address:
        yield Page(address)


def states(state: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in state["stages"]}


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all that is in a checkout, folders included."""
    return {str(one): (one.lstat().st_size, one.lstat().st_mtime_ns) for one in [folder, *folder.rglob("*")]}
