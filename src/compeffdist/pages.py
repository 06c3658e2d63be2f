"""The pages people look at: one static HTML file each, nothing fetched, no script; everything put in is escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from compeffdist.files import atomic_file

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1c1c1c}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}
td.number{font-variant-numeric:tabular-nums;white-space:nowrap}
.quiet{color:#555}
.failed{background:#fdecea}.mark{font-weight:600}.failed .mark{color:#a61b0f}.held .mark{color:#1d6b35}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """A whole page. `body` is HTML already, `title` is text; `style` goes beside what all pages share."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{STYLE}{style.lstrip()}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def write_page(target: Path, html: str) -> None:
    """Write a page, atomically."""
    with atomic_file(target) as path:
        path.write_text(html, encoding="utf-8")


def table(heads: Iterable[str], rows: Iterable[str]) -> str:
    """A table of rows that are HTML already, under heads that are text."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"


def cells(values: Sequence[str], text: int = 1) -> str:
    """A row of a table, of texts; those after the first `text` columns are numbers."""
    return (
        "<tr>"
        + "".join(
            f"<td>{escape(value)}</td>" if place < text else f'<td class="number">{escape(value)}</td>'
            for place, value in enumerate(values)
        )
        + "</tr>"
    )
