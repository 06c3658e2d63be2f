"""Every page in a real Chromium, hostile texts in all fields: no script runs, nothing is fetched, all of it fits.

make browser
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compeffdist.pages import POLICY, document, write_page
from compeffdist.report.page import render
from tests.fuzz.hostile import FRAGMENTS
from tests.fuzz.targets.pages import PAGES
from tests.report.making import make_run

pytestmark = pytest.mark.browser

LONGEST = 300
"""Seconds: a loaded machine is slow, not wrong."""
WIDTHS = (390, 800, 1400)
ATTACKS = (
    "<script>window.OWNED=1</script>",
    '"><script>window.OWNED=1</script>',
    "'><img src=http://evil.invalid/x.png onerror=window.OWNED=1>",
    "</title></style></textarea><svg onload=window.OWNED=1>",
    '<iframe src="http://evil.invalid/"></iframe><link rel=stylesheet href=http://evil.invalid/x.css>',
    '" style="background:url(http://evil.invalid/)" onmouseover="window.OWNED=1',
    '<meta http-equiv=refresh content="0;url=http://evil.invalid/"><base href=http://evil.invalid/>',
    "<form action=http://evil.invalid/><button autofocus onfocus=alert(1)>",
    "javascript:alert(1) ]]>--><!--",
    "".join(part for part in FRAGMENTS if not any("\ud800" <= c <= "\udfff" for c in part)),
)
LONG = "Donaudampfschifffahrtsgesellschaft" * 12


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if program is None:
        pytest.fail("no Chromium: install it (Debian: apt-get install chromium), or name its program in CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Opened:
    """A page as a browser shows it, and what it tried to do."""

    def __init__(self, chromium: Any, path: Path, width: int = 800) -> None:
        self.requests: list[str] = []
        """But for the page itself."""
        self.alarms: list[str] = []
        """What the console says, and dialogs."""
        context = chromium.new_context(viewport={"width": width, "height": 900})
        context.set_default_timeout(1000 * LONGEST)
        try:
            page = context.new_page()
            page.on("console", lambda message: self.alarms.append(message.text))
            page.on("pageerror", lambda error: self.alarms.append(str(error)))
            page.on("dialog", self._dismiss)
            address = path.absolute().as_uri()

            def gate(route: Any) -> None:
                if route.request.url == address:
                    route.continue_()
                else:
                    self.requests.append(route.request.url)
                    route.abort()

            context.route("**/*", gate)
            page.goto(address, wait_until="load")
            page.mouse.move(width / 2, 200)
            page.wait_for_timeout(100)
            self.owned = page.evaluate("window.OWNED")
            self.elements = page.evaluate("[...document.querySelectorAll('*')].map(e => e.localName)")
            root = "document.documentElement"
            self.overflow = page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
        finally:
            context.close()

    def _dismiss(self, dialog: Any) -> None:
        self.alarms.append(dialog.message)
        dialog.dismiss()


def opened(chromium: Any, path: Path, html: str, width: int = 800) -> Opened:
    write_page(path, html)
    return Opened(chromium, path, width)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_no_script_runs_and_nothing_is_fetched(chromium: Any, tmp_path: Path, name: str) -> None:
    plain = opened(chromium, tmp_path / "plain.html", PAGES[name]("plain"))
    for number, attack in enumerate(ATTACKS):
        html = PAGES[name](attack)
        (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
        assert re.fullmatch(re.escape(POLICY) + r"(; script-src( 'sha256-[\w+/=]+')+)?", policy)
        seen = opened(chromium, tmp_path / f"{number}.html", html)
        assert (seen.owned, seen.requests, seen.alarms) == (None, [], []), attack
        # names may break (wbr); of a blank one a chart draws nothing
        more = Counter(seen.elements) - Counter(plain.elements)
        assert not more.keys() - {"wbr"}, attack


def test_each_row_is_in_one_bin_of_difficulty(chromium: Any, tmp_path: Path) -> None:
    run = make_run()
    ends = [draw.difficulty for draw in run.draws]
    for values in ([0.3, 0.6, 0.7], [0.1, 0.9, 1.0], [-2.0, 0.5, 7.3], ends):
        draws = [replace(draw, id="", difficulty=one) for draw, one in zip(run.draws, values, strict=True)]
        write_page(tmp_path / "a.html", render(replace(run, draws=draws)))
        page = chromium.new_page()
        page.goto((tmp_path / "a.html").absolute().as_uri())
        found: Counter[str] = Counter()
        for option in page.query_selector_all("select[name=difficulty] option")[1:]:
            page.select_option("select[name=difficulty]", option.get_attribute("value"))
            page.wait_for_timeout(50)
            low, high = map(float, option.inner_text().split(" to "))
            shown = re.findall(r"difficulty (\S+)", " ".join(page.locator("ol.rows li").all_inner_texts()))
            assert all(low - 0.05 <= float(one) <= high + 0.05 for one in shown)
            found.update(shown)
        page.close()
        assert found == Counter(f"{one:.3f}" for one in values)


def test_rows_are_found_by_words_and_by_what_is_chosen_and_one_tells_where_it_comes_from(
    chromium: Any, tmp_path: Path
) -> None:
    run = make_run("plain")
    write_page(tmp_path / "a.html", render(run))
    page = chromium.new_page()
    page.goto((tmp_path / "a.html").absolute().as_uri())

    def shown() -> list[str]:
        page.wait_for_timeout(300)
        responses: list[str] = page.locator("ol.rows .response").all_inner_texts()
        return responses

    hardest_first = ["plain 1", "plain 2", "plain 0"]
    assert shown() == hardest_first
    page.fill("input[name=words]", "Plain 2")
    assert shown() == ["plain 2"]
    page.fill("input[name=words]", "of no row")
    assert shown() == [] and page.inner_text("#row-count") == "No row fits."
    page.fill("input[name=words]", "")
    page.select_option("select[name=kept]", "0")
    assert shown() == ["plain 0"]
    page.select_option("select[name=kept]", "")
    page.select_option("select[name=label]", "plain 1")
    assert shown() == ["plain 1"]
    page.select_option("select[name=label]", "")
    page.select_option("select[name=order]", "1")
    assert shown() == hardest_first[::-1]
    first = page.locator("ol.rows li").first
    first.locator("summary").press("Enter")  # by the keyboard
    (triplet,) = (one for one in run.triplets if one.response == "plain 0")
    text = run.texts[0]
    told = first.inner_text()
    assert f"source {text.source}, row {text.source_row} → perspective plain → task tone → response plain 0" in told
    assert f"compeffdist trace {triplet.id}" in told
    page.close()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_short_word_is_never_broken_over_lines(chromium: Any, tmp_path: Path, name: str) -> None:
    """At the narrowest width: each word of up to 12 letters in running text and tables has one line box."""
    write_page(tmp_path / "a.html", PAGES[name]("plain"))
    page = chromium.new_page(viewport={"width": WIDTHS[0], "height": 900})
    page.goto((tmp_path / "a.html").absolute().as_uri())
    broken = page.evaluate(
        """() => {
          const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            if (node.parentElement.closest('svg, script, style, pre, .ids')) continue;
            for (const word of node.data.matchAll(/\\p{L}{2,12}/gu)) {
              const range = document.createRange();
              range.setStart(node, word.index);
              range.setEnd(node, word.index + word[0].length);
              const tops = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
              if (tops.size > 1) found.push(word[0]);
            }
          }
          return found;
        }"""
    )
    page.close()
    assert broken == []


def test_a_script_that_got_into_a_page_would_be_seen(chromium: Any, tmp_path: Path) -> None:
    html = document("t", ATTACKS[:3]).replace(POLICY, "script-src 'unsafe-inline'")
    seen = opened(chromium, tmp_path / "a.html", html)
    assert seen.owned == 1 and seen.requests == ["http://evil.invalid/x.png"]


def test_the_policy_holds_back_what_a_page_did_not_escape(chromium: Any, tmp_path: Path) -> None:
    seen = opened(chromium, tmp_path / "a.html", document("t", ATTACKS[:6]))
    assert seen.owned is None and not seen.requests
    assert any("Content Security Policy" in alarm for alarm in seen.alarms)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_as_wide_as_its_window(chromium: Any, tmp_path: Path, name: str, width: int) -> None:
    assert opened(chromium, tmp_path / "a.html", PAGES[name](LONG), width).overflow <= 0
