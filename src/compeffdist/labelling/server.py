"""Serves the page on which a sheet is labelled: the page, the state, a row; and takes labels.

What changes the sheet is a POST of a few bytes of JSON that a page of this very address sent: JSON is no form that
another site's page may send without being asked first, and what a browser says of its origin is held against `Host`.
"""

import json
import re
from http import HTTPStatus
from typing import Any

from compeffdist.errors import UserError, one_line, told_by_the_machine
from compeffdist.labelling.page import render
from compeffdist.labelling.sheet import Sheet
from compeffdist.local_server import HTML, JSON, LocalHandler, LocalServer, policy_of

MOST_BODY = 1000
"""Bytes of a request's body."""
DISCARDED = 1 << 16
"""Bytes of a body that is refused, which are read so that whoever sends them takes the reply."""
_ROW = re.compile(r"row/([0-9]{1,9})")


class LabelServer(LocalServer):
    """A sheet that is labelled."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.page = render(one_line(sheet.path.name, 100)).encode("utf-8", "replace")
        super().__init__(Handler, "study label")


class Handler(LocalHandler):
    """A request."""

    server: LabelServer

    def show(self, name: str) -> None:
        """The page, the state, or a row."""
        found = _ROW.fullmatch(name)
        if not name:
            self.reply(self.server.page, HTML, policy_of(self.server.page))
        elif name == "state":
            self._tell(self.server.sheet.state())
        elif found and (row := self.server.sheet.row(int(found[1]))):
            self._tell(row)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Take a label, or read the sheet anew; the state then."""
        name, body = self.below, self._body()
        if body is None:
            return
        try:
            if name == "label":
                self._tell(self.server.sheet.label(*_label(body)))
            elif name == "anew":
                self._tell(self.server.sheet.read_anew())
            else:
                self.send_error(HTTPStatus.NOT_FOUND)
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
        except UserError as error:
            self._tell({"error": str(error)}, HTTPStatus.CONFLICT)
        except OSError as error:
            why = told_by_the_machine(error) or error
            self._tell({"error": one_line(f"The file cannot be written: {why}")}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _body(self) -> Any:
        """What was sent by a page of this address; None after it was refused."""
        length = self.headers.get("Content-Length", "")
        size = int(length) if re.fullmatch("[0-9]{1,9}", length) else None
        refusal = self._refusal(size)
        if refusal is None:
            content = self.rfile.read(size)
            try:
                if (value := json.loads(content)) is not None:
                    return value
            except (ValueError, RecursionError):
                pass
            refusal = HTTPStatus.BAD_REQUEST
        elif size:
            self.rfile.read(min(size, DISCARDED))
        self.send_error(refusal)
        return None

    def _refusal(self, size: int | None) -> HTTPStatus | None:
        origins, site = self.headers.get_all("Origin") or [], self.headers.get("Sec-Fetch-Site", "same-origin")
        if [one.lower() for one in origins] != [f"http://{self.headers['Host'].lower()}"] or site != "same-origin":
            return HTTPStatus.FORBIDDEN
        if self.headers.get("Content-Type") != JSON:
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        if size is None:
            return HTTPStatus.LENGTH_REQUIRED
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if size > MOST_BODY else None

    def _tell(self, told: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self.reply(json.dumps(told, allow_nan=False).encode(), JSON, status=status)


def _label(body: Any) -> tuple[int, int, str]:
    """Row, generation and label. Raises ValueError if a body is of another form."""
    match body:
        case {"row": int(row), "generation": int(generation), "label": str(label)} if min(row, generation) >= 0:
            return row, generation, label
    raise ValueError("no label")
