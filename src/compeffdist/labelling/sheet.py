"""A sheet while it is labelled: its rows, and each label in its file at once, or refused in words.

The file may be open in another program as well. It is written to only while it is, byte for byte, as it was read or
last written here; else the label is refused until the file is read anew. Labels that were given here and are not in it
then, because the other program saved over them, are told, so that they can be given again.
"""

import io
import os
import shlex
import stat
import threading
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.labelling.cells import ColumnCells, find_cells
from compeffdist.labelling.kinds import MOST_SHOWN, Kind, kind_of
from compeffdist.texts.lines import open_file
from compeffdist.texts.tables import read_rows

MOST_BYTES = 64 << 20
"""Of a sheet: it is held in memory, and written for each label."""


class Refused(UserError):
    """A label that was not written, and why."""


@dataclass(frozen=True)
class Read:
    """A file as it was read."""

    kind: Kind
    content: bytes
    rows: list[dict[str, str]]
    """Fields by column."""
    ids: list[str]
    labels: list[str]
    """As a label is written, empty where there is none."""
    cells: ColumnCells
    notes: list[str]
    """What the readers say of its encoding."""


def read_sheet(path: Path) -> Read:
    """Read a sheet. Raises UserError if it is none, cannot be read, has no rows, or a label that is none."""
    content, said = content_of(path), io.StringIO()
    with redirect_stderr(said):  # each reader tells of the encoding, and so each time
        kind = kind_of(path)
        labels = kind.read(path)
        wanted = dict.fromkeys((kind.id_column, kind.label_column), "of a sheet to label")
        also = dict.fromkeys(kind.shown, "shown beside the label")
        rows = [dict(row.fields) for row in read_rows(path, "csv", wanted, also, ragged=True)]
    if not rows:
        raise UserError(f"{path}: has no rows to label")
    cells = find_cells(content, rows, list(wanted), kind.label_column)
    if cells is None:
        raise UserError(
            f"{path}: it changed while it was read, or its cells cannot be told apart: save it as CSV (UTF-8)"
        )
    ids = [row[kind.id_column].strip() for row in rows]
    given = [str(labels.get(one, "")) for one in ids]
    return Read(kind, content, rows, ids, given, cells, list(dict.fromkeys(said.getvalue().splitlines())))


def content_of(path: Path) -> bytes:
    """The bytes of a sheet. Raises UserError if it is not there, cannot be read, or is too large."""
    with open_file(path) as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: more than {MOST_BYTES >> 20} MiB, which is no sheet to label")
    return content


class Sheet:
    """A sheet for those who label it, a thread each."""

    def __init__(self, path: Path) -> None:
        """Raises UserError as `read_sheet`, and if the file may not be replaced."""
        self.path, self.lock = path, threading.Lock()
        self.read = read_sheet(path)
        self.content, self.generation, self.is_over = self.read.content, 0, False
        self.given: dict[str, str] = {}
        """What was given here, by id."""
        for place in (path, path.resolve().parent):
            if not os.access(place, os.W_OK):
                raise UserError(f"{place}: may not be written to; labels go into the file at once")

    def state(self) -> dict[str, Any]:
        """What the page needs but the texts of rows."""
        with self.lock:
            try:
                changed = content_of(self.path) != self.content
            except UserError:
                changed = True
            return self._state() | {"changed": changed}

    def row(self, place: int) -> dict[str, Any] | None:
        """The texts of a row, bounded, of the file as it was read; None if there is no such row."""
        with self.lock:
            read, generation = self.read, self.generation
        if place >= len(read.rows):
            return None
        parts = [
            {**vars(part), "text": part.text[:MOST_SHOWN], "left": max(0, len(part.text) - MOST_SHOWN)}
            for part in read.kind.parts(read.rows[place])
        ]
        return {"generation": generation, "parts": parts}

    def label(self, place: int, generation: int, value: str) -> dict[str, Any]:
        """Write a label into the file, or none where `value` is empty; the state then.

        Args:
            place: of the row, from 0.
            generation: of the rows, as the page knows them.

        Raises:
            Refused: there is no such label; the rows were read anew since; the file changed. It is as it was.
            UserError: the file cannot be read any more.
            OSError: it cannot be written; it is as it was.
        """
        with self.lock:
            read = self.read
            if self.is_over:
                raise Refused("Labelling has ended: start it again.")
            if generation != self.generation:
                raise Refused("The sheet was read anew in another window: load this page again.")
            if place >= len(read.rows) or value not in {"", *(one.value for one in read.kind.labels)}:
                raise Refused("There is no such row or label.")
            before = read.cells.cells[place]
            read.cells.put(place, value)
            try:
                self._replace(read.cells.content())
            except BaseException:
                read.cells.cells[place] = before
                raise
            read.labels[place] = self.given[read.ids[place]] = value
            return self._state()

    def read_anew(self) -> dict[str, Any]:
        """Read the file as it is now; the state then. Raises UserError as `read_sheet`; nothing is changed by that."""
        with self.lock:
            self.read = read_sheet(self.path)
            self.content, self.generation = self.read.content, self.generation + 1
            return self._state()

    def end(self) -> str:
        """Let the label that is being written be the last; one line: how many there are, and what for."""
        with self.lock:
            self.is_over = True
        return f"{self.told()}; read them with: {self.read.kind.command} {shlex.quote(str(self.path))}"

    def told(self) -> str:
        """How many rows are labelled."""
        labels = self.read.labels
        return f"{sum(map(bool, labels))} of {len(labels)} rows of {self.path} are labelled"

    def _state(self) -> dict[str, Any]:
        read = self.read
        lost = [
            {"place": place, "label": self.given[one]}
            for place, (one, label) in enumerate(zip(read.ids, read.labels, strict=True))
            if not label and self.given.get(one)
        ]
        return {
            "question": read.kind.question,
            "choices": [vars(one) for one in read.kind.labels],
            "generation": self.generation,
            "labels": [*read.labels],
            "lost": lost,
        }

    def _replace(self, content: bytes) -> None:
        self._expect_unchanged()
        target = self.path.resolve()  # a link stays one
        with atomic_file(target, stat.S_IMODE(target.stat().st_mode)) as temporary:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())  # so that little time passes between the next line and the file's replacement
            self._expect_unchanged()
        self.content = content

    def _expect_unchanged(self) -> None:
        if content_of(self.path) != self.content:
            raise Refused(f"{self.path.name} was changed by another program since it was read here.")
