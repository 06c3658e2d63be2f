"""The page of a gate: one static HTML file, nothing fetched, no script; everything in it is escaped."""

from collections.abc import Iterable
from html import escape

from compeffdist.gates.outcome import Distribution, Finding, Outcome, shown

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c1c1c}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
td.number{font-variant-numeric:tabular-nums;white-space:nowrap}
.failed{background:#fdecea}.mark{font-weight:600}.failed .mark{color:#a61b0f}.held .mark{color:#1d6b35}
.ids{font:12px/1.4 ui-monospace,monospace;color:#555;overflow-wrap:anywhere}
.bar{display:inline-block;height:.7rem;background:#4a7ab5;vertical-align:baseline;margin-right:.4rem}
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
        _table(["", "figure", "value", "bound", "set by", "where to look, and offending records"], map(_row, findings)),
        *map(_distribution, outcome.distributions),
        "<h2>Figures</h2>",
        _table(["figure", "value"], (_cells([name, _value(value)]) for name, value in outcome.figures.items())),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


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
        "<tr>" + f"<td>{escape(label)}</td>" + "".join(f"<td>{_bar(value)}</td>" for value in values) + "</tr>"
        for label, values in distribution.rows
    )
    return f"<h2>{escape(distribution.title)}</h2>" + _table(["", *distribution.series], rows)


def _bar(share: float) -> str:
    return f'<span class="bar" style="width:{share * BAR_REM:.2f}rem"></span>{share:.1%}'


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"


def _cells(values: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<td>{escape(value)}</td>" for value in values) + "</tr>"


def _value(value: int | float | None) -> str:
    return "undefined" if value is None else shown(value)
