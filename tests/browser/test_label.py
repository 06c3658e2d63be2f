"""A sheet labelled in a real Chromium: by keyboard and mouse, hostile texts in all rows, and no request leaves.

make browser
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compeffdist.labelling.server import LabelServer
from compeffdist.labelling.sheet import Sheet
from tests.browser.test_pages import ATTACKS, LONG, LONGEST, WIDTHS, chromium
from tests.labelling.labelled import write_rows
from tests.local_pages import serving

__all__ = ["chromium"]
pytestmark = pytest.mark.browser


class Opened:
    """The page of a sheet, and what it tried to do beside asking its server."""

    def __init__(self, chromium: Any, path: Path, address: str, width: int = 800) -> None:
        self.path, self.alarms = path, list[str]()
        self.page = page = chromium.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(1000 * LONGEST)
        page.on("console", lambda message: self.alarms.append(message.text))
        page.on("pageerror", lambda error: self.alarms.append(str(error)))
        page.on("dialog", lambda dialog: (self.alarms.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda asked: asked.url.startswith(address) or self.alarms.append(asked.url))
        page.goto(address)
        self.expect("Row")

    def press(self, key: str, said: str) -> None:
        """Press a key, and wait for what is said of it."""
        self.page.keyboard.press(key)
        self.expect(said)

    def expect(self, said: str) -> None:
        self.page.locator("#said", has_text=said).wait_for()

    def text(self, name: str) -> str:
        return str(self.page.text_content(f"#{name}"))

    @property
    def labels(self) -> list[str]:
        """What the file has."""
        with self.path.open(encoding="utf-8-sig", newline="") as stream:
            return [row["difficulty"] for row in csv.DictReader(stream)]


@pytest.fixture
def texts() -> list[str]:
    return ["one", "two", "three", "four"]


@pytest.fixture
def opened(chromium: Any, tmp_path: Path, texts: list[str]) -> Iterator[Opened]:
    path = write_rows(tmp_path / "sheet.csv", texts)
    with serving(LabelServer(Sheet(path))) as address:
        found = Opened(chromium, path, address)
        yield found
        found.page.close()


@pytest.mark.parametrize("texts", [list(ATTACKS)])
def test_the_keyboard_labels_rows_of_hostile_texts_and_no_request_leaves(opened: Opened, texts: list[str]) -> None:
    page, sheet = opened.page, Sheet(opened.path)
    plain: set[str] = set()
    for place in range(len(texts)):
        shown = opened.text("parts")
        assert all(part["text"] in shown for part in (sheet.row(place) or {})["parts"])
        plain |= set(page.evaluate("[...document.querySelectorAll('#parts *')].map(one => one.localName)"))
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        last = place == len(texts) - 1
        opened.press("3", "All rows are labelled" if last else f"Row {place + 2} of {len(texts)}")
        assert opened.labels == ["3"] * (place + 1) + [""] * (len(texts) - place - 1)
    assert plain <= {"p", "h3", "details", "summary"}
    assert page.evaluate("window.OWNED") is None and opened.alarms == []


def test_keys_go_on_and_back_clear_and_jump(opened: Opened) -> None:
    opened.press("2", "Row 1: labelled 2. Row 2 of 4.")
    opened.press("j", "Row 3 of 4.")
    opened.press("5", "Row 3: labelled 5. Row 4 of 4.")
    opened.press("ArrowRight", "This is the last row.")
    opened.press("n", "Row 2 of 4.")
    opened.press("ArrowLeft", "Row 1 of 4, labelled 2.")
    opened.press("k", "This is the first row.")
    assert opened.text("count") == "2 of 4 labelled, 2 left"
    opened.press("4", "Row 1: labelled 4.")  # a label that is put right stays in view
    assert opened.text("place").startswith("Row 1 of 4") and opened.labels == ["4", "", "5", ""]
    pressed = opened.page.locator("[aria-pressed=true]")
    assert pressed.count() == 1 and pressed.text_content() == "4"
    opened.press("u", "Row 1: no label.")
    assert opened.labels == ["", "", "5", ""] and pressed.count() == 0
    opened.page.keyboard.press("6")
    opened.page.keyboard.press("Control+3")
    opened.press("J", "Row 2 of 4.")
    assert opened.labels == ["", "", "5", ""] and opened.alarms == []


def test_a_key_that_is_held_down_is_one_label(opened: Opened) -> None:
    opened.page.keyboard.down("3")
    opened.expect("Row 2 of 4")
    for _ in range(5):
        opened.page.keyboard.down("3")  # as it repeats
    opened.page.keyboard.up("3")
    opened.press("j", "Row 3 of 4.")
    assert opened.labels == ["3", "", "", ""]


def test_keys_can_be_switched_off_and_the_mouse_labels(opened: Opened) -> None:
    opened.page.uncheck("#keys")
    opened.page.keyboard.press("3")
    opened.page.click("#choices button:nth-child(5)")
    opened.expect("Row 1: labelled 5. Row 2 of 4.")
    opened.page.click("#back")
    opened.expect("Row 1 of 4, labelled 5.")
    opened.page.click("#clear")
    opened.expect("Row 1: no label.")
    opened.page.click("#open")
    opened.expect("Row 2 of 4.")
    assert opened.labels == [""] * 4


def test_loaded_again_it_begins_at_the_first_row_without_a_label(opened: Opened) -> None:
    opened.press("2", "Row 2 of 4.")
    opened.page.reload()
    opened.expect("Row 2 of 4.")
    assert opened.text("place") == "Row 2 of 4 · no label yet"


def test_a_sheet_that_changed_is_not_written_to_and_what_is_lost_can_be_given_again(opened: Opened) -> None:
    before = opened.path.read_bytes()
    opened.press("2", "Row 2 of 4.")
    opened.path.write_bytes(before.replace(b'"three",""', b'"three","1"'))
    opened.page.keyboard.press("4")
    opened.page.wait_for_selector("#refused", state="visible")
    assert "was changed by another program" in opened.text("why") and opened.labels == ["", "", "1", ""]
    opened.page.click("#anew")
    opened.page.wait_for_selector("#lost", state="visible")
    assert opened.page.is_hidden("#refused") and "row 1 (2)" in opened.text("which")
    opened.page.click("#again")
    opened.expect("They are in the sheet again.")
    assert opened.page.is_hidden("#lost") and opened.labels == ["2", "", "1", ""]
    opened.press("n", "Row 2 of 4.")
    opened.press("5", "Row 4 of 4.")
    assert opened.labels == ["2", "5", "1", ""]


def test_who_comes_back_from_a_spreadsheet_is_told_before_the_next_label(opened: Opened) -> None:
    opened.path.write_bytes(opened.path.read_bytes().replace(b'"one",""', b'"one","1"'))
    opened.page.evaluate("dispatchEvent(new Event('focus'))")
    opened.page.wait_for_selector("#refused", state="visible")
    opened.page.click("#anew")
    opened.expect("Row 2 of 4.")


@pytest.mark.parametrize("width", [320, *WIDTHS])
@pytest.mark.parametrize("texts", [[LONG, "two"]])
def test_it_is_as_wide_as_its_window(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 900})
    root = "document.documentElement"
    assert opened.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") <= 0
    assert opened.page.locator("#choices button").first.is_visible()


def test_what_is_done_is_announced_once_and_every_button_has_a_name(opened: Opened) -> None:
    assert opened.page.evaluate("document.querySelectorAll('[aria-live]').length") == 1
    opened.page.get_by_role("button", name="1, anyone would at once").click()
    opened.expect("Row 2 of 4.")
    for name in ("Back", "Next", "Next unlabelled", "Clear"):
        assert opened.page.get_by_role("button", name=name, exact=True).is_visible()
    assert opened.page.get_by_role("group", name="How hard is it to answer so?").is_visible()


def test_when_the_server_ends_the_page_says_so(chromium: Any, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "sheet.csv")
    with serving(LabelServer(Sheet(path))) as address:
        found = Opened(chromium, path, address)
    found.page.keyboard.press("3")
    found.page.wait_for_selector("#gone", state="visible")
    assert found.labels == ["", "", ""]
    found.page.close()
