"""The watched run's page in a real Chromium: hostile texts in all fields are text, all widths, by keyboard, and when
the watcher ends.

make browser
"""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compeffdist.watch.server import WatchServer
from compeffdist.watch.state import Watcher
from tests.browser.test_pages import ATTACKS, LONG, WIDTHS, chromium

__all__ = ["chromium"]
pytestmark = pytest.mark.browser
STATES = ("done", "running", "ended", "failed", "stale", "waiting")


def full(text: str) -> dict[str, Any]:
    """A state with every part there is, and a text of others wherever one may stand."""
    work = {
        "label": text,
        "done": 3,
        "total": 9,
        "per_second": 0.5,
        "tokens_per_second": 120.0,
        "left": 12.0,
        "silent": 40.0,
    }
    stages = [
        {"name": state, "description": text, "state": state, "why": text, "since": None, "seconds": 65.0, "work": None}
        for state in STATES
    ]
    stages[1] |= {"since": 1.0, "work": work}
    spent = {"answers": 1, "failures": 0, "seconds": 2.0, "calls": {"spent": 7, "bound": 50}}
    spent |= {"tokens": {"spent": 9, "bound": None}, "money": {"spent": None, "bound": 9.5}}
    had = {"earlier": True, "store": 1, "recorded": 2, "bought": 3, "failures": 4}
    rejected = {
        "stage": text,
        "earlier": True,
        "count": 2,
        "reasons": [{"reason": text, "count": 2}],
        "more_reasons": 1,
    }
    gates = [
        {"gate": text, "state": state, "expectations": 2, "broken": 1, "lines": [text], "page": page}
        for state, page in (
            ("passed", "report/gates/texts.html"),
            ("warned", text),
            ("failed", None),
            ("waiting", None),
        )
    ]
    return {
        "checkout": text,
        "at": 100.0,
        "headline": text,
        "run": {"process": 1, "on": True, "since": 1.0, "last": 2.0},
        "stages": stages,
        "spending": {"currency": text[:20], "run": spent, "total": spent, "by_stage": []},
        "answers": [{"at": text, "question": text, "answer": text, "logprob": -0.5}],
        "sources": [{"stage": text, **had}],
        "left_out": [rejected | {"latest": [{"record_id": text, "reason": text, "detail": text}]}],
        "gates": gates,
        "curve": {"stage": text, "live": True, "points": [[1, 2.5], [2, 1.5], [40, 0.5]]},
        "report": "report/index.html",
        "faults": [text],
    }


class Told(Watcher):
    """Says what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.told = full("plain")

    def state(self) -> dict[str, Any]:
        return self.told


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchServer]:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {check_texts: {cmd: x, outs: [report/gates/texts.html]}}")
    with WatchServer(Told()) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def opened(chromium: Any, server: WatchServer, width: int = 800) -> tuple[Any, list[str]]:
    page, alarms = chromium.new_page(viewport={"width": width, "height": 900}), list[str]()
    page.on("console", lambda message: alarms.append(message.text))
    page.on("pageerror", lambda error: alarms.append(str(error)))
    page.on("dialog", lambda dialog: (alarms.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda asked: asked.url.startswith(server.address) or alarms.append(asked.url))
    page.goto(server.address)
    page.locator("#stages tr").first.wait_for()  # its policy forbids what waits for an expression
    return page, alarms


@pytest.mark.parametrize("text", ATTACKS)
def test_whatever_others_wrote_is_text(chromium: Any, server: WatchServer, text: str) -> None:
    server.watcher.told = full(text)  # type: ignore[attr-defined]
    page, alarms = opened(chromium, server)
    try:
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        seen = page.evaluate("document.body.textContent")
        assert seen.count(text) >= 15, "it is not shown"
        assert page.evaluate("window.OWNED") is None and alarms == []
        strange = "script:not(:last-of-type),img,iframe,base,form,meta[http-equiv=refresh],link,[onload],[onerror]"
        assert page.evaluate(f"document.querySelectorAll({json.dumps(strange)}).length") == 0
        links = page.evaluate("[...document.querySelectorAll('a')].map(one => one.getAttribute('href'))")
        assert sorted(links) == ["report/gates/texts.html", "report/index.html"]
    finally:
        page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_as_wide_as_its_window(chromium: Any, server: WatchServer, width: int) -> None:
    server.watcher.told = full(LONG)  # type: ignore[attr-defined]
    page, _ = opened(chromium, server, width)
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0
    page.close()


def test_an_opened_part_stays_open_and_the_state_line_alone_is_announced(chromium: Any, server: WatchServer) -> None:
    page, alarms = opened(chromium, server)
    page.focus("summary")
    page.keyboard.press("Enter")
    told = full("plain")
    told["stages"][1]["work"]["done"] = 8
    told["left_out"][0]["count"] = 3
    server.watcher.told = told  # type: ignore[attr-defined]
    page.locator("#now-work", has_text="8 of 9").wait_for()
    page.locator("summary", has_text="plain: 3").wait_for()
    assert page.evaluate("document.querySelector('details').open") and alarms == []
    live = page.evaluate("[...document.querySelectorAll('[aria-live]')].map(one => one.textContent)")
    assert live == ["plain"]
    page.close()


def test_when_the_watcher_ends_the_page_says_so(chromium: Any, server: WatchServer) -> None:
    page, _ = opened(chromium, server)
    assert page.is_hidden("#gone")
    server.shutdown()
    server.server_close()
    page.wait_for_selector("#gone", state="visible", timeout=60_000)
    page.close()
