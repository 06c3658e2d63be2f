"""Rows by the ids of their source, kept or left out."""

from typing import Any, cast

import pytest

from compeffdist.artefacts import TEXTS
from compeffdist.errors import UserError
from compeffdist.lineage.own_ids import key_of_row
from compeffdist.lineage.snapshot import Snapshot

KEPT = [
    ("my comments", "C1078", "text_1"),
    ("tweets", "7", "text_2"),
    ("movies", "7", "text_3"),
    ("tweets", "a:b", "text_4"),
]
LEFT_OUT = [
    ("tweets:8", "tweets:8"),
    ("tweets:9 of tweets:7", "text_2"),
    ("tweets:90 text_0123456789abcdef", "text_5"),
    ("news:C 1", "news:C 1"),
]


class Held:
    """A state of the data with these rows."""

    def values(self, path: str, field: str) -> list[Any]:
        if path == TEXTS:
            return [row[("source", "source_row", "id").index(field)] for row in KEPT]
        return [row[("detail", "record_id").index(field)] for row in LEFT_OUT]


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("my comments:C1078", "text_1"),
        ("C1078", "text_1"),
        ("movies:7", "text_3"),
        ("tweets:a:b", "text_4"),
        ("a:b", "text_4"),
        ("tweets:8", "tweets:8"),
        ("9", "text_2"),
        ("90", "text_5"),
        ("C 1", "news:C 1"),
        ("C", ""),
        ("news:C", ""),
        ("movies:8", ""),
        ("none", ""),
    ],
)
def test_a_row_is_found_by_its_own_id(reference: str, key: str) -> None:
    assert key_of_row(cast("Snapshot", Held()), reference) == key


def test_an_id_of_several_sources_lists_them() -> None:
    with pytest.raises(UserError, match=r"7: 2 sources have a row of that id: movies:7, tweets:7"):
        key_of_row(cast("Snapshot", Held()), "7")
