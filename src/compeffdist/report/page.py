"""The run's page, in the order of what people ask: is the student better, where does it err, what was it made from.

Texts are hostile input and the page is for a browser: whatever is not ours is escaped or set as text, the page's policy
lets no script run but ours, and everything that grows with a run is bounded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from compeffdist import svg
from compeffdist.house_style import cells, document, table
from compeffdist.report import attribute_map, flow, learning, results, rows, selection, verdict
from compeffdist.report.run import Run
from compeffdist.report.script import SCRIPTS

CONTENTS = {
    "results": "Results",
    "errors": "Errors",
    "gates": "Gates",
    "records": "Records",
    "selection": "Selection",
    "perspectives": "Perspectives",
    "learning": "Learning",
    "cost": "Cost",
    "rows": "Rows",
    "models": "Models",
}
OF_TEXTS = {"selection", "perspectives", "rows"}
"""Sections that show texts or words of them."""
STYLE = """
nav{position:sticky;top:0;background:var(--paper);border-bottom:1px solid var(--line);margin:1rem 0 0;z-index:1;
overflow-x:auto;white-space:nowrap;scrollbar-width:thin}
nav a{display:inline-block;padding:.55rem .55rem;text-decoration:none}nav a:first-child{padding-left:0}
nav a:hover{text-decoration:underline}h2,#row-count{scroll-margin-top:3.5rem}
@media print{nav,form.rows,.turn{display:none}}
"""


def render(run: Run) -> str:
    """The page as HTML; the pages of the gates and of difficulty, and the file of rows, lie beside it in `report/`."""
    sections = [
        *results.results(run.evaluation, run.seed),
        *results.answers(run.evaluation, run.predictions),
        *flow.gates(run),
        *flow.flow(run),
        *selection.selection(run),
        *attribute_map.perspectives(run),
        *learning.learning(run),
        *learning.cost(run),
        *rows.browser(run),
        *_models(run),
    ]
    return _page(run, CONTENTS, sections, SCRIPTS)


def render_without_texts(run: Run) -> str:
    """The page as it may lie where nothing looks for a text that is withdrawn: by itself, without texts, and without
    attributes, tasks and perspectives, whose words may be a text's."""
    contents = {name: title for name, title in CONTENTS.items() if name not in OF_TEXTS}
    sections = [
        "<p class='quiet'>Sections that show texts, or words that come from some, are in report/index.html of the "
        "checkout alone.</p>",
        *results.results(run.evaluation, run.seed),
        *results.answers(run.evaluation, run.predictions),
        *flow.gates(run, linked=False),
        *flow.flow(run),
        *learning.learning(run),
        *learning.cost(run),
        *_models(run),
    ]
    return _page(run, contents, sections, ())


def _page(run: Run, contents: Mapping[str, str], sections: Iterable[str], scripts: Sequence[str]) -> str:
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title in contents.items())
    heading = ["<header>", *verdict.opening(run), f'</header>\n<nav aria-label="Sections">{links}</nav>\n<main>']
    title = f"CompEffDist: the {run.registration['tags']['profile']} run"
    style = "".join(module.STYLE for module in (svg, verdict, results, attribute_map, rows)) + STYLE
    return document(title, [*heading, *sections, "</main>"], style, scripts)


def _models(run: Run) -> Iterator[str]:
    yield "<h2 id='models'>Models</h2>"
    lines = []
    for role, identity in run.models.items():
        size = "unknown" if identity.parameters is None else f"{identity.parameters / 1e6:,.0f} M"
        told, _, reference = cells([role, size, identity.licence, identity.reference], 4).rpartition("<td>")
        lines.append(f'{told}<td class="ids">{reference}')
    yield table(["model", "parameters", "licence", "reference"], lines, "models")
