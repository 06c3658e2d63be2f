"""Where a benchmark's rows come from, as data: `benchmarks/sources/NAME.yaml`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field as Setting
from pydantic import model_validator

from compeffdist.benchmark.tasks import benchmark_data
from compeffdist.errors import UserError
from compeffdist.params import Line, Name, Section, read_section

Sha256 = Annotated[str, Setting(pattern="^[0-9a-f]{64}$")]

Form = Literal["label", "aspect_terms", "aspect_categories", "quadruples", "opinions"]
"""Of a source file's rows; `converting.FORMS` reads each."""


class Repository(Section):
    """A git repository at one commit."""

    url: Line
    commit: Annotated[str, Setting(pattern="^[0-9a-f]{40}$")]


class RowList(Section):
    """A JSON file whose rows say by their `ID` which rows of another file are meant."""

    repository: Name
    path: Line
    sha256: Sha256


class SourceSplit(Section):
    """The file that a split's rows stand in."""

    path: Line
    """In the repository."""
    rows: Annotated[int, Setting(gt=0)]
    """How many the split has."""
    sha256: Sha256 | None = None
    """Of the file; none where it is not known: then the commit alone says what the file is."""
    only: Name | None = None
    """The row list whose rows the split has; none for all."""
    without: Name | None = None
    """The row list whose rows the split leaves out."""


class SourceTask(Section):
    """The splits of a task, and the form of its rows."""

    form: Form
    repository: Name
    splits: dict[Name, SourceSplit]


class Source(Section):
    """All files of a benchmark."""

    licence: Line
    repositories: dict[Name, Repository]
    row_lists: dict[Name, RowList] = Setting(default_factory=dict)
    tasks: dict[Name, SourceTask]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = {one.repository for one in self.row_lists.values()} | {one.repository for one in self.tasks.values()}
        if strange := sorted(named - set(self.repositories)):
            raise ValueError(f"no repository {strange[0]!r}")
        for name, task in self.tasks.items():
            for split in task.splits.values():
                for wanted in (split.only, split.without):
                    if wanted is not None and wanted not in self.row_lists:
                        raise ValueError(f"tasks.{name}: no row list {wanted!r}")
        return self

    def files(self) -> dict[tuple[str, str], str | None]:
        """(repository, path) of every file -> its SHA-256 if it is known."""
        files: dict[tuple[str, str], str | None] = {
            (one.repository, one.path): one.sha256 for one in self.row_lists.values()
        }
        for task in self.tasks.values():
            for split in task.splits.values():
                place = task.repository, split.path
                files[place] = split.sha256 or files.get(place)
        return files


def source_file(name: str) -> Path:
    """The file that says where a benchmark comes from. Raises UserError if there is none for the name."""
    folder = benchmark_data("sources")
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UserError(f"{name}: no such benchmark can be fetched; there are {', '.join(known) or 'none'}")
    return folder / f"{name}.yaml"


def load_source(path: Path) -> Source:
    """Raises UserError: one line naming file and key."""
    return read_section(Source, path)
