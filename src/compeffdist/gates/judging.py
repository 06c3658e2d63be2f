"""Expectations held against their tables by Great Expectations.

An ephemeral context, made once a process; nothing is written. Great Expectations does not raise when it cannot compute
something (a missing column), nor fail on a column that is empty: both become findings here.
"""

import functools
import logging
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from compeffdist.errors import one_line
from compeffdist.gates.expected import Columns, Expectation
from compeffdist.gates.outcome import MOST_OFFENDERS, Finding, Number
from compeffdist.imports import great_expectations

if TYPE_CHECKING:
    import pandas as pd

FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": MOST_OFFENDERS}


def judge(expectations: Sequence[Expectation]) -> list[Finding]:
    """A finding for each expectation, in their order. Those of the same table are validated together."""
    tables: dict[Columns, list[int]] = {}
    for place, expectation in enumerate(expectations):
        tables.setdefault(expectation.table, []).append(place)
    found: dict[int, Finding] = {}
    for table, places in tables.items():
        own = [expectations[place] for place in places]
        results = _validate(table.frame(own), own)
        found |= {place: _finding(expectations[place], result) for place, result in zip(places, results, strict=True)}
    return [found[place] for place in range(len(expectations))]


def _finding(expectation: Expectation, result: Any) -> Finding:
    bound, details, raised = expectation.bound, result.result or {}, _exception(result)
    value = _number(details.get("observed_value" if expectation.is_aggregate else "unexpected_count"))
    # what is only reported may be undefined, but not because it could not be computed
    if result.success or (bound.is_open and not raised):
        value = value if expectation.is_aggregate else 0
        return Finding(expectation.name, True, value, bound.low, bound.high, bound.above, bound.param)
    advice = expectation.advice
    if expectation.offenders is None:
        offenders = [str(expectation.table.keys[row]) for row in details.get("partial_unexpected_index_list") or []]
        advice = advice if value is not None else _reason(expectation, raised)
    else:
        offenders = list(expectation.offenders())
        value = value if expectation.is_aggregate else len(offenders)
        advice = "; ".join(filter(None, (raised, advice)))
    return Finding(
        expectation.name, False, value, bound.low, bound.high, bound.above, bound.param, advice, _first(offenders)
    )


def _reason(expectation: Expectation, raised: str) -> str:
    """Why Great Expectations gave no count."""
    column = expectation.arguments.get("column")
    if column is not None and column not in expectation.table.columns and column not in expectation.brings:
        return f"there is no column {column}"
    return raised or "Great Expectations gave no result"


def _exception(result: Any) -> str:
    """What went wrong in computing it; empty if nothing did."""
    info = result.exception_info or {}
    # one exception, or several under the names of the metrics that raised them
    raised = [info] if "exception_message" in info else [part for part in info.values() if isinstance(part, dict)]
    messages = [str(part["exception_message"]) for part in raised if part.get("exception_message")]
    return one_line(messages[0], 200) if messages else ""


def _first(offenders: Iterable[str]) -> list[str]:
    """The first few ids, made printable: an id comes from a file and may be anything."""
    return [one_line(offender, 80) for offender in dict.fromkeys(offenders)][:MOST_OFFENDERS]


def _number(value: Any) -> Number | None:
    """A Python number; JSON has no NaN: what is no finite number is undefined."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _validate(frame: "pd.DataFrame", expectations: Sequence[Expectation]) -> list[Any]:
    """Great Expectations' results, in the order of the expectations."""
    gx = great_expectations()
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    rules = [
        ExpectationConfiguration(type=expectation.type, kwargs=_arguments(expectation), meta={"place": place})
        for place, expectation in enumerate(expectations)
    ]
    batch = _artefacts().get_batch({"dataframe": frame})
    outcome = batch.validate(gx.ExpectationSuite(name="gate", expectations=rules), result_format=FORMAT)
    return sorted(outcome.results, key=lambda result: result.expectation_config.meta["place"])


def _arguments(expectation: Expectation) -> dict[str, Any]:
    bound, arguments = expectation.bound, dict(expectation.arguments)
    if expectation.is_aggregate:
        arguments |= {"min_value": bound.low, "max_value": bound.high, "strict_min": bound.above}
    return arguments


@functools.cache
def _artefacts() -> Any:
    """What gives a frame to Great Expectations: an ephemeral context, one a process, without bars and chatter."""
    gx = great_expectations()
    from great_expectations.execution_engine import pandas_execution_engine

    from compeffdist.gates import own_expectations as own_expectations

    # it would hash, and where lists stand in a frame pickle, every frame: more time and memory than all expectations
    pandas_execution_engine.hash_pandas_dataframe = lambda df: "not hashed"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("artefacts").add_dataframe_asset("artefact")
    return asset.add_batch_definition_whole_dataframe("whole")
