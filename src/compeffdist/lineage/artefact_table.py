"""The rows of an artefact by column: whole records are read only where somebody looks at them.

Of 100,000 triplets the ids and the parents' ids are 6 MB, the prompts 100 MB and more. Following a row through the
data takes the former alone, some milliseconds an artefact.
"""

from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from compeffdist.artefacts import records_at
from compeffdist.errors import UserError
from compeffdist.record_files import parquet_file, table_of
from compeffdist.record_streams import BATCH_ROWS

WHOLE_ROWS = 1 << 17
"""Rows of a file that is kept whole once a record of it was looked at; a larger one is gone through each time."""


class ArtefactTable:
    """The records in `file`, which holds the bytes of the artefact `path`. Every method raises UserError if it does
    not."""

    def __init__(self, file: Path, path: str) -> None:
        self.file, self.path, self.kind = file, path, records_at(path).kind
        self._columns: dict[str, Any] = {}

    @cached_property
    def whole(self) -> Any:
        """All columns, as an Arrow table."""
        # an object of the cache has no suffix to tell its format by
        if self.path.endswith(".parquet"):
            with parquet_file(self.file, self.kind) as file:
                return file.read()
        return table_of(self.kind, (record.to_row() for record in records_at(self.path).read_file(self.file)))

    def column(self, name: str) -> Any:
        """A column as an Arrow array."""
        if name not in self._columns:
            if "whole" in self.__dict__ or not self.path.endswith(".parquet"):
                found = self.whole[name]
            else:
                with parquet_file(self.file, self.kind) as file:
                    found = file.read(columns=[name])[name]
            self._columns[name] = found.combine_chunks()
        return self._columns[name]

    @property
    def ids(self) -> list[str]:
        """The id of every record, in order."""
        return self.values("id")

    def where(self, name: str, values: Collection[str]) -> Any:
        """The rows, as an Arrow array of their places, whose column `name` is one of `values`, or holds one."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column, wanted = self.column(name), pa.array(list(values), pa.string())
        if not pa.types.is_list(column.type):
            return pc.indices_nonzero(pc.is_in(column, value_set=wanted))
        hits = pc.is_in(pc.list_flatten(column), value_set=wanted)
        return pc.unique(pc.list_parent_indices(column).filter(hits))

    def values(self, name: str, rows: Any = None) -> list[Any]:
        """What `rows`, or all, have in a column, in order; of a column of lists, what stands in the lists."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.column(name)
        chosen = column if rows is None else column.take(rows)
        found: list[Any] = (pc.list_flatten(chosen) if pa.types.is_list(chosen.type) else chosen).to_pylist()
        return found

    def holds(self, key: str) -> bool:
        """Whether one of the records has this id."""
        import pyarrow.compute as pc

        return int(pc.index(self.column("id"), key).as_py()) >= 0

    def beginning(self, reference: str, name: str = "id") -> list[str]:
        """Distinct values of a column that begin so."""
        import pyarrow.compute as pc

        column = self.column(name)
        found: list[str] = pc.unique(column.filter(pc.starts_with(column, reference))).to_pylist()
        return found

    def records(self, rows: Any) -> list[Any]:
        """The records of these rows; each id is checked against its contents."""
        try:
            return [self.kind.from_row(row) for row in self._taken(rows)]
        except ValueError as error:
            raise UserError(f"{self.file}: {self.path}: {error}; run the stage that writes it again") from None

    def _taken(self, rows: Any) -> list[dict[str, Any]]:
        """Rows with all their columns, in the order given; of a large file no more than some thousands at a time."""
        if "whole" in self.__dict__ or not self.path.endswith(".parquet") or len(self.column("id")) <= WHOLE_ROWS:
            whole: list[dict[str, Any]] = self.whole.take(rows).to_pylist()
            return whole
        places, found, done = rows.to_numpy(), dict[int, dict[str, Any]](), 0
        with parquet_file(self.file, self.kind) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                inside = places[(places >= done) & (places < done + len(batch))]
                found |= zip(inside.tolist(), batch.take(inside - done).to_pylist(), strict=True)
                done += len(batch)
        return [found[place] for place in places.tolist()]


def distinct(values: Iterable[str]) -> list[str]:
    """Non-empty values, each once, in order."""
    return [value for value in dict.fromkeys(values) if value]
