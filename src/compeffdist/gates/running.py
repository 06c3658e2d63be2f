"""Running a gate: Great Expectations over the tables and the figures, then report, page and token.

An ephemeral context, made once a process; nothing is written but our own files. A table is judged row by row first.
The figures are computed only if every row has its fields, because a figure over broken rows means nothing; they are
then a table of one row, held against their bounds like any other. Great Expectations does not raise when it cannot
compute something (a missing column), nor fail on a column that is empty: both become findings here.

The token is what later stages depend on. It holds the hashes of what the gate let through and nothing of its bounds:
a changed bound re-runs the check, the token comes out the same, and nothing behind it runs.

A gate takes 2.3 seconds of CPU and 190 MB, most of it the import (`imports`).
"""

import functools
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.artefacts import Artefact
from compeffdist.errors import UserError, one_line
from compeffdist.files import hash_file
from compeffdist.gates.expected import Expected, Figure
from compeffdist.gates.outcome import (
    LAST,
    MOST_OFFENDERS,
    Action,
    Distribution,
    Finding,
    Number,
    Outcome,
    page_of,
    report_of,
    token_of,
)
from compeffdist.gates.page import render
from compeffdist.gates.tables import Table
from compeffdist.given import Given
from compeffdist.imports import great_expectations

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_ADVICE = "run the stage that writes it again; figures over all rows were not computed"
FIGURE = "expect_column_max_to_be_between"
"""Of a one-row column: the figure itself. Unlike a rule about rows it fails on a value that is missing."""


@dataclass(frozen=True)
class Measured:
    """Aggregates over all rows."""

    figures: Sequence[Figure]
    distributions: Sequence[Distribution] = ()


@dataclass(frozen=True)
class Evidence:
    """What a gate judges."""

    tables: Sequence[Table[Any]]
    measure: Callable[[], Measured]
    """Called only if every table is whole."""


def run_gate(given: Given, guards: Sequence[Artefact[Any]], gather: Callable[[Given], Evidence]) -> None:
    """Judge what `gather` finds; write report and page; write the token and return, or stop.

    The last gate stops nothing here and writes no token: `verdict` does, after registration and report.

    Args:
        guards: the artefacts let through, whose hashes make the token.

    Raises:
        UserError: if an expectation fails and the gate's action is `stop`, after a line about each; or an artefact
            cannot be read at all. There is no token then, nor one from before.
    """
    gate = given.stage.gate
    report, page = report_of(gate), page_of(gate)
    for stale in (report, page, token_of(gate)):
        Path(stale).unlink(missing_ok=True)
    action: Action = getattr(given.params.gates, gate).action
    outcome = judge(gate, action, gather(given))
    report.write(outcome.to_json())
    page.write(render(outcome))
    for line in outcome.messages():
        print(line, file=sys.stderr)
    failed, whole = len(outcome.failed()), len(outcome.findings)
    if outcome.stops and gate != LAST:
        raise UserError(f"gate {gate}: {failed} of {whole} expectations failed, nothing behind it runs; see {page}")
    if gate != LAST:
        write_token(given, gate, guards)
    ends = "; the run goes on to registration and report, and ends with an error" if outcome.stops else ""
    print(f"gate {gate}: {whole - failed} of {whole} expectations hold; {page}{ends}")


def write_token(given: Given, gate: str, guards: Sequence[Artefact[Any]]) -> None:
    """Let through what a gate guards."""
    token = token_of(gate)
    given.out(token)
    token.write({"gate": gate, "sha256": {path: hash_file(given.path(path)) for path in guards}})


def judge(gate: str, action: Action, evidence: Evidence) -> Outcome:
    """Hold the evidence against what is expected of it."""
    findings = [finding for table in evidence.tables for finding in _rows(table)]
    figures = [figure for table in evidence.tables for figure in table.type_figures()]
    measured = Measured([])
    if all(table.whole() for table in evidence.tables):
        measured = evidence.measure()
        figures += [figure for table in evidence.tables for figure in table.id_figures()]
        figures += measured.figures
    findings += _bounded(figures)
    values = {figure.name: _number(figure.value) for figure in measured.figures}
    return Outcome(gate, action, findings, values, measured.distributions)


def _rows(table: Table[Any]) -> list[Finding]:
    return [_row_finding(table, expected, result) for expected, result in _validate(table.frame, table.expected())]


def _row_finding(table: Table[Any], expected: Expected, result: Any) -> Finding:
    if result.success:
        return Finding(expected.name, True, 0, high=0)
    if expected.type == "expect_table_columns_to_match_set":
        missing = [f"missing:{name}" for name in table.fields if name not in table.columns]
        unknown = [f"unknown:{one_line(name, 40)}" for name in table.columns if name not in table.fields]
        offenders = [*missing, *unknown]
        return Finding(expected.name, False, len(offenders), high=0, advice=SCHEMA_ADVICE, offenders=_first(offenders))
    value = result.result.get("unexpected_count") if result.result else None
    if value is None:
        return Finding(expected.name, False, None, high=0, advice=_reason(table, expected, result))
    places = result.result.get("partial_unexpected_index_list") or []
    ids = [str(place["id"]) if isinstance(place, dict) else f"row {place + 1}" for place in places]
    return Finding(expected.name, False, value, high=0, advice=expected.advice, offenders=_first(ids))


def _reason(table: Table[Any], expected: Expected, result: Any) -> str:
    """Why Great Expectations gave no count."""
    column = expected.arguments.get("column")
    if column is not None and column not in table.columns:
        return f"there is no column {column}"
    info = result.exception_info or {}
    # one exception, or several under the names of the metrics that raised them
    raised = [info] if "exception_message" in info else [part for part in info.values() if isinstance(part, dict)]
    messages = [str(part["exception_message"]) for part in raised if part.get("exception_message")]
    return one_line(messages[0] if messages else "Great Expectations gave no result", 200)


def _bounded(figures: Sequence[Figure]) -> list[Finding]:
    """Findings of the figures that have a bound."""
    import pandas as pd

    judged = [figure for figure in figures if figure.low is not None or figure.high is not None]
    frame = pd.DataFrame({figure.name: [_number(figure.value)] for figure in judged}, dtype="float64")
    expected = [
        Expected(
            figure.name,
            FIGURE,
            {
                "column": figure.name,
                "min_value": figure.low,
                "max_value": figure.high,
                "strict_min": figure.above,
            },
        )
        for figure in judged
    ]
    passed = {rule.name: bool(result.success) for rule, result in _validate(frame, expected)}
    return [
        Finding(
            name=figure.name,
            passed=passed[figure.name],
            value=_number(figure.value),
            low=figure.low,
            high=figure.high,
            above=figure.above,
            param=figure.param,
            advice="" if passed[figure.name] else figure.advice,
            offenders=[] if passed[figure.name] else _first(figure.offenders),
        )
        for figure in judged
    ]


def _first(offenders: Sequence[str]) -> list[str]:
    """The first few ids, made printable: an id comes from a file and may be anything."""
    return [one_line(offender, 80) for offender in dict.fromkeys(offenders)][:MOST_OFFENDERS]


def _number(value: Number | None) -> Number | None:
    """JSON has no NaN: what is no finite number is undefined."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)


def _validate(frame: "pd.DataFrame", expected: Sequence[Expected]) -> list[tuple[Expected, Any]]:
    """Each expectation with Great Expectations' result for it, in the order given."""
    if not expected:
        return []
    gx = great_expectations()
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    rules = [
        ExpectationConfiguration(type=rule.type, kwargs=dict(rule.arguments), meta={"place": place})
        for place, rule in enumerate(expected)
    ]
    batch = _artefacts().get_batch({"dataframe": frame})
    outcome = batch.validate(gx.ExpectationSuite(name="gate", expectations=rules), result_format=_result_format(frame))
    results = {result.expectation_config.meta["place"]: result for result in outcome.results}
    return [(rule, results[place]) for place, rule in enumerate(expected)]


def _result_format(frame: "pd.DataFrame") -> Mapping[str, Any]:
    index = {"unexpected_index_column_names": ["id"]} if "id" in frame.columns else {}
    return {"result_format": "SUMMARY", "partial_unexpected_count": MOST_OFFENDERS, **index}


@functools.cache
def _artefacts() -> Any:
    """What gives a frame to Great Expectations: an ephemeral context, one a process, without bars and chatter."""
    gx = great_expectations()
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("artefacts").add_dataframe_asset("artefact")
    return asset.add_batch_definition_whole_dataframe("whole")
