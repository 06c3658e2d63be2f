"""What every page looks like: light and dark, phone to wide screen; and the scripts a page may run.

`pages` is reached by every stage, which all write through it, so that a colour there would make every artefact stale.
What is for the eye is here, reached only by what makes pages.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

from compeffdist import pages

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1d21;--quiet:#5b616b;--line:#dcdfe4;--soft:#f4f5f7;--link:#1d5fb4;
--good:#1d6b35;--bad:#a61b0f;--badsoft:#fdecea}
@media (prefers-color-scheme:dark){:root{--paper:#15171b;--ink:#e7e9ec;--quiet:#a3a9b3;--line:#363a42;--soft:#1f2228;
--link:#84b6f4;--good:#6fcf8a;--bad:#ff8f80;--badsoft:#3a1d1b}}
html{-webkit-text-size-adjust:100%}
body{background:var(--paper);color:var(--ink);margin:0 auto;padding:1.25rem clamp(.9rem,3vw,2rem) 4rem;max-width:72rem;
overflow-wrap:break-word}
h1{line-height:1.25;text-wrap:balance}h2{font-size:1.25rem;line-height:1.3;margin:2.75rem 0 .5rem}
h3{font-size:1rem;margin:1.5rem 0 .3rem}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:2px}
.quiet{color:var(--quiet)}
.scroll{overflow-x:auto;margin:.5rem 0}
th,td{border-color:var(--line);overflow-wrap:break-word;padding:.35rem .7rem .35rem 0}
th{font-weight:600}tbody th{font-weight:500}thead th{color:var(--quiet);font-size:.87rem;vertical-align:bottom}
.number{text-align:right}@media (max-width:48rem){.wide{min-width:17rem}}
tbody th[scope]{position:sticky;left:0;background:var(--paper)}
.failed,.failed th[scope]{background:var(--badsoft)}.failed .mark{color:var(--bad)}.held .mark{color:var(--good)}
.ids{color:var(--quiet);overflow-wrap:anywhere}
"""
VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'


def document(title: str, body: Iterable[str], style: str = "", scripts: Sequence[str] = ()) -> str:
    """A whole page, as `pages.document`. Its policy lets these `scripts` run, by their hashes, and no other: whatever
    gets into `body`, none of it acts."""
    tags = [f"<script>{script}</script>" for script in scripts]
    html = pages.document(title, [*body, *tags], f"{STYLE}{style.lstrip()}")
    html = html.replace('<meta charset="utf-8">', f'<meta charset="utf-8">{VIEWPORT}', 1)
    if not scripts:
        return html
    sources = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return html.replace(pages.POLICY, f"{pages.POLICY}; script-src {sources}", 1)


def table(heads: Sequence[str], rows: Iterable[str], name: str, text: int | None = None) -> str:
    """`pages.table` that scrolls by itself where it is wider than the screen; `name` is what a screen reader calls it.
    The columns after the first `text`, if that is said, hold numbers."""
    made = pages.table(heads, rows).replace("<th>", '<th scope="col">')
    if text is not None:
        kept = len('<th scope="col">'.join(made.split('<th scope="col">')[: text + 1]))
        made = made[:kept] + made[kept:].replace('<th scope="col">', '<th scope="col" class="number">')
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{made}</div>'


def cells(values: Sequence[str], text: int = 1) -> str:
    """`pages.cells` whose first cell heads the row."""
    return pages.cells(values, text).replace("<td>", '<th scope="row">', 1).replace("</td>", "</th>", 1)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
