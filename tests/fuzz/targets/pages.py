"""Pages: whatever is put into them is text. A page of hostile texts has the elements of one of harmless texts."""

import tempfile
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from compeffdist.exchange.questions import REPLAYS
from compeffdist.gates.outcome import Distribution, Finding, Outcome
from compeffdist.gates.page import render as render_gate
from compeffdist.measures.registry import RANKING
from compeffdist.pages import POLICY, write_page
from compeffdist.report.page import render as render_report
from compeffdist.report.run import Run
from compeffdist.study.findings import Study
from compeffdist.study.labels import Judgement
from compeffdist.study.measures import Agreement, correlations, decile_figures, read_scores
from compeffdist.study.page import render as render_study
from tests.factories import (
    make_draw,
    make_instruction,
    make_perspective,
    make_score,
    make_task,
    make_text,
    make_triplet,
    write_scored,
)
from tests.fuzz.hostile import texts
from tests.fuzz.hunting import Target
from tests.models.making import make_identity

INTERVAL = {"estimate": 0.5, "low": 0.4, "high": 0.6}
SCORES = {
    "macro_f1": dict.fromkeys(("teacher", "base", "student"), INTERVAL),
    "student_minus_base": INTERVAL,
    "student_minus_teacher": INTERVAL,
}


def report_page(said: str) -> str:
    """The run's page, `said` in every field that a user, a teacher or a model's maker fills."""
    text = make_text(said)
    perspective = make_perspective(said, "rage")
    tasks = [make_task("open_classification", name=said, perspective_id=of) for of in (perspective.id, "")]
    instructions = [make_instruction(task, prompt=said) for task in tasks]
    triplet = make_triplet(instructions[0], text, response=said)
    score = make_score(triplet, 0.5)
    account = {"in": 5, "out": 3, "rejected": 2, "reasons": {said: 2}}
    usage = {
        "answers": {"used": 4, "prompt_tokens": 100, "cached_tokens": 60, "completion_tokens": 7},
        "this_run": {"store": 1, "recorded": 1200, "bought": 3},
    }
    tags = {"profile": said}
    expectations = [{"name": said, "passed": False}]
    return render_report(
        Run(
            models={role: make_identity(role, role, reference=said, licence=said) for role in ("teacher", "student")},
            metrics={stage: {"records": account, "teacher": usage} for stage in REPLAYS},
            gates={"sample": {"passed": False, "action": "warn", "expectations": expectations}},
            evaluation={"confidence": 0.95, "tasks": {said: {"rows": 40, **SCORES}}, "mean": SCORES},
            registration={"model_name": said, "version": 1, "alias": "candidate", "tags": tags},
            perspectives=[perspective],
            instructions=instructions,
            texts=[text],
            triplets=[triplet],
            scored=[score],
            draws=[make_draw(score)],
        )
    )


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


PAGES: Mapping[str, Callable[[str], str]] = {"report": report_page, "gate": gate_page, "study": study_page}
"""Every page that is written, with a text in all of its fields."""


class _Elements(HTMLParser):
    """The elements of a page and the attributes of each, its texts apart."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = tuple((name, None if name == "aria-label" else value) for name, value in attrs)
        self.found.append((tag, kept))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", ()))

    def handle_comment(self, data: str) -> None:
        self.found.append(("!--", ()))


def elements(page: str) -> list[Any]:
    parser = _Elements()
    parser.feed(page)
    parser.close()
    return parser.found


def page(case: tuple[str, str], folder: Path) -> None:
    name, said = case
    html = PAGES[name](said)
    write_page(folder / "a.html", html)
    assert POLICY in (folder / "a.html").read_text(encoding="utf-8")
    assert elements(html) == elements(PAGES[name]("plain")), "a text became markup"


TARGETS = (
    Target(
        "pages", st.tuples(st.sampled_from(sorted(PAGES)), texts(6, False).map(lambda t: t or "x")), page, share=0.2
    ),
)
