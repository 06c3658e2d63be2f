"""The documentation's site in a real Chromium, opened as files: nothing fetched, all of it fits, the search finds.

make browser
"""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_pages import LONGEST, WIDTHS, chromium
from tests.docs_site.test_build import built, copy

__all__ = ["chromium", "copy"]

pytestmark = pytest.mark.browser


@pytest.fixture
def site(copy: Path) -> Path:
    code, said = built(copy)
    assert code == 0, said
    return copy / "build/site"


def test_pages_fetch_nothing_say_nothing_and_fit(chromium: Any, site: Path) -> None:
    asked: list[str] = []
    alarms: list[str] = []
    wide: list[tuple[str, int]] = []
    for width in WIDTHS:
        context = chromium.new_context(viewport={"width": width, "height": 900})
        context.set_default_timeout(1000 * LONGEST)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: alarms.append(message.text))
        page.on("pageerror", lambda error: alarms.append(str(error)))
        for file in sorted(set(site.rglob("*.html")) - {site / "404.html"}):
            page.goto(file.as_uri())
            page.wait_for_function("document.documentElement.classList.contains('js')")
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append((file.name, width))
        context.close()
    assert [url for url in asked if not url.startswith((site.as_uri(), "data:", "blob:", "about:"))] == []
    assert alarms == [] and wide == []


def test_the_search_finds_a_param_from_the_file_system(chromium: Any, site: Path) -> None:
    page = chromium.new_page()
    page.goto(f"{(site / 'index.html').as_uri()}?q=preference_percentile")
    found = page.locator(".md-search-result__item a[href*='reference/params.html']")
    found.first.wait_for(state="attached", timeout=1000 * LONGEST)
    page.close()
