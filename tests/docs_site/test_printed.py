"""How outputs shown in docs/ are compared; each comparison is in the room of its command (`printed.WORLDS`)."""

from tests.docs_site.printed import BLOCK, MARK, WORLDS, alike, matches, shown_in, text_of
from tests.stages import ROOT

PAGES = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]


def test_every_block_that_is_marked_is_compared_somewhere() -> None:
    assert {shown.world for page in PAGES for shown in shown_in(page)} == WORLDS.keys()
    assert all(f"\n{text_of(page)}".count(f"\n{MARK}") == len(BLOCK.findall(text_of(page))) for page in PAGES)
    for world, test in WORLDS.items():
        assert f'"{world}"' in (ROOT / test).read_text("utf-8")


def test_a_word_a_line_or_their_order_makes_a_difference_and_a_figure_does_not() -> None:
    shown = alike(f"gain +1.3 [+0.0, +3.8]\n…\nentry 2 of text_{'0a' * 12} at 2026-11-29T01:02:03Z")
    last = f"entry 9 of text_{'b1' * 12} at 2027-01-01T00:00:00Z"
    assert matches(shown, alike(f"gain -10 [-2, 4.5]\nmore\nand more\n{last}"))
    assert not matches(shown, alike(f"loss -10 [-2, 4.5]\n{last}"))
    assert not matches(shown, alike("gain 1 [2, 3]"))
    assert not matches(alike("a\nb"), alike("b\na"))
