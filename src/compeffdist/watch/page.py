"""The page that is served: empty places, which its script fills. Nothing of a run is in it but the checkout's name."""

from collections.abc import Iterator
from html import escape

from compeffdist.local_server import asking_document
from compeffdist.svg import STUDENT
from compeffdist.watch.script import POLL

STYLE = f"""
#headline{{font-size:1.15rem;font-weight:600;margin:.4rem 0}}
.wall{{display:grid;grid-template-columns:minmax(0,1fr);gap:0 2.5rem;align-items:start}}
@media (min-width:62rem){{body{{max-width:92rem}}.wall{{grid-template-columns:minmax(0,7fr) minmax(0,5fr)}}}}
section h2{{margin-top:1.75rem}}
#now{{background:var(--soft);border-radius:8px;padding:.8rem 1rem;margin-top:1rem}}
#now p{{margin:.15rem 0}}#now-stage{{font-weight:600}}li.waiting{{color:var(--quiet)}}
progress{{appearance:none;width:100%;height:.7rem;border:0;border-radius:6px;overflow:hidden;background:var(--line)}}
progress::-webkit-progress-bar{{background:var(--line)}}progress::-webkit-progress-value{{background:{STUDENT}}}
progress::-moz-progress-bar{{background:{STUDENT}}}
.stages td:nth-child(2){{white-space:nowrap}}.stages td:last-child{{color:var(--quiet);min-width:8rem}}
.stages td.number{{white-space:nowrap;min-width:3.5rem}}
@media (max-width:40rem){{.stages thead{{display:none}}.stages tbody tr{{display:grid;gap:0 .8rem;padding:.3rem 0;
grid-template-columns:1fr auto minmax(3rem,auto);border-bottom:1px solid var(--line)}}
.stages tbody tr>*{{border:0;padding:0}}.stages tbody th[scope]{{position:static}}
.stages td:last-child{{grid-column:1/-1;font-size:.87rem}}}}
tr.done td:nth-child(2),li.passed .mark{{color:var(--good)}}tr.waiting th,tr.waiting td{{color:var(--quiet)}}
tr.running,tr.running th[scope]{{background:var(--soft)}}tr.running th,tr.running td{{font-weight:600}}
tr.failed td:nth-child(2),li.failed .mark,li.warned .mark,tr.failed td:last-child{{color:var(--bad)}}
li.failed{{background:none}}
ul,ol{{padding-left:1.2rem;margin:.3rem 0}}#gates,#answers,#faults{{list-style:none;padding:0}}
#gates>li{{padding:.15rem 0}}#gates ul{{font-size:.9rem}}
#answers li{{border-top:1px solid var(--line);padding:.5rem 0}}#answers p,details li{{margin:0;overflow-wrap:anywhere}}
.said{{font-weight:600}}#answers .said .quiet{{font-weight:400}}.ids{{font-size:.8rem}}
details{{border-top:1px solid var(--line);padding:.4rem 0}}summary{{cursor:pointer;overflow-wrap:anywhere}}
svg{{display:block;width:100%;max-width:36rem;height:auto}}svg text{{font:11px system-ui,sans-serif;fill:var(--quiet)}}
.grid{{stroke:var(--line);stroke-width:.7}}.loss{{fill:none;stroke:{STUDENT};stroke-width:1.6;stroke-linejoin:round}}
.last{{fill:{STUDENT}}}
#gone{{background:var(--badsoft);padding:.6rem 1rem;border-radius:8px}}[hidden]{{display:none!important}}
"""


def render(checkout: str) -> str:
    """The page as HTML; its policy lets it ask this server alone, and run its own script."""
    return asking_document(f"Watching {checkout}", _body(checkout), STYLE, [POLL])


def _body(checkout: str) -> Iterator[str]:
    yield (
        f"<header><h1>Watching {escape(checkout)}</h1>"
        '<p id="headline" role="status" aria-live="polite">Looking…</p><p id="when" class="quiet"></p>'
        '<p id="report" hidden><a href="report/index.html">Read the report of this run</a></p>'
        '<p id="gone" role="alert" hidden>The watcher does not answer any more: what stands here is how it was. '
        "Start it again with <code>compeffdist watch</code> and open the address that it prints.</p>"
        "<noscript><p>This page needs its script; without one: <code>compeffdist watch --once</code></p></noscript>"
        "</header>\n<main>"
    )
    yield (
        '<div id="now" hidden><p><span id="now-stage"></span> <span id="now-since" class="quiet"></span></p>'
        '<progress id="now-bar" aria-labelledby="now-stage"></progress><p id="now-work"></p></div>'
    )
    yield '<div class="wall"><div>'
    yield _section("Stages", _table("stages", ["stage", "state", "time", ""], "stages", numbers=(2,)))
    none = "None so far."
    yield _section("Latest answers", f'<p id="answers-none" class="quiet">{none}</p><ol id="answers"></ol>')
    yield "</div><div>"
    chart = '<svg id="curve" role="img" viewBox="0 0 360 170"></svg><p id="curve-said" class="quiet"></p>'
    yield _section("Loss", chart, "curve-part")
    yield _section("Gates", '<ul id="gates"></ul>')
    yield _section(
        "Spent on the teacher", _table("spending", ["", "this run", "all runs"], "spending"), "spending-part"
    )
    heads = ["stage", "store", "recorded", "bought", "failed"]
    yield _section("Where answers came from", _table("sources", heads, "sources of answers"), "sources-part")
    yield _section("Left out", '<p id="left-none" class="quiet">Nothing so far.</p><div id="left"></div>')
    yield _section("Cannot be read now", '<ul id="faults"></ul>', "faults-part")
    yield "</div></div></main>"


def _section(title: str, content: str, name: str = "") -> str:
    hidden = f' id="{name}" hidden' if name else ""
    return f'<section{hidden} aria-label="{escape(title)}"><h2>{escape(title)}</h2>{content}</section>'


def _table(body: str, heads: list[str], name: str, numbers: tuple[int, ...] | None = None) -> str:
    """A table whose rows the script makes; `numbers`: the columns of numbers, None for all but the first."""
    cells = "".join(
        f'<th scope="col"{_number(place, numbers)}>{escape(head)}</th>' if head else "<td></td>"
        for place, head in enumerate(heads)
    )
    return (
        f'<div class="scroll {body}" role="region" tabindex="0" aria-label="{escape(name)}"><table role="table">'
        f'<thead><tr>{cells}</tr></thead><tbody id="{body}" role="rowgroup"></tbody></table></div>'
    )


def _number(place: int, numbers: tuple[int, ...] | None) -> str:
    is_number = place in numbers if numbers is not None else place > 0
    return ' class="number"' if is_number else ""
