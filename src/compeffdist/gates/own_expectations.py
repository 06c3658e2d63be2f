"""Expectations of ours, which Great Expectations finds by their names once this module is imported.

Two it has no like of: an aggregate that is any function of columns (`expected.AGGREGATES`), and rows that fit their
record type, column by column in one pass, where its own expectations take 5 ms a column and skip nulls.

To be imported after `imports.great_expectations`, which leaves out most of what that library imports.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
    multicolumn_condition_partial,
)
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_map_metric_provider import (
    MulticolumnMapMetricProvider,
)
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from compeffdist.gates.expected import AGGREGATES

AGGREGATE = "table.aggregate"
DOMAIN = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
OR_NONE = " | None"
PLAIN: Mapping[str, set[type]] = {"str": {str}, "int": {int}, "float": {float, int}, "bool": {bool}}
"""Types of a value by the annotation of its column."""


class TableAggregate(TableMetricProvider):
    """A function of columns; None where it is undefined or not finite."""

    metric_name = AGGREGATE
    value_keys = ("aggregate", "columns", "options")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(cls, execution_engine: PandasExecutionEngine, **given: Any) -> float | None:
        frame, _, _ = execution_engine.get_compute_domain(given["metric_domain_kwargs"], MetricDomainTypes.TABLE)
        arguments = given["metric_value_kwargs"]
        columns = [frame[name].tolist() for name in arguments["columns"]]
        value = AGGREGATES[arguments["aggregate"]](*columns, **arguments["options"])
        return value if value is not None and math.isfinite(value) else None


class ExpectAggregateToBeBetween(BatchExpectation):
    """Expect a function of columns to be within bounds; neither: it is computed alone."""

    aggregate: str
    columns: list[str]
    options: dict[str, Any]
    min_value: float | None = None
    max_value: float | None = None
    strict_min: bool = False

    metric_dependencies: ClassVar[tuple[str, ...]] = (AGGREGATE,)
    success_keys: ClassVar[tuple[str, ...]] = (
        "aggregate",
        "columns",
        "options",
        "min_value",
        "max_value",
        "strict_min",
    )

    def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
        return self._validate_metric_value_between(AGGREGATE, metrics, runtime_configuration, execution_engine)


class RowsComplete(MulticolumnMapMetricProvider):
    """Rows with a value in every column of a record type."""

    condition_metric_name = "multicolumn_values.complete"
    condition_domain_keys = DOMAIN
    condition_value_keys = ("types",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, types: Mapping[str, str], **_: Any) -> pd.Series:
        return _in_all(column_list, types, are_given)


class RowsTyped(MulticolumnMapMetricProvider):
    """Rows in which every value that there is has the type of its column."""

    condition_metric_name = "multicolumn_values.typed"
    condition_domain_keys = DOMAIN
    condition_value_keys = ("types",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, types: Mapping[str, str], **_: Any) -> pd.Series:
        return _in_all(column_list, types, are_typed)


class ExpectMulticolumnValuesToBeComplete(MulticolumnMapExpectation):
    """Expect no value to be missing, null (unless its type has `| None`) or NaN."""

    types: dict[str, str]
    map_metric: ClassVar[str] = RowsComplete.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("types", "mostly")


class ExpectMulticolumnValuesToBeTyped(MulticolumnMapExpectation):
    """Expect values of the types given by column; what is missing is passed over."""

    types: dict[str, str]
    map_metric: ClassVar[str] = RowsTyped.condition_metric_name
    success_keys: ClassVar[tuple[str, ...]] = ("types", "mostly")


def _in_all(frame: pd.DataFrame, types: Mapping[str, str], test: Callable[[list[Any], str], list[bool]]) -> pd.Series:
    """Whether each row passes a test in all columns."""
    passed = np.ones(len(frame), dtype=bool)
    for name, type in types.items():
        passed &= np.array(test(frame[name].tolist(), type), dtype=bool)
    return pd.Series(passed, index=frame.index)


def are_given(values: list[Any], type: str) -> list[bool]:
    """Of each value whether it is there, or is none where there may be none."""
    may_be_none = type.endswith(OR_NONE)
    return [may_be_none if value is None else value == value for value in values]


def are_typed(values: list[Any], type: str) -> list[bool]:
    """Of each value whether it is missing or of a type as annotations write it: `str`, `float | None`, `list[str]`."""
    type = type.removesuffix(OR_NONE)
    if type.startswith("list["):
        items = type.removeprefix("list[").removesuffix("]")
        return [_is_missing(value) or (isinstance(value, list) and _are_items(value, items)) for value in values]
    if {value.__class__ for value in values} <= PLAIN[type]:
        return [True] * len(values)
    return [_is_missing(value) or value.__class__ in PLAIN[type] for value in values]


def _are_items(values: list[Any], type: str) -> bool:
    """Whether the items of a list are of a type and there."""
    return all(are_given(values, type)) and all(are_typed(values, type))


def _is_missing(value: Any) -> bool:
    return value is None or value != value
