"""Hugging Face data sets: those of a hub, and folders laid out as one, which lie where DVC sees them change.

Only the columns that are wanted are looked into: sound and pictures beside a text are not decoded.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError, one_line
from compeffdist.files import refuse_linked_folder
from compeffdist.params import SOURCES, dataset_folder
from compeffdist.texts.tables import PARQUET_BATCH_ROWS, FileRow, arrow_rows, no_column

if TYPE_CHECKING:
    from datasets import Dataset

FORM = "repo@revision:split or repo@revision:config:split; a commit as revision fixes the rows"


@dataclass(frozen=True)
class DatasetLocation:
    """What `location` of a text source of kind huggingface says."""

    repo: str
    revision: str
    """Empty for a folder, which has none."""
    config: str
    """Empty: the one there is, or the data set's default."""
    split: str
    """May be a slice, such as `train[:20000]`."""


def parse_dataset(location: str) -> DatasetLocation:
    """Read `repo@revision:split`, `repo@revision:config:split`, `data/sources/FOLDER:split` or
    `data/sources/FOLDER:config:split`. Raises UserError if a part is missing."""
    repo, _, rest = location.partition("@")
    revision, _, rest = rest.partition(":")
    if folder := dataset_folder(location):
        repo, revision, rest = folder, "", location.removeprefix(folder).partition(":")[2]
    head, colon, tail = rest.partition(":")
    # the brackets of a slice hold a colon, too; the name of a config cannot hold either
    config, split = (head, tail) if colon and "[" not in head else ("", rest)
    if not (repo and split and (revision or folder)) or (colon and "[" not in head and not config):
        raise UserError(f"dataset {location!r}: expected {FORM}")
    return DatasetLocation(repo, revision, config, split)


def dataset_rows(location: str, columns: Mapping[str, str], cache: Path) -> Iterator[FileRow]:
    """The rows of a data set, in its order.

    One of a hub is downloaded once into the cache (not streamed), so that a later run needs no network and a split may
    be a slice. Dataset scripts are not run: the library refuses them. Of a folder nothing is kept, as the library would
    take what it kept for the files of another day.

    Args:
        columns: those wanted, each with what it is wanted as; no others are read.

    Raises:
        UserError: it cannot be found or loaded; a column is missing or comes twice; a folder elsewhere than in
            `data/sources/`, or that leads out of it.
    """
    asked = parse_dataset(location)
    if Path(asked.repo).is_dir():
        _refuse_unseen(asked.repo, location)
    elif not asked.revision:
        raise UserError(f"{asked.repo}: no such folder (dataset {location!r})")
    with _loaded(asked, location, cache) as rows:
        present = rows.column_names
        for column, wanted_as in columns.items():
            if column not in present:
                raise no_column(location, column, wanted_as, present)
            # how the library reads a CSV file with two columns of one name
            if f"{column}.1" in present and rows.info.builder_name == "csv":
                raise UserError(f"{location}: 2 columns are named {column!r} ({wanted_as}); rename one")
        tables = rows.select_columns(list(columns)).with_format("arrow").iter(PARQUET_BATCH_ROWS)
        yield from arrow_rows(location, tables)


@contextmanager
def _loaded(asked: DatasetLocation, location: str, cache: Path) -> "Iterator[Dataset]":
    import datasets

    kept = cache / "datasets"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept, prefix=".folder.") as temporary:
        given: dict[str, Any] = {"name": asked.config or None, "cache_dir": str(kept if asked.revision else temporary)}
        try:
            if asked.revision:
                given["revision"] = asked.revision
            else:
                _refuse_files_outside(asked.repo, datasets.load_dataset_builder(asked.repo, **given).config.data_files)
            rows = datasets.load_dataset(asked.repo, split=asked.split, **given)
        except UserError:
            raise
        except Exception as error:  # the library and the hub client raise dozens of unrelated types
            raise UserError(f"{location}: the dataset cannot be loaded: {_reason(error, asked)}") from None
        yield rows


def _reason(error: Exception, asked: DatasetLocation) -> str:
    # "An error occurred while generating the dataset" is all that some say; what occurred is their cause
    said = f"{error} {error.__cause__ or ''}"
    hint = ""
    if "config" in str(error).lower() and not asked.config:
        before = f"{asked.repo}@{asked.revision}" if asked.revision else asked.repo
        hint = f"; name one: {before}:CONFIG:{asked.split}"
    elif not asked.revision and error.__cause__:
        hint = "; kind jsonl, csv or parquet reads one of its files, and says where it is broken"
    return one_line(said, 300) + hint


def _refuse_unseen(repo: str, location: str) -> None:
    """The library takes a folder that lies here for a data set of the hub of the same name."""
    if not dataset_folder(location):
        raise UserError(
            f"{repo}: is a folder here, which DVC would not see change: copy it into {SOURCES}/ and name it "
            f"{SOURCES}/{Path(repo).name}:SPLIT (text source {location!r})"
        )
    for path in [Path(repo), *sorted(Path(repo).rglob("*"))]:
        refuse_linked_folder(path)


def _refuse_files_outside(folder: str, data_files: Mapping[str, Any] | None) -> None:
    """A folder may name files elsewhere, or addresses, as its own."""
    inside = Path(folder).absolute()
    for file in (str(file) for files in (data_files or {}).values() for file in files):
        path = Path(file)
        if "://" in file or ".." in path.parts or not path.absolute().is_relative_to(inside):
            raise UserError(f"{folder}: reads {one_line(file, 200)}, which DVC would not see change: copy it into it")
