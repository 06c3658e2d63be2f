"""Artefacts as tables: read raw, so that what is wrong with a row is a finding and not a crash."""

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from compeffdist.artefacts import Records
from compeffdist.errors import UserError
from compeffdist.files import read_jsonl
from compeffdist.gates.expected import Expected, Figure
from compeffdist.given import Given
from compeffdist.record_files import column_types, is_nullable
from compeffdist.records import R

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table(Generic[R]):
    """The rows of an artefact as they stand in the file, and what must hold of each."""

    name: str
    kind: type[R]
    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[str]
    """Of the file; of the record type for a JSON file without rows."""
    stamp: str
    """The record type and version the file is marked with; that of `kind` for JSON, which has no mark."""
    also: Sequence[Expected] = ()
    """Expectations beyond those of every table."""
    open_columns: Mapping[str, Any] = field(default_factory=dict)
    """Name -> type of the items of the kind's open field."""

    @cached_property
    def fields(self) -> dict[str, Any]:
        """Name -> type of the columns there must be."""
        return column_types(self.kind, self.open_columns)

    def expected(self) -> list[Expected]:
        """What Great Expectations checks row by row."""
        columns = {"column_set": list(self.fields)}
        form = rf"^{self.kind.PREFIX}_[0-9a-f]{{24}}$"
        return [
            Expected(f"{self.name}.misfit_columns", "expect_table_columns_to_match_set", columns),
            Expected(f"{self.name}.repeated_ids", "expect_column_values_to_be_unique", {"column": "id"}),
            Expected(
                f"{self.name}.malformed_ids", "expect_column_values_to_match_regex", {"column": "id", "regex": form}
            ),
            *self.also,
        ]

    def whole(self) -> bool:
        """Whether every row has every field, of its type: only then do the figures below mean anything."""
        return set(self.columns) == self.fields.keys() and not self.with_nulls and not self.mistyped

    def type_figures(self) -> list[Figure]:
        """The record type of the file, rows without some value, and rows with one of another type.

        Counted here, in one pass: Great Expectations takes 5 ms a column, and skips nulls in all its other rules.
        """
        expected = f"{self.kind.PREFIX}@{self.kind.VERSION}"
        marked = f"the file is marked {self.stamp or 'with nothing'}, not {expected}: run the stage that writes it"
        return [
            Figure(f"{self.name}.record_type", int(self.stamp == expected), low=1, high=1, advice=marked),
            Figure(f"{self.name}.rows_with_nulls", len(self.with_nulls), high=0, offenders=self.with_nulls),
            Figure(f"{self.name}.mistyped_rows", len(self.mistyped), high=0, offenders=self.mistyped),
        ]

    def id_figures(self) -> list[Figure]:
        """Rows whose id is not the hash of their contents."""
        foreign = [
            str(row["id"]) for row, record in zip(self.rows, self.records, strict=True) if row["id"] != record.id
        ]
        advice = "a row was altered after it was written: run the stage that writes it again"
        return [Figure(f"{self.name}.ids_off_contents", len(foreign), high=0, advice=advice, offenders=foreign)]

    @cached_property
    def with_nulls(self) -> list[str]:
        """Ids of rows in which a field that the file has is missing, null (unless it may be) or NaN."""
        present = [(name, is_nullable(hint)) for name, hint in self.fields.items() if name in self.columns]
        return self._where(
            lambda row: any(
                _is_null(row.get(name)) and not (optional and row.get(name) is None) for name, optional in present
            )
        )

    @cached_property
    def mistyped(self) -> list[str]:
        """Ids of rows with a value of another type than the field's."""
        expected = self.fields.items()
        return self._where(
            lambda row: not all(_is_null(row.get(name)) or _fits(row[name], hint) for name, hint in expected)
        )

    def _where(self, fault: Callable[[Mapping[str, Any]], bool]) -> list[str]:
        return [str(row.get("id") or f"row {number}") for number, row in enumerate(self.rows, 1) if fault(row)]

    @cached_property
    def records(self) -> list[R]:
        """The rows as records; ids are those of the contents. For whole tables only."""
        return [self.kind.from_row({name: row[name] for name in self.fields if name != "id"}) for row in self.rows]

    @property
    def frame(self) -> "pd.DataFrame":
        """The rows with their values as they are, for Great Expectations."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(self.columns), dtype=object)


def read_table(given: Given, artefact: Records[R], also: Sequence[Expected] = ()) -> Table[R]:
    """Read an input of a gate without judging it.

    Raises:
        UserError: if the file is missing, or not Parquet or JSON Lines at all.
    """
    source, kind = given.path(artefact), artefact.kind
    if source.suffix == ".jsonl":
        return json_table(source, list(read_jsonl(source)), kind, also)
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowInvalid

    try:
        table = pq.read_table(source)
    except FileNotFoundError:
        raise UserError(f"{source}: no such file; run the stage that writes it (dvc repro)") from None
    except (ArrowInvalid, OSError) as error:
        raise UserError(f"{source}: not a readable Parquet file: {error}") from None
    stamp = (table.schema.metadata or {}).get(b"compeffdist.record", b"").decode(errors="replace")
    return Table(_name(source), kind, table.to_pylist(), table.column_names, stamp, also, artefact.columns)


def json_table(source: Path, rows: Sequence[Any], kind: type[R], also: Sequence[Expected] = ()) -> Table[R]:
    """A table of rows from a JSON file. Raises UserError if one of them is no object."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"{source}: record {number} is not a JSON object; run the stage that writes it again")
    columns = list(dict.fromkeys(str(name) for row in rows for name in row))
    return Table(_name(source), kind, rows, columns or list(column_types(kind)), f"{kind.PREFIX}@{kind.VERSION}", also)


def _name(source: Path) -> str:
    return f"rejects.{source.stem}" if source.parent.name == "rejects" else source.stem


def _is_null(value: Any) -> bool:
    return value is None or value != value


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.GenericAlias):
        (item,) = typing.get_args(hint)
        return isinstance(value, list) and all(_fits(part, item) for part in value)
    if is_nullable(hint):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    if hint is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
