"""The page in a browser: nothing of a user's text acts, the same run is the same bytes, and everybody can read it."""

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from compeffdist.report import rows
from compeffdist.report.page import CONTENTS, render
from compeffdist.report.rows import payload, rows_table, write_rows
from compeffdist.report.run import Run
from compeffdist.report.script import SCRIPTS
from compeffdist.svg import WIDTH, Chart, short
from tests.factories import make_draw, make_perspective, make_score, make_text, make_triplet
from tests.report.making import HOSTILE, answered, make_run


@pytest.fixture
def run() -> Run:
    return make_run()


class Elements(HTMLParser):
    """Every start tag of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def shown(page: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page)[0])
    return found


def test_nothing_a_user_or_teacher_wrote_is_markup(run: Run) -> None:
    page = render(run)
    elements = Elements(page)
    assert not elements.of("img") and len(elements.of("script")) == 1 + len(SCRIPTS)
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    links = {attributes["href"] for attributes in elements.of("a")}
    assert links == {"gates/sample.html", "difficulty.html", *(f"#{name}" for name in CONTENTS)}
    assert all((attributes["href"] or "").startswith("#") for attributes in elements.of("use"))
    assert not re.findall(r"url\((?!#)|@import", page.partition("<body>")[0])


def test_the_policy_lets_our_scripts_run_and_no_other(run: Run) -> None:
    page = render(run)
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)[0]
    assert "default-src 'none'" in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"script-src ([^;]*)", policy) == [" ".join(f"'sha256-{digest}'" for digest in digests)]


def test_scripts_set_text_as_text() -> None:
    for script in SCRIPTS:
        assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|fetch|import", script)


def test_the_same_run_is_the_same_bytes(run: Run, tmp_path: Path) -> None:
    assert render(run) == render(make_run())
    for name in ("a", "b"):
        write_rows(run, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_ids_are_unique_and_every_section_is_reached_from_the_top(run: Run) -> None:
    elements = Elements(render(run))
    ids = Counter(attributes["id"] for _, attributes in elements.found if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    assert {*CONTENTS} <= set(ids)


def test_a_screen_reader_is_told_what_figures_tables_and_fields_are(run: Run) -> None:
    page = render(run)
    elements = Elements(page)
    assert len(elements.of("h1")) == 1
    assert all(attributes.get("aria-label") for attributes in elements.of("svg"))
    assert len(elements.of("svg")) == len(elements.of("figure")) == len(elements.of("figcaption"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in elements.of("th"))
    assert page.count("<label>") == len(elements.of("input")) + len(elements.of("select"))


def test_rows_are_there_from_hard_to_easy_with_their_ids(run: Run) -> None:
    data = shown(render(run))
    assert [row[3] for row in data["rows"]] == [0.9, 0.5, 0.1]
    assert [row[5] for row in data["rows"]] == [1, 1, 0]
    assert {row[6] for row in data["rows"]} == {triplet.id for triplet in run.triplets}
    assert data["texts"][0][:2] == [run.texts[0].id, HOSTILE]
    assert data["rows"][0][2].startswith(HOSTILE)


def test_what_was_predicted_is_counted_but_no_row(run: Run) -> None:
    predicted = [replace(run.draws[0], id="", pair_id=f"pair_p{n}", triplet_id="", kept=n == 0) for n in range(4)]
    page = render(replace(run, draws=[*run.draws, *predicted]))
    assert "4 more were sampled by a predicted difficulty" in page
    assert len(shown(page)["rows"]) == 3


def test_a_page_of_many_rows_is_bounded_and_the_file_beside_it_has_them_all(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROOM", 100_000)
    texts = [make_text(f"text {number} {'слово ' * 15}") for number in range(1200)]
    triplets = [make_triplet(run.instructions[0], text) for text in texts]
    scored = [make_score(triplet, place / len(triplets)) for place, triplet in enumerate(triplets)]
    draws = [make_draw(score, place % 2 == 0) for place, score in enumerate(scored)]
    large = replace(run, texts=texts, triplets=list(map(answered, triplets)), scored=len(scored), draws=draws)
    data, count = payload(large)
    in_page = json.loads(data)["rows"]
    assert len(data.encode()) <= 100_000 and len(in_page) == count
    assert len(data.encode()) > 50_000, "a page that leaves most of its room empty leaves out too much"
    assert abs(sum(row[3] for row in in_page) / count - 0.5) < 0.01, "evenly from hard to easy"
    assert rows_table(large).num_rows == len(triplets)


def test_the_file_of_rows_has_whole_texts_and_every_id(run: Run, tmp_path: Path) -> None:
    write_rows(run, tmp_path / "rows.parquet")
    found = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [row["difficulty"] for row in found] == [0.9, 0.5, 0.1]
    assert found[0]["text"] == HOSTILE and found[0]["kept"] is True
    assert {row["triplet_id"] for row in found} == {triplet.id for triplet in run.triplets}


@pytest.mark.parametrize(
    "name", ["$x^2$", r"$\frac$", ' style="fill:red" id="x"', "</text><script>", "a\nb\x00", "3.14159265", "\u202eabc"]
)
def test_a_strange_name_in_a_chart_is_text(name: str) -> None:
    with Chart(60) as chart:
        chart.axes().text(0.1, 0.5, short(name))
        svg = chart.figure("one", "A chart", "With a name.")
    elements = Elements(svg)
    assert not elements.of("script")
    [told] = re.findall(r"<text [^>]*>([^<]*)</text>", svg.partition("</g>\n</svg>")[0].replace("\n", " "))[-1:]
    assert told.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == short(name)


def test_a_chart_has_no_inline_style_and_fits_a_phone() -> None:
    with Chart(60) as chart:
        chart.axes().plot([1, 2], [3, 4])
        svg = chart.figure("one", "A chart", "With a line.")
    assert "style=" not in svg and "<style" not in svg and "xlink" not in svg
    assert f'viewBox="0 0 {WIDTH} 60"' in svg


def test_hovering_over_the_map_tells_the_members_of_a_perspective(run: Run) -> None:
    perspective = make_perspective("love", "romance", HOSTILE)
    places = dict(zip(perspective.member_ids, [(0.0, 0.0), (1.0, 1.0), (-1.0, 1.0)], strict=True))
    page = render(replace(run, perspectives=[perspective], places=places))
    titles = re.findall(r'<g data-mark="\d+"><title>([^<]*)</title><(?:use|path)', page)
    assert len(titles) == 3
    assert titles[1].startswith("romance (3): perspective love: love (3), romance (3), &lt;script")
