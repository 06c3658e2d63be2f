"""Static HTML pages for people: one file each, nothing fetched, no script, everything put into them escaped."""

from collections.abc import Iterable
from html import escape

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c1c1c}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}
td.number{font-variant-numeric:tabular-nums;white-space:nowrap}
.failed{background:#fdecea}.mark{font-weight:600}.failed .mark{color:#a61b0f}.held .mark{color:#1d6b35}
.ids{font:12px/1.4 ui-monospace,monospace;color:#555;overflow-wrap:anywhere}.quiet{color:#555}
.bar{display:inline-block;height:.7rem;background:#4a7ab5;vertical-align:baseline;margin-right:.4rem}
"""
BAR_REM = 12
"""Length of the bar of a share of 1."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, body: Iterable[str]) -> str:
    """A whole page; `title` is escaped here, the parts of `body` are HTML already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join([f"<h1>{escape(title)}</h1>", *body])
        + "\n</body></html>\n"
    )


def table(heads: Iterable[str], rows: Iterable[str]) -> str:
    """A table; `rows` are rows of HTML, as `cells` makes them."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"


def cells(values: Iterable[str]) -> str:
    """A row of plain text."""
    return "<tr>" + "".join(f"<td>{escape(value)}</td>" for value in values) + "</tr>"


def bar(share: float) -> str:
    """A share of 1 as a bar and a percentage."""
    return f'<span class="bar" style="width:{share * BAR_REM:.2f}rem"></span>{share:.1%}'
