"""Running a gate: what it expects is judged, then report, page and gate pass are written.

A table is judged row by row first. The gate's own expectations are asked for only if every row has its fields, because
a figure over broken rows means nothing.

The gate pass is what later stages depend on. It holds the hashes of what the gate let through and nothing of its
bounds: a changed bound re-runs the check, the gate pass comes out the same, and nothing behind it runs.

A gate takes 2.2 to 2.6 seconds of CPU and 190 to 220 MB, half of it the import of Great Expectations (`imports`).
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compeffdist.artefact_kinds import Artefact
from compeffdist.errors import UserError
from compeffdist.files import hash_file
from compeffdist.gates.gate import Gate, Inputs
from compeffdist.gates.judging import judge
from compeffdist.gates.outcome import LAST, Outcome, page_of, pass_of, report_of
from compeffdist.gates.page import render
from compeffdist.gates.tables import WHOLE, Table, read_table
from compeffdist.given import Given


def run_gate(given: Given, gate: Gate) -> None:
    """Judge by a gate; write report and page; write the gate pass and return, or stop.

    The last gate stops nothing here and writes no gate pass: `verdict` does, after registration and report.

    Raises:
        UserError: if an expectation fails and the gate's action is `stop`, after a line about each; or an artefact
            cannot be read at all. There is no gate pass then, nor one from before.
    """
    name = given.stage.gate
    report, page = report_of(name), page_of(name)
    for stale in (report, page, pass_of(name)):
        Path(stale).unlink(missing_ok=True)
    outcome = outcome_of(gate, given)
    report.write(outcome.to_json())
    page.write(render(outcome))
    for line in outcome.messages():
        print(line, file=sys.stderr)
    failed, whole = len(outcome.failed()), len(outcome.findings)
    if outcome.stops and name != LAST:
        raise UserError(f"gate {name}: {failed} of {whole} expectations failed, nothing behind it runs; see {page}")
    if name != LAST:
        write_pass(given, name, gate.GUARDS)
    ends = "; the run goes on to registration and report, and ends with an error" if outcome.stops else ""
    print(f"gate {name}: {whole - failed} of {whole} expectations hold; {page}{ends}")


def write_pass(given: Given, gate: str, guards: Sequence[Artefact[Any]]) -> None:
    """Let through what a gate guards."""
    gate_pass = pass_of(gate)
    given.out(gate_pass)
    gate_pass.write({"gate": gate, "sha256": {path: hash_file(given.path(path)) for path in guards}})


def outcome_of(gate: Gate, given: Given) -> Outcome:
    """Everything a gate finds. Raises UserError if an artefact cannot be read at all."""
    tables: dict[str, Table[Any]] = {
        artefact: read_table(given, artefact, rules) for artefact, rules in gate.rows(given).items()
    }
    seen = Inputs(given, tables)
    rows = [expected for table in tables.values() for expected in table.rules()]
    rows += [expected for table in tables.values() for expected in table.types()]
    findings = judge(rows)
    broken = {finding.name for finding in findings if not finding.passed}
    if any(f"{table.name}.{fault}" in broken for table in tables.values() for fault in WHOLE):
        return Outcome(given.stage.gate, seen.params.action, findings, {})
    contents = [table.contents() for table in tables.values()]
    own = gate.expectations(seen)
    found = judge([*contents, *own])
    reported = {expectation.name for expectation in own if expectation.bound.is_open}
    findings += [finding for finding in found if finding.name not in reported or not finding.passed]
    figures = {finding.name: finding.value for finding in found[len(contents) :]}
    return Outcome(given.stage.gate, seen.params.action, findings, figures, gate.distributions(seen))
