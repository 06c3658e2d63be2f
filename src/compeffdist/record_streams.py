"""Records of a Parquet artefact as they come, for what has millions of them: read one after another, written as they
are made, with the checks and the bytes of `record_files.py`. No more than BATCH_ROWS exist here as Python objects at a
time; a writer holds one row group, compact, until it is whole.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.record_files import AGAIN, NONE, arrow_schema, parquet_file, table_of
from compeffdist.records import ID_HEX_DIGITS, R

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS = 1 << 16
BLOCK_ROWS = 1 << 16
"""Rows that a stage works on at a time, with what belongs to them."""
GROUP_ROWS = 1 << 20
"""Rows of a group in the file: PyArrow's own, by which `write_records` writes."""


def stream_records(source: Path, kind: type[R]) -> Iterator[R]:
    """The records of a Parquet artefact in order, each checked against its id; a string that many of a batch share is
    one object. Raises UserError as `read_records`, but that no id is looked for twice."""
    done = 0
    with parquet_file(source, kind) as file:
        expected = {column.name: column.type for column in arrow_schema(kind)}
        for column in file.schema_arrow:
            if column.type != expected.get(column.name, column.type):
                raise UserError(f"{source}: column {column.name!r} is of type {column.type}; {AGAIN}")
        for batch in file.iter_batches(BATCH_ROWS):
            columns = {
                name: shared_values(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
            for values in zip(*columns.values(), strict=True):
                done += 1
                row = dict(zip(columns, values, strict=True))
                try:
                    if not row.get("id"):
                        raise ValueError("it has no id")
                    yield kind.from_row(row)
                except ValueError as error:
                    raise UserError(f"{source}: record {done}: {error}; {AGAIN}") from None


def shared_values(column: "pa.Array") -> list[Any]:
    """A column as Python values: where strings come again often, also in lists, each is there once."""
    import pyarrow as pa

    if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
        items, counts = iter(shared_values(column.flatten())), column.value_lengths().to_pylist()
        return [None if count is None else list(islice(items, count)) for count in counts]
    if pa.types.is_string(column.type):
        encoded = column.dictionary_encode()
        if 2 * len(encoded.dictionary) < len(column):
            strings = [*encoded.dictionary.to_pylist(), None]
            return [strings[place] for place in encoded.indices.fill_null(len(strings) - 1).to_pylist()]
    found: list[Any] = column.to_pylist()
    return found


def whole_groups(groups: Sequence[str], least: int = BLOCK_ROWS) -> Iterator[range]:
    """Stretches of rows, given the group of each, that have all rows of every group in them: at least `least` rows, and
    none is small, where the order of rows allows it; together all rows. One, if there are no rows."""
    last = {group: place for place, group in enumerate(groups)}
    start = whole_at = 0
    for place, group in enumerate(groups):
        whole_at = max(whole_at, last[group])
        if place == whole_at and place + 1 - start >= least and len(groups) - place - 1 >= least // 4:
            yield range(start, place + 1)
            start = place + 1
    if start < len(groups) or not groups:
        yield range(start, len(groups))


@contextmanager
def written_records(target: Path, kind: type[R], columns: Mapping[str, Any] = NONE) -> "Iterator[RecordWriter[R]]":
    """Write a Parquet artefact record by record, atomically: it is there once the block has come to its end.

    with written_records(Path(TRIPLETS), Triplet) as writer:
        writer.add(some)
        writer.add(more)
    """
    with ExitStack() as opened:
        writer = RecordWriter(target, kind, columns, opened)
        yield writer
        writer.finish()


class RecordWriter(Generic[R]):
    """What `written_records` gives."""

    def __init__(self, target: Path, kind: type[R], columns: Mapping[str, Any], opened: ExitStack) -> None:
        self.target, self.kind, self.columns, self.opened = target, kind, columns, opened
        self.file: pq.ParquetWriter | None = None
        """Opened for the first row group: what ends before has not begun a file."""
        self.count = 0
        """Records added."""
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []
        self._ids: set[int] = set()

    def add(self, records: Iterable[R]) -> None:
        """Add records in their order. Raises ValueError if one has the id of an earlier one."""
        for record in records:
            number = int(record.id[-ID_HEX_DIGITS:], 16)
            if number in self._ids:
                raise ValueError(f"{self.target}: two {self.kind.PREFIX} records share the id {record.id}")
            self._ids.add(number)
            self._rows.append(record.to_row())
            self.count += 1
            if len(self._rows) == BATCH_ROWS:
                self._put_away()

    def finish(self) -> None:
        """Write what is left."""
        if self._rows or not self.count:
            self._put_away()
        if self._tables:
            self._write()

    def _put_away(self) -> None:
        """Rows become a table; tables that are a row group are written."""
        self._tables.append(table_of(self.kind, self._rows, self.columns))
        self._rows = []
        if sum(map(len, self._tables)) == GROUP_ROWS:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.file is None:
            path = self.opened.enter_context(atomic_file(self.target))
            schema = arrow_schema(self.kind, self.columns)
            self.file = self.opened.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
        self.file.write_table(pa.concat_tables(self._tables), GROUP_ROWS)
        self._tables = []
