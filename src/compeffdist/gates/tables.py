"""Artefacts as tables: read raw, so that what is wrong with a row is a finding and not a crash."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic

from compeffdist.artefact_kinds import Records
from compeffdist.errors import UserError, one_line
from compeffdist.files import read_json, read_jsonl
from compeffdist.gates.expected import HOLDS, NONE, Columns, Expectation, Rule, same, stated
from compeffdist.given import Given
from compeffdist.record_files import column_types
from compeffdist.record_streams import BATCH_ROWS, shared_values
from compeffdist.records import R

WHOLE = ("misfit_columns", "rows_with_nulls", "mistyped_rows")
"""What must not be for a table to be whole, the name of the table before each."""
AGAIN = "run the stage that writes it again; figures over all rows were not computed"


@dataclass(frozen=True)
class Table(Generic[R]):
    """The rows of an artefact as they stand in the file, column by column, and what must hold of each."""

    name: str
    kind: type[R]
    columns: Mapping[str, Sequence[Any]]
    """The columns of the file, their values as they stand there; those of the record type for a JSON file without
    rows."""
    stamp: str
    """The record type and version the file is marked with; that of `kind` for JSON, which has no mark."""
    also: Sequence[Rule] = ()
    """Rules beyond those of every table."""
    open_columns: Mapping[str, Any] = field(default_factory=dict)
    """Name -> type of the items of the kind's open field."""

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Name -> type of the columns there must be."""
        return column_types(self.kind, self.open_columns)

    @cached_property
    def as_read(self) -> Columns:
        """Every column of the file, with its values as they are."""
        ids = self.columns.get("id", [None] * self.count)
        keys = [str(key or f"row {number}") for number, key in enumerate(ids, 1)]
        return Columns(keys, self.columns, as_read=True)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()), ()))

    def rules(self) -> list[Expectation]:
        """What must hold of columns, ids and values, whatever the table holds."""
        form = rf"^{self.kind.PREFIX}_[0-9a-f]{{24}}$"
        missing = [f"missing:{name}" for name in self.fields if name not in self.columns]
        unknown = [f"unknown:{one_line(name, 40)}" for name in self.columns if name not in self.fields]
        columns = Rule("misfit_columns", "expect_table_columns_to_match_set", {"column_set": list(self.fields)}, AGAIN)
        return [
            replace(self._expected(columns), offenders=lambda: [*missing, *unknown]),
            self._expected(Rule("repeated_ids", "expect_column_values_to_be_unique", {"column": "id"})),
            self._expected(
                Rule("malformed_ids", "expect_column_values_to_match_regex", {"column": "id", "regex": form})
            ),
            *map(self._expected, self.also),
        ]

    def types(self) -> list[Expectation]:
        """That the file holds the records it should, with a value in every field, of its type."""
        expected = f"{self.kind.PREFIX}@{self.kind.VERSION}"
        marked = f"the file is marked {self.stamp or 'with nothing'}, not {expected}: run the stage that writes it"
        types = {name: annotation(hint) for name, hint in self.fields.items() if name in self.columns}
        arguments = {"column_list": list(types), "types": types, "ignore_row_if": "never"}
        record_type = stated(f"{self.name}.record_type", int(self.stamp == expected), HOLDS, marked)
        if len(types) < 2:  # not a table of such records at all, as its columns say
            return [record_type]
        return [
            record_type,
            self._expected(Rule("rows_with_nulls", "expect_multicolumn_values_to_be_complete", arguments)),
            self._expected(Rule("mistyped_rows", "expect_multicolumn_values_to_be_typed", arguments)),
        ]

    def _expected(self, rule: Rule) -> Expectation:
        return Expectation(f"{self.name}.{rule.name}", self.as_read, rule.type, rule.arguments, NONE, rule.advice)

    # ------------------------------------------------------------ of tables in which the above holds (WHOLE)

    @cached_property
    def records(self) -> list[R]:
        """The rows as records; ids are those of the contents."""
        names = [name for name in self.fields if name != "id"]
        rows = zip(*(self.columns[name] for name in names), strict=True)
        return [self.kind.from_row(dict(zip(names, row, strict=True))) for row in rows]

    def by(self, key: str) -> Columns:
        """The table with its rows known by a field: "id", or that of a record they were made from."""
        return self._keyed.setdefault(key, Columns(self.as_read.columns[key], self.as_read.columns))

    @cached_property
    def _keyed(self) -> dict[str, Columns]:
        return {}

    def contents(self) -> Expectation:
        """Every id is the hash of its row's contents."""
        advice = "a row was altered after it was written: run the stage that writes it again"
        return same(f"{self.name}.ids_off_contents", self.by("id"), "id", [row.id for row in self.records], advice)


def read_table(given: Given, artefact: Records[R], also: Sequence[Rule] = ()) -> Table[R]:
    """Read an input of a gate without judging it.

    Raises:
        UserError: if the file is missing, or not Parquet, JSON Lines or a JSON file of perspectives at all, or holds a
            column more than once, of which a row as an object would show one.
    """
    source, kind = given.path(artefact), artefact.kind
    if source.suffix == ".json":
        return json_table(source, _perspectives(source), kind, also)
    if source.suffix == ".jsonl":
        return json_table(source, list(read_jsonl(source)), kind, also)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            names = file.schema_arrow.names
            repeated = next((name for name in names if names.count(name) > 1), None)
            if repeated is not None:
                told = f"holds the column {one_line(repeated, 40)!r} more than once; run the stage that writes it again"
                raise UserError(f"{source}: {told}")
            columns: dict[str, list[Any]] = {name: [] for name in names}
            for batch in file.iter_batches(BATCH_ROWS):
                for name, column in zip(names, batch.columns, strict=True):
                    columns[name] += shared_values(column)
            pa.default_memory_pool().release_unused()
            stamp = (file.schema_arrow.metadata or {}).get(b"compeffdist.record", b"").decode(errors="replace")
    except FileNotFoundError:
        raise UserError(f"{source}: no such file; run the stage that writes it (dvc repro)") from None
    # ValueError: text that is not UTF-8, or a time that Python has no number for
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{source}: not a readable Parquet file: {error}") from None
    return Table(_name(source), kind, columns, stamp, also, artefact.columns)


def json_table(source: Path, rows: Sequence[Any], kind: type[R], also: Sequence[Rule] = ()) -> Table[R]:
    """A table of rows from a JSON file. Raises UserError if one of them is no object, or holds half a character."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"{source}: record {number} is not a JSON object; run the stage that writes it again")
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            advice = "which no file can hold as text; run the stage that writes it again"
            raise UserError(f"{source}: record {number} holds half a character, {advice}") from None
    names = list(dict.fromkeys(str(name) for row in rows for name in row)) or list(column_types(kind))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Table(_name(source), kind, columns, f"{kind.PREFIX}@{kind.VERSION}", also)


def _perspectives(source: Path) -> list[Any]:
    value = read_json(source)
    if not isinstance(value, dict) or not isinstance(value.get("perspectives"), list):
        raise UserError(f"{source}: holds no list of perspectives; run: dvc repro cluster_attributes")
    return list(value["perspectives"])


def _name(source: Path) -> str:
    return f"rejects.{source.stem}" if source.parent.name == "rejects" else source.stem


def annotation(hint: Any) -> str:
    """A type as code writes it."""
    return hint.__name__ if isinstance(hint, type) else str(hint)
