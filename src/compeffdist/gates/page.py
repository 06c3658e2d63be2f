"""The page of a gate: one static HTML file, nothing fetched, no script; everything in it is escaped."""

from html import escape

from compeffdist.gates.outcome import Distribution, Finding, Outcome, shown
from compeffdist.pages import bar, cells, document, table


def render(outcome: Outcome) -> str:
    """The page as HTML: failed expectations first, then those a param sets, the others, distributions, figures."""
    findings = sorted(outcome.findings, key=lambda finding: (finding.passed, not finding.param))
    body = [
        f"<p>{len(findings) - len(outcome.failed())} of {len(findings)} expectations hold.</p>",
        table(["", "figure", "value", "bound", "set by", "where to look, and offending records"], map(_row, findings)),
        *map(_distribution, outcome.distributions),
        "<h2>Figures</h2>",
        table(["figure", "value"], (cells([name, _value(value)]) for name, value in outcome.figures.items())),
    ]
    return document(f"Gate {outcome.gate}: {_verdict(outcome)}", body)


def _verdict(outcome: Outcome) -> str:
    if outcome.passed:
        return "passed"
    return "stopped the run" if outcome.stops else "failed, the run was let on with a warning"


def _row(finding: Finding) -> str:
    state, mark = ("held", "holds") if finding.passed else ("failed", "FAILS")
    ids = f'<div class="ids">{escape(" ".join(finding.offenders))}</div>' if finding.offenders else ""
    return (
        f'<tr class="{state}"><td class="mark">{mark}</td><td>{escape(finding.name)}</td>'
        f'<td class="number">{_value(finding.value)}</td><td class="number">{escape(finding.bound())}</td>'
        f"<td>{escape(finding.param or 'always')}</td><td>{escape(finding.advice)}{ids}</td></tr>"
    )


def _distribution(distribution: Distribution) -> str:
    rows = (
        "<tr>" + f"<td>{escape(label)}</td>" + "".join(f"<td>{bar(value)}</td>" for value in values) + "</tr>"
        for label, values in distribution.rows
    )
    return f"<h2>{escape(distribution.title)}</h2>" + table(["", *distribution.series], rows)


def _value(value: int | float | None) -> str:
    return "undefined" if value is None else shown(value)
