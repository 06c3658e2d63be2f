"""A flowchart drawn without a library: every node in a place of its own, and no edge through one."""

import re

import pytest

from docs_site.diagram import _read, picture, places
from tests.stages import ROOT

DRAWN = [
    "a --> b --> c\na --> c",
    "a --> b --> c --> d\na --> e --> d\nb --> f\nx --> c",
    *re.findall(r"```mermaid\nflowchart LR\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.DOTALL),
]


@pytest.mark.parametrize("source", DRAWN)
def test_no_node_stands_where_another_does_or_in_the_way_of_an_edge(source: str) -> None:
    names, edges = _read(f"flowchart LR\n{source}")
    place = places(list(names), edges)
    assert len(set(place.values())) == len(place)
    for start, end in edges:
        (column, row), (_, last) = place[start], place[end]
        assert row < last
        assert not {(column, between) for between in range(row + 1, last)} & set(place.values())


def test_every_node_is_drawn_by_its_words_and_gates_as_hexagons() -> None:
    drawn = picture("flowchart LR\n  a --> b{{one & two}} --> c")
    assert re.findall(r"<text [^>]*>([^<]*)<", drawn) == ["a", "one &amp; two", "c"]
    assert drawn.count("<rect") == 2 and drawn.count("<polygon") == 1 and drawn.count('class="edge"') == 2


@pytest.mark.parametrize("source", ["sequenceDiagram\n a ->> b", "flowchart LR\n a --> b[[c]]"])
def test_what_it_does_not_draw_it_says(source: str) -> None:
    with pytest.raises(ValueError, match=r"flowchart|no node"):
        picture(source)
