"""How a run ends by its last gate: with a gate pass if the student passed, with an error if it did not.

A failed stage stops `dvc repro`, so this is the last one: registration and report are made in either case.
"""

from compeffdist.artefacts import EVALUATED, REGISTRATION
from compeffdist.errors import UserError
from compeffdist.evaluation.table import evaluation_table
from compeffdist.gates.figures import Figures, expect_figures
from compeffdist.gates.outcome import LAST, Action, page_of, report_of
from compeffdist.gates.running import write_pass
from compeffdist.gates.student import GUARDS
from compeffdist.given import Given


class Expected(Figures):
    """An expectation and how it turned out."""

    name: str
    passed: bool
    advice: str


class Report(Figures):
    """What the last gate found."""

    passed: bool
    action: Action
    expectations: list[Expected]


class Registration(Figures):
    """The model version it is about."""

    model_name: str
    version: int
    alias: str


def end_run(given: Given) -> None:
    """Write the gate pass of the last gate, or end with an error.

    Raises:
        UserError: the student did not pass and the gate's action is `stop`: after the table, one line that says why,
            what became of it and what to try. Or a file is missing.
    """
    report, registration = (
        expect_figures(artefact, given[artefact], needed, given.name)
        for artefact, needed in ((report_of(LAST), Report), (REGISTRATION, Registration))
    )
    version = f"{registration['model_name']} version {registration['version']}"
    if report["passed"] or report["action"] == "warn":
        write_pass(given, LAST, GUARDS)
        held = "passed" if report["passed"] else "failed, and the run was let on with a warning"
        print(f"gate {LAST}: {held}; {version} has alias {registration['alias']}")
        return
    print(evaluation_table(given[EVALUATED]))
    failed = [finding for finding in report["expectations"] if not finding["passed"]]
    reason = next((finding["advice"] for finding in failed if finding["advice"]), failed[0]["name"])
    raise UserError(
        f"gate {LAST}: {len(failed)} of {len(report['expectations'])} expectations failed, {version} is registered "
        f"without alias candidate: {reason}; see {page_of(LAST)}"
    )
