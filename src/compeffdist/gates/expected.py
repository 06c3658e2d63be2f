"""What must hold, as data: an expectation of Great Expectations over a table, its bound, and where to look.

Each function makes one kind of expectation, and a gate is a list of them. What a condition needs to know of another
artefact is brought along as a column of its own: Great Expectations counts, averages and judges over the rows.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any, TypeVar

from compeffdist.gates.outcome import Number

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Bound:
    """What a figure is held against; with neither end it is reported and judged by nobody."""

    low: Number | None = None
    high: Number | None = None
    above: bool = False
    """Whether the figure must be above `low` and not just at least that."""
    param: str = ""
    """The params that set it; empty where nothing but this may ever hold."""

    @property
    def is_open(self) -> bool:
        """Whether nothing is judged by it."""
        return self.low is None and self.high is None


REPORTED, NONE, SOME, HOLDS = Bound(), Bound(high=0), Bound(low=1), Bound(low=1, high=1)
NOUGHT = Bound(low=0, high=0)


@dataclass(frozen=True, eq=False)
class Columns:
    """A table. What is expected of the same one is validated together."""

    keys: Sequence[str]
    """What people know each row by."""
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    as_read: bool = False
    """Whether Great Expectations sees every column, with values as they are; otherwise those looked at, typed."""

    def frame(self, expectations: "Sequence[Expectation]") -> "pd.DataFrame":
        """The table as these expectations look at it."""
        import pandas as pd

        columns = dict(self.columns)
        for expectation in expectations:
            columns |= expectation.brings
        if not self.as_read:
            columns = {name: columns[name] for expectation in expectations for name in expectation.looked_at()}
        return pd.DataFrame(columns, index=range(len(self.keys)), dtype=object if self.as_read else None)


STATED = Columns([""])
"""One row of figures that an artefact states, such as the metrics of a stage."""


@dataclass(frozen=True)
class Expectation:
    """What must hold of a table: of each row, or of an aggregate over all of them."""

    name: str
    """Of a rule about rows, that of what breaks it, because that is what is counted."""
    table: Columns
    type: str
    """Great Expectations' name of it, such as `expect_column_values_to_be_unique`."""
    arguments: Mapping[str, Any]
    bound: Bound = NONE
    advice: str = ""
    """Where to look when it fails."""
    brings: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Columns beyond those of the table."""
    offenders: Callable[[], Iterable[str]] | None = None
    """Asked for when it fails; None: the rows that break it, as Great Expectations finds them."""

    @property
    def is_aggregate(self) -> bool:
        """Whether a figure is held against `bound`; otherwise it is counted what breaks a rule."""
        return self.type.endswith("_to_be_between") and not self.type.startswith("expect_column_values_")

    def looked_at(self) -> list[str]:
        """The columns it needs."""
        single: list[str] = [self.arguments[key] for key in ("column", "column_A", "column_B") if key in self.arguments]
        return [*single, *self.arguments.get("columns", ())]


# ---------------------------------------------------------------- rules about the rows of an artefact


@dataclass(frozen=True)
class Rule:
    """What must hold of every row of an artefact as it stands in its file, before any figure over all of them."""

    name: str
    """What breaks it; the name of the table goes before."""
    type: str
    arguments: Mapping[str, Any]
    advice: str = ""


def one_of(column: str, values: Sequence[str]) -> Rule:
    """Every value of a column is one of a few."""
    arguments = {"column": column, "value_set": list(values)}
    return Rule(f"unknown_{column}", "expect_column_values_to_be_in_set", arguments)


def between(column: str, low: float, high: float | None) -> Rule:
    """Every value that there is in a column is a number within bounds, both inclusive; None: any finite one above."""
    arguments = {"column": column, "min_value": low, "max_value": sys.float_info.max if high is None else high}
    return Rule(f"{column}_out_of_range", "expect_column_values_to_be_between", arguments)


# ---------------------------------------------------------------- expectations of a gate

Aggregate = Callable[..., Number | None]
F = TypeVar("F", bound=Aggregate)
AGGREGATES: dict[str, Aggregate] = {}
"""By module and name, functions of whole columns that Great Expectations has none for; None where undefined."""


def aggregate(function: F) -> F:
    """Makes a function of columns one that `figure` can hold against a bound."""
    AGGREGATES[_full_name(function)] = function
    return function


def _full_name(function: Aggregate) -> str:
    return f"{function.__module__}.{function.__name__}"


def figure(
    name: str,
    table: Columns,
    function: Aggregate,
    columns: Sequence[str] | Mapping[str, Sequence[Any]],
    bound: Bound = REPORTED,
    advice: str = "",
    offenders: Callable[[], Iterable[str]] = tuple,
    **options: Any,
) -> Expectation:
    """A function of columns, the table's or some that are brought along, and of options."""
    brings: Mapping[str, Sequence[Any]] = {}
    if isinstance(columns, Mapping):
        brings = {f"{name}: {column}": values for column, values in columns.items()}
    arguments = {"aggregate": _full_name(function), "columns": list(brings or columns), "options": options}
    return Expectation(name, table, "expect_aggregate_to_be_between", arguments, bound, advice, brings, offenders)


def row_count(name: str, table: Columns, bound: Bound = REPORTED, advice: str = "") -> Expectation:
    """How many rows there are."""
    kind = "expect_table_row_count_to_be_between"
    return Expectation(name, table, kind, {}, bound, advice, offenders=lambda: table.keys)


def average(name: str, table: Columns, column: str, bound: Bound = REPORTED, advice: str = "") -> Expectation:
    """The mean of a column."""
    kind = "expect_column_mean_to_be_between"
    return Expectation(name, table, kind, {"column": column}, bound, advice, offenders=tuple)


def distinct(name: str, table: Columns, column: str, bound: Bound, advice: str = "") -> Expectation:
    """How many distinct values a column has."""
    kind = "expect_column_unique_value_count_to_be_between"
    return Expectation(name, table, kind, {"column": column}, bound, advice, offenders=tuple)


def count(
    name: str,
    table: Columns,
    flags: Sequence[bool],
    bound: Bound = REPORTED,
    advice: str = "",
    offenders: Callable[[], Iterable[str]] | None = None,
) -> Expectation:
    """How many rows meet a condition; unless told otherwise these are the offenders."""
    return _of_values("sum", name, table, flags, bound, advice, offenders or (lambda: compress(table.keys, flags)))


def share(name: str, table: Columns, flags: Sequence[bool], bound: Bound = REPORTED, advice: str = "") -> Expectation:
    """Which share of the rows meets a condition, undefined of no rows; the offenders are those that do."""
    return _of_values("mean", name, table, flags, bound, advice, lambda: compress(table.keys, flags))


def largest(name: str, table: Columns, values: Sequence[float], bound: Bound, advice: str) -> Expectation:
    """The largest value of a row, undefined of no rows; the offender is the first that has it."""
    worst = [table.keys[values.index(max(values))]] if values else []
    return _of_values("max", name, table, values, bound, advice, lambda: worst)


def stated(name: str, value: Number | None, bound: Bound = REPORTED, advice: str = "") -> Expectation:
    """A figure that an artefact states; None if it does not."""
    return _of_values("max", name, STATED, [value], bound, advice, tuple)


def _of_values(
    figure: str,
    name: str,
    table: Columns,
    values: Sequence[Any],
    bound: Bound,
    advice: str,
    offenders: Callable[[], Iterable[str]],
) -> Expectation:
    """An aggregate of a column that is brought along."""
    column, kind = f"{name}: values", f"expect_column_{figure}_to_be_between"
    return Expectation(name, table, kind, {"column": column}, bound, advice, {column: values}, offenders)


def no_row(name: str, table: Columns, faulty: Sequence[bool], advice: str, param: str = "") -> Expectation:
    """No row has a fault."""
    column, bound = f"{name}: faulty", Bound(high=0, param=param)
    arguments = {"column": column, "value_set": [False]}
    return Expectation(name, table, "expect_column_values_to_be_in_set", arguments, bound, advice, {column: faulty})


def same(name: str, table: Columns, column: str, other: Sequence[Any], advice: str) -> Expectation:
    """A column has the values it must have, row by row."""
    brought = f"{name}: other"
    arguments = {"column_A": column, "column_B": brought, "ignore_row_if": "neither"}
    return Expectation(name, table, "expect_column_pair_values_to_be_equal", arguments, NONE, advice, {brought: other})


def among(keys: Iterable[str], some: Iterable[str]) -> list[bool]:
    """Whether each key is one of some."""
    found = set(some)
    return [key in found for key in keys]


def accounted(noun: str, given: Iterable[str], found: Iterable[str], advice: str) -> list[Expectation]:
    """Record by record, in = out + rejected: each id given is found exactly once, and no other is."""
    times, known = Counter(found), set(given)
    table = Columns(sorted(known | times.keys()))
    return [
        no_row(f"{noun}_dropped", table, [not times[key] for key in table.keys], advice),
        no_row(f"{noun}_more_than_once", table, [times[key] > 1 for key in table.keys], advice),
        no_row(f"{noun}_unknown", table, [key not in known for key in table.keys], advice),
    ]
