"""The page of a gate: expectations, distributions, figures."""

import re
from html import escape

from compeffdist.gates.outcome import Distribution, Finding, Outcome, shown
from compeffdist.house_style import cells, document, table

STYLE = """
.ids{font:12px/1.4 ui-monospace,monospace;color:var(--quiet);overflow-wrap:anywhere}
.bar{display:inline-block;height:.7rem;background:#2f7fd6;vertical-align:baseline;margin-right:.4rem}
"""
BAR_REM = 12
"""Length of the bar of a share of 1."""


def render(outcome: Outcome) -> str:
    """The page as HTML: failed expectations first, then those a param sets, the others, distributions, figures."""
    findings = sorted(outcome.findings, key=lambda finding: (finding.passed, not finding.param))
    title = f"Gate {outcome.gate}: {_verdict(outcome)}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(findings) - len(outcome.failed())} of {len(findings)} expectations hold.</p>",
        table(
            ["", "figure", "value", "bound", "set by", "where to look, and offending records"],
            map(_row, findings),
            "expectations",
        ),
        *map(_distribution, outcome.distributions),
        "<h2>Figures</h2>",
        table(
            ["figure", "value"], (cells([name, _value(value)], 2) for name, value in outcome.figures.items()), "figures"
        ),
    ]
    return document(title, body, STYLE)


def _verdict(outcome: Outcome) -> str:
    if outcome.passed:
        return "passed"
    return "stopped the run" if outcome.stops else "failed, the run was let on with a warning"


def _row(finding: Finding) -> str:
    state, mark = ("held", "holds") if finding.passed else ("failed", "FAILS")
    ids = f'<div class="ids">{escape(" ".join(finding.offenders))}</div>' if finding.offenders else ""
    return (
        f'<tr class="{state}"><td class="mark">{mark}</td><td>{_breakable(finding.name)}</td>'
        f'<td class="number">{_value(finding.value)}</td><td class="number">{escape(finding.bound())}</td>'
        f"<td>{_breakable(finding.param or 'always')}</td><td>{escape(finding.advice)}{ids}</td></tr>"
    )


def _breakable(name: str) -> str:
    """An identifier that may go on in the next line after a dot or an underscore, and nowhere else."""
    return re.sub(r"([._])", r"\1<wbr>", escape(name))


def _distribution(distribution: Distribution) -> str:
    rows = (
        f'<tr><th scope="row">{escape(label)}</th>' + "".join(f"<td>{_bar(value)}</td>" for value in values) + "</tr>"
        for label, values in distribution.rows
    )
    return f"<h2>{escape(distribution.title)}</h2>" + table(["", *distribution.series], rows, distribution.title)


def _bar(share: float) -> str:
    return f'<span class="bar" style="width:{share * BAR_REM:.2f}rem"></span>{share:.1%}'


def _value(value: int | float | None) -> str:
    return "undefined" if value is None else shown(value)
