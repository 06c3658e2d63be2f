"""Pages: whatever is put into them is text. A page of hostile texts has the elements of one of harmless texts."""

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import strategies as st

from compeffdist.gates.outcome import Distribution, Finding, Outcome
from compeffdist.gates.page import render as render_gate
from compeffdist.measures.registry import RANKING
from compeffdist.pages import POLICY, write_page
from compeffdist.report.page import render as render_report
from compeffdist.report.page import render_without_texts
from compeffdist.study.findings import Study
from compeffdist.study.labels import Judgement
from compeffdist.study.measures import Agreement, correlations, decile_figures, read_scores
from compeffdist.study.page import render as render_study
from tests.factories import make_score, make_triplet, write_scored
from tests.fuzz.hostile import texts
from tests.fuzz.hunting import Target
from tests.report.making import make_run


def report_page(said: str) -> str:
    """The run's page, `said` in every field that a user, a teacher or a model's maker fills."""
    return render_report(make_run(said, task=said, tweets=said, m=said, profile=said, reason=said))


def attached_page(said: str) -> str:
    """The same as it lies with the student's run in MLflow."""
    return render_without_texts(make_run(said, task=said, tweets=said, m=said, profile=said, reason=said))


def gate_page(said: str) -> str:
    """The page of a gate."""
    finding = Finding(said, False, 3, 0, 1, param=said, advice=said, offenders=[said])
    shares = Distribution(said, [said], [(said, [0.5])])
    return render_gate(Outcome(said, "stop", [finding], {said: 0.25}, [shares]))


def study_page(said: str) -> str:
    """The page of difficulty."""
    triplets = [
        make_triplet(prompt=f"{n} {said}", response=said, task_name=said, task_type=said, text_id=f"text_{n}")
        for n in range(20)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scored.parquet"
        write_scored(path, [make_score(triplet, place / 20) for place, triplet in enumerate(triplets)])
        scores = read_scores(path, said)
    figures = decile_figures(scores)
    agreement = Agreement(said, 20, 0, 0.5, 0.5, {"0.1": 0.5})
    judgement = Judgement(RANKING, 20, 0.5, 0.1, 0.9, 0)
    examples = [[(triplets[place], 0.5)] for place in range(len(figures))]
    return render_study(Study(scores, correlations(scores), figures, examples, [agreement], [judgement]))


PAGES: Mapping[str, Callable[[str], str]] = {
    **{"report": report_page, "attached": attached_page},
    **{"gate": gate_page, "study": study_page},
}
"""Every page that is written, with a text in all of its fields."""


ACTING = {"href", "src", "style", "action", "srcdoc", "content", "http-equiv", "xlink:href"}
"""Attributes whose values make a browser do something; names are enough of the others, whose values move with texts."""


class _Elements(HTMLParser):
    """The elements of a page and the attributes of each, its texts apart."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, ...]] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "wbr":  # where a long name may break
            self.found[tag, *(f"{name}={value}" if name in ACTING else name for name, value in attrs)] += 1

    def handle_comment(self, data: str) -> None:
        self.found["!--",] += 1


def elements(page: str) -> Counter[tuple[str, ...]]:
    parser = _Elements()
    parser.feed(page)
    parser.close()
    return parser.found


@cache
def harmless(name: str) -> Counter[tuple[str, ...]]:
    """The elements of a page of harmless texts."""
    return elements(PAGES[name]("plain"))


def page(case: tuple[str, str], folder: Path) -> None:
    name, said = case
    html = PAGES[name](said)
    write_page(folder / "a.html", html)
    assert POLICY in (folder / "a.html").read_text(encoding="utf-8")
    # of a blank name a chart draws nothing: fewer elements are no fault
    assert not elements(html) - harmless(name), "a text became markup"


TARGETS = (
    Target(
        "pages", st.tuples(st.sampled_from(sorted(PAGES)), texts(6, False).map(lambda t: t or "x")), page, share=0.2
    ),
)
