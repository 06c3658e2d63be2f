"""Serves what is watched: the page, the state, and pages of the report; GET and HEAD, nothing else."""

import json
from http import HTTPStatus
from pathlib import Path

from compeffdist import pages
from compeffdist.artefacts import DIFFICULTY_PAGE, REPORT
from compeffdist.declaration import read_pipeline
from compeffdist.errors import UserError
from compeffdist.gates.outcome import page_of
from compeffdist.local_server import HTML, JSON, TEXT, LocalHandler, LocalServer, policy_of
from compeffdist.watch.page import render
from compeffdist.watch.reading import clip
from compeffdist.watch.state import Watcher


class WatchServer(LocalServer):
    """The working folder, watched."""

    def __init__(self, watcher: Watcher) -> None:
        """Raises UserError if the working folder is no checkout."""
        read_pipeline()
        self.watcher = watcher
        self.page = render(clip(Path().absolute().name)).encode("utf-8", "replace")
        super().__init__(Handler, "watch")


class Handler(LocalHandler):
    """A request."""

    server: WatchServer

    def show(self, name: str) -> None:
        """The page, the state, or a page of the report."""
        if not name:
            self.reply(self.server.page, HTML, policy_of(self.server.page))
        elif name == "state":
            self._show_state()
        else:
            self._show_file(name)

    def _show_state(self) -> None:
        try:
            told, status = self.server.watcher.state(), HTTPStatus.OK
        except UserError as error:  # the checkout went
            told, status = {"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE
        self.reply(json.dumps(told, allow_nan=False).encode(), JSON, status=status)

    def _show_file(self, name: str) -> None:
        try:
            shown = name in shown_files()
        except UserError as error:  # dvc.yaml is broken, or is being written
            self.reply(f"{error}\n".encode("utf-8", "replace"), TEXT, pages.POLICY, HTTPStatus.SERVICE_UNAVAILABLE)
            return
        if shown and (content := _read(Path(name))) is not None:
            self.reply(content, HTML, policy_of(content))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)


def shown_files() -> set[str]:
    """What of the report is served."""
    gates = (stage.gate for stage in read_pipeline().values() if stage.gate)
    return {str(REPORT), str(DIFFICULTY_PAGE), *(str(page_of(gate)) for gate in gates)}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # it is not there, or is being written anew
        return None
