"""What a gate found: findings, figures, whether the run may go on; and what becomes of it in the model's tags.

A report is a function of the artefacts and the bounds alone: no times, no machine, so that it can be compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from compeffdist.artefact_kinds import Json, Page
from compeffdist.errors import UserError, one_line

LAST = "student"
"""The gate that lets registration and report go on before it ends the run: what it refuses is the alias."""
MOST_OFFENDERS = 20


def report_of(gate: str) -> Json:
    """What a gate found."""
    return Json(f"metrics/gates/{gate}.json")


def page_of(gate: str) -> Page:
    """The same for people."""
    return Page(f"report/gates/{gate}.html")


def pass_of(gate: str) -> Json:
    """What the stages behind a gate depend on."""
    return Json(f"data/gates/{gate}.json")


Action = Literal["stop", "warn"]
Number = int | float


@dataclass(frozen=True)
class Finding:
    """One expectation and how it turned out."""

    name: str
    passed: bool
    value: Number | None
    """The figure, or how many rows break a rule about rows; None where it could not be computed."""
    low: Number | None = None
    high: Number | None = None
    """Bounds, both inclusive but for `above`."""
    above: bool = False
    """Whether the value must be above `low` and not just at least that."""
    param: str = ""
    """The params that set the bounds; empty where nothing but this may ever hold."""
    advice: str = ""
    """Where to look when it fails."""
    offenders: Sequence[str] = ()
    """Ids of up to MOST_OFFENDERS records that break it; none if it passed."""

    def line(self) -> str:
        """Figure, bound, param and advice in one line."""
        value = "could not be computed" if self.value is None else f"is {shown(self.value)}"
        held_by = f" ({self.param})" if self.param else ""
        advice = f" {self.advice[0].upper()}{self.advice[1:]}." if self.advice else ""
        return one_line(f"{self.name} {value}, must be {self.bound()}{held_by}.{advice}")

    def bound(self) -> str:
        """The bounds in words."""
        if self.low is None and self.high == 0 and isinstance(self.high, int):  # a count of what must not be
            return "0"
        low, high = (None if edge is None else shown(edge) for edge in (self.low, self.high))
        if low is None and high is None:  # it is only reported, and could not be computed
            return "a number"
        if low is None or high is None:
            return f"at most {high}" if low is None else f"{'above' if self.above else 'at least'} {low}"
        return low if low == high else f"from {low} to {high}"


@dataclass(frozen=True)
class Distribution:
    """Shares of named classes, one column of bars a series, for the page."""

    title: str
    series: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]
    """Class, and its share in each series."""

    @classmethod
    def of_counts(cls, title: str, counts: Mapping[str, int], most: int = 20) -> "Distribution":
        """Shares of the `most` largest of some counts, largest first."""
        total = sum(counts.values()) or 1
        ranked = sorted(counts, key=lambda name: (-counts[name], name))[:most]
        return cls(title, ["share"], [(name, [counts[name] / total]) for name in ranked])


@dataclass(frozen=True)
class Outcome:
    """Everything a gate found."""

    gate: str
    action: Action
    findings: Sequence[Finding]
    figures: Mapping[str, Number | None]
    distributions: Sequence[Distribution] = ()

    @property
    def passed(self) -> bool:
        """Whether every expectation holds."""
        return all(finding.passed for finding in self.findings)

    @property
    def stops(self) -> bool:
        """Whether nothing behind the gate may run."""
        return not self.passed and self.action == "stop"

    def failed(self) -> list[Finding]:
        """The expectations that do not hold."""
        return [finding for finding in self.findings if not finding.passed]

    def to_json(self) -> dict[str, Any]:
        """The report, metrics/gates/NAME.json."""
        return {
            "gate": self.gate,
            "passed": self.passed,
            "action": self.action,
            "expectations": [asdict(finding) for finding in self.findings],
            "figures": dict(self.figures),
            "distributions": [asdict(distribution) for distribution in self.distributions],
        }

    def messages(self) -> list[str]:
        """A line for each failed expectation, followed by one of offending ids where there are any."""
        kind = "error" if self.action == "stop" else "warning"
        lines: list[str] = []
        for finding in self.failed():
            lines.append(f"{kind}: {self.gate}: {finding.line()}")
            if finding.offenders:
                lines.append("  " + " ".join(finding.offenders))
        return lines


def shown(value: Number) -> str:
    """A figure as people read it: whole numbers as they are, others to four digits."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def gate_tags(reports: Mapping[str, Any]) -> dict[str, str]:
    """The gates in a model version's tags: `gates`, "passed", "failed: student" or "warned: clusters, sample"; and
    `gate.NAME` of each.

    Args:
        reports: of the gates that had a say, by name, in their order.

    Raises:
        UserError: a report is none, or a gate that stops the run before registration did not pass.
    """
    states = {gate: _state(gate, report) for gate, report in reports.items()}
    unlike = {word: [gate for gate, state in states.items() if state == word] for word in ("failed", "warned")}
    whole = "; ".join(f"{word}: {', '.join(names)}" for word, names in unlike.items() if names) or "passed"
    return {"gates": whole, **{f"gate.{gate}": state for gate, state in states.items()}}


def _state(gate: str, report: Any) -> str:
    passed = report.get("passed") if isinstance(report, dict) else None
    if passed is True:
        return "passed"
    if passed is False and report.get("action") == "warn":
        return "warned"
    if passed is False and gate == LAST:
        return "failed"
    if passed is False:
        raise UserError(f"{report_of(gate)}: this gate did not pass; see {page_of(gate)}, then run: dvc repro")
    raise UserError(f"{report_of(gate)}: not a report of a gate; run: dvc repro check_{gate}")
