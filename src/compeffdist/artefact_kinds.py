"""The kinds of artefact: how each is read and written. `artefacts` lists which there are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from compeffdist.files import read_json, write_json
from compeffdist.pages import write_page
from compeffdist.record_files import NONE, read_perspectives, read_records, write_records
from compeffdist.records import Perspective, R

T_co = TypeVar("T_co", covariant=True)


class Artefact(str, Generic[T_co]):
    """A file or folder that a stage writes: its path in a checkout, which is a string, and what it is read as.

    TEXTS.read() are the records of `data/texts.parquet`. Each kind below says how it is read and written; a page is
    never read, and what a library writes is not written here.
    """

    def read(self) -> T_co:
        """What it holds. Raises UserError if it is missing or broken, TypeError if it is of a kind that is not read."""
        raise TypeError(f"{self}: a {type(self).__name__} is not read")

    def write(self, value: Any) -> None:
        """Write it, atomically. Raises TypeError if it is of a kind that a library writes."""
        raise TypeError(f"{self}: a {type(self).__name__} is written by a library, where Given.out says")


@dataclass(frozen=True)
class Edge:
    """A field that says which records of the artefact `path` a record was made from."""

    field: str
    path: str
    key: str = "id"
    """The field of those records that it equals, or that holds it."""


class Records(Artefact[list[R]]):
    """Records of one kind."""

    kind: type[R]
    edges: tuple[Edge, ...]
    """None: they come from a source."""
    columns: Mapping[str, Any]
    """Name -> type of the columns beyond the fields of an open record type."""

    def __new__(cls, path: str, kind: type[R], *edges: Edge, columns: Mapping[str, Any] = NONE) -> Self:
        made = super().__new__(cls, path)
        made.kind, made.edges, made.columns = kind, edges, columns
        return made

    def read(self) -> list[R]:
        return self.read_file(Path(self))

    def read_file(self, file: Path) -> list[R]:
        """The records in `file`, which holds the artefact's bytes under any name, as an object of DVC's cache does."""
        return read_records(file, self.kind, format=Path(self).suffix)

    def write(self, value: Any) -> None:
        write_records(Path(self), self.kind, value, self.columns)


class Perspectives(Records[Perspective]):
    """Written with the diagnostics of the clustering, as JSON."""

    def read_file(self, file: Path) -> list[Perspective]:
        return read_perspectives(file)


class Json(Artefact[Any]):
    """A JSON file."""

    def read(self) -> Any:
        return read_json(Path(self))

    def write(self, value: Any) -> None:
        write_json(Path(self), value)


class Page(Artefact[str]):
    """A page for people, written and never read."""

    def write(self, value: Any) -> None:
        write_page(Path(self), value)


class Located(Artefact[Path]):
    """A model folder, or a file behind a plot: a library writes and reads it."""

    def read(self) -> Path:
        return Path(self)
