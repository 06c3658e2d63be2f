"""How outputs shown in docs/ are found, compared and written; each comparison is in the room of its command."""

import pytest

from docs_site import outputs
from docs_site.outputs import Block, Shown, blocks
from tests.stages import ROOT

ALL = [block for page in outputs.pages() for block in blocks(page, outputs.text_of(page))]
TABLE = ["| name | rows | gain [95%] |", "|---|---|---|", "| movies | 3 | +1 [0, 2] |", "| 1-5 | 3 | - |"]


def test_every_block_that_may_show_an_output_is_compared_or_named_with_the_reason() -> None:
    silent = [
        f"docs/{block.page}: line {block.start + 1}"
        for block in ALL
        if not block.world and block.language not in outputs.WITHOUT_OUTPUT and not outputs.is_uncompared(block)
    ]
    assert silent == [], "mark them, or tell in docs_site/outputs.py why not"
    typed = [block for block in ALL if not block.world and any(line.startswith("$ ") for line in block.lines)]
    assert [block for block in typed if not outputs.is_uncompared(block)] == []
    assert all(block.shown for block in ALL if block.world)


def test_every_reason_not_to_compare_is_that_of_a_block() -> None:
    for page, beginning in outputs.UNCOMPARED:
        assert [block for block in ALL if block.page == page and block.lines[0].startswith(beginning)]


def test_every_world_is_shown_somewhere_and_run_by_its_test() -> None:
    assert {block.world for block in ALL if block.world} == outputs.WORLDS.keys()
    for world, test in outputs.WORLDS.items():
        assert f'"{world}"' in (ROOT / test).read_text("utf-8")


def test_a_word_a_line_or_their_order_makes_a_difference_and_what_is_of_one_run_does_not() -> None:
    shown = f"gain +1.3 [+0.0, +3.8]\n…\nentry 2 of text_{'0a' * 12} at 2026-11-29T01:02:03Z"
    last = f"entry 2 of text_{'b1' * 12} at 2027-01-01T00:00:00Z"
    assert outputs.matches(shown, f"gain +1.3 [+0.0, +3.8]\nmore\nand more\n{last}", "output")
    assert not outputs.matches(shown, f"gain +1.4 [+0.0, +3.8]\n{last}", "output")
    assert outputs.matches(shown, f"gain -10 [-2, 4.5]\n{last.replace('2 of', '9 of')}", "shape")
    for kind in ("output", "shape"):
        assert not outputs.matches(shown, f"loss +1.3 [+0.0, +3.8]\n{last}", kind)
        assert not outputs.matches(shown, "gain +1.3 [+0.0, +3.8]", kind)
        assert not outputs.matches(shown, f"gain +1.3 [+0.0, +3.8]\n{last.replace('text_', 'task_')}", kind)
        assert not outputs.matches("a\nb", "b\na", kind)


def test_what_is_shown_anew_keeps_its_cuts_if_it_is_the_same_but_for_one_run_s_own() -> None:
    shown = f"a text_{'0a' * 12}\n│ …\nb\n…"
    printed = f"a text_{'b1' * 12}\nmore\nmore\nb\nend"
    assert outputs.refreshed(shown, printed) == f"a text_{'b1' * 12}\n│ …\nb\n…"
    assert outputs.refreshed("a\n…\nc", printed) == printed


def test_a_table_s_columns_and_named_rows_are_those_of_a_printed_one() -> None:
    printed = "\n".join(["of what", *TABLE, "| tweets | 5 | - |", "", "| other | gain |", "|---|---|", "| films | 2 |"])
    assert outputs.table_matches(TABLE, printed)
    assert outputs.table_matches(["| name | gain [90%] |", "|---|---|", "| tweets | 1 |"], printed)
    assert not outputs.table_matches(["| name | loss |", "|---|---|"], printed)
    assert not outputs.table_matches(["| name | gain [95%] |", "|---|---|", "| films | 2 |"], printed)


def test_a_mark_is_of_the_fence_or_table_right_below_it() -> None:
    text = "\n".join(
        ["<!-- shape: w: a b -->", *TABLE, "", "<!-- output: v -->", "```", "$ c  # d", "e", "```", "```sh", "```"]
    )
    table, fence, other = blocks("p.md", text)
    assert (table.kind, table.world, table.shown) == ("shape", "w", [Shown("a b", "\n".join(TABLE))])
    assert (fence.kind, fence.world, fence.shown) == ("output", "v", [Shown("c  # d", "e")])
    assert (other.world, other.language) == ("", "sh")


@pytest.mark.parametrize("text", ["<!-- output: w -->\n\n```\n```", "<!-- outptu: w -->\n```\n```"])
def test_a_mark_of_nothing_or_misspelt_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"p\.md: line 1"):
        list(blocks("p.md", text))


def test_what_is_written_anew_is_the_block_alone_with_its_blank_lines() -> None:
    text = "a\n\n<!-- output: w -->\n```\n$ one\nold\n\n$ two  # so\n```\nb\n"
    [block] = blocks("p.md", text)
    new = outputs.rewritten(text, block, [Shown("one", "1\n2"), Shown("two  # so", "")])
    assert new == "a\n\n<!-- output: w -->\n```\n$ one\n1\n2\n\n$ two  # so\n```\nb\n"
    [block] = blocks("p.md", new)
    assert isinstance(block, Block) and [one.printed for one in block.shown] == ["1\n2", ""]
