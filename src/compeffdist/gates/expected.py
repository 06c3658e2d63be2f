"""What must hold, as data: rules about rows by their name in Great Expectations, and aggregate figures with bounds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.gates.outcome import Number


@dataclass(frozen=True)
class Expected:
    """A rule about the columns or about every row of a table."""

    name: str
    """Of what breaks the rule, because that is what is counted."""
    type: str
    """Great Expectations' name of it, such as `expect_column_values_to_be_unique`."""
    arguments: Mapping[str, Any]
    """Its arguments, `column` among them for a rule about rows."""
    advice: str = ""


@dataclass(frozen=True)
class Figure:
    """An aggregate of one or more artefacts. Without bounds it is reported and judged by nobody."""

    name: str
    value: Number | None
    """None where it is undefined, which fails if there is a bound."""
    low: Number | None = None
    high: Number | None = None
    above: bool = False
    """Whether the value must be above `low` and not just at least that."""
    param: str = ""
    advice: str = ""
    offenders: Sequence[str] = ()
    """Ids of the records that make it what it is; reported if it fails."""


def one_of(table: str, column: str, values: Sequence[str]) -> Expected:
    """Every value of a column is one of a few."""
    arguments = {"column": column, "value_set": list(values)}
    return Expected(f"{table}.unknown_{column}", "expect_column_values_to_be_in_set", arguments)


def between(table: str, column: str, low: float, high: float | None) -> Expected:
    """Every value that there is in a column is a number within bounds, both inclusive; None: no bound above."""
    arguments = {"column": column, "min_value": low, "max_value": high}
    return Expected(f"{table}.{column}_out_of_range", "expect_column_values_to_be_between", arguments)


def accounted(noun: str, given: Iterable[str], found: Iterable[str], advice: str) -> list[Figure]:
    """Record by record, in = out + rejected: each id given is found exactly once, and no other is."""
    times, known = Counter(found), set(given)
    faults = {
        "dropped": sorted(known - times.keys()),
        "more_than_once": sorted(key for key, count in times.items() if count > 1),
        "unknown": sorted(times.keys() - known),
    }
    return [none_of(f"{noun}_{fault}", ids, advice) for fault, ids in faults.items()]


def none_of(name: str, offenders: Sequence[str], advice: str, param: str = "") -> Figure:
    """How many records have a fault that none may have."""
    return Figure(name, len(offenders), high=0, param=param, advice=advice, offenders=offenders)


def share(part: int, whole: int) -> float | None:
    """part / whole; None of nothing."""
    return part / whole if whole else None
