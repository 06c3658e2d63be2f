"""The gates of a run, as they pass or fail."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from compeffdist.files import read_json
from compeffdist.gates.outcome import Finding, page_of, report_of
from compeffdist.watch.reading import Reading, clip
from compeffdist.watch.stages import StageState

MOST_LINES = 8


def gates(stages: Iterable[StageState], reading: Reading) -> list[dict[str, Any]]:
    """Each gate in the order of the pipeline: `passed`, `warned`, `failed`, or `waiting` while its report is that of an
    earlier run, or none."""
    found = []
    for one in stages:
        if (gate := one.stage.gate) and one.stage.writes(report_of(gate)):
            path = Path(report_of(gate))
            report = reading.of(str(path), [path], partial(_told, path), None) if path.exists() else None
            told = report if report and not one.earlier else _WAITING
            page = str(page_of(gate)) if told["state"] != "waiting" and Path(page_of(gate)).exists() else None
            found.append({"gate": gate, **told, "page": page})
    return found


_WAITING: dict[str, Any] = {"state": "waiting", "expectations": 0, "broken": 0, "lines": []}


def _told(path: Path) -> dict[str, Any]:
    report = read_json(path)
    findings = [Finding(**told) for told in report["expectations"]]
    broken = [finding for finding in findings if not finding.passed]
    state = "passed" if report["passed"] is True else "warned" if report["action"] == "warn" else "failed"
    lines = [clip(finding.line()) for finding in broken[:MOST_LINES]]
    return {"state": state, "expectations": len(findings), "broken": len(broken), "lines": lines}
