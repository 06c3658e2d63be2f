"""How a run ends by its last gate: with a token if the student passed, with an error if it did not.

A failed stage stops `dvc repro`, so this is the last one: registration and report are made in either case.
"""

from pathlib import Path

from compeffdist.errors import UserError
from compeffdist.evaluation.table import evaluation_table
from compeffdist.files import hash_file, read_json, write_json
from compeffdist.gates.outcome import LAST, PAGES, REPORTS, TOKENS

EVALUATION = Path("metrics/evaluation.json")
REGISTRATION = Path("metrics/registration.json")
GUARDED = (Path("data/student_predictions.parquet"), Path("models/student/student.json"))


def end_run() -> None:
    """Write the token of the last gate, or end with an error.

    Raises:
        UserError: the student did not pass and the gate's action is `stop`: after the table, one line that says why,
            what became of it and what to try. Or a file is missing.
    """
    token = TOKENS / f"{LAST}.json"
    token.unlink(missing_ok=True)
    report, registration = read_json(REPORTS / f"{LAST}.json"), read_json(REGISTRATION)
    version = f"{registration['model_name']} version {registration['version']}"
    if report["passed"] or report["action"] == "warn":
        write_json(token, {"gate": LAST, "sha256": {str(path): hash_file(path) for path in GUARDED}})
        held = "passed" if report["passed"] else "failed, and the run was let on with a warning"
        print(f"gate {LAST}: {held}; {version} has alias {registration['alias']}")
        return
    print(evaluation_table(read_json(EVALUATION)))
    failed = [finding for finding in report["expectations"] if not finding["passed"]]
    reason = next((finding["advice"] for finding in failed if finding["advice"]), failed[0]["name"])
    raise UserError(
        f"gate {LAST}: {len(failed)} of {len(report['expectations'])} expectations failed, {version} is registered "
        f"without alias candidate: {reason}; see {PAGES / f'{LAST}.html'}"
    )
