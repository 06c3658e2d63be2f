"""Content ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.records import ScoredTriplet, Text, content_id
from tests.factories import make_score, make_text


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.lists(st.text())), max_size=5))
def test_an_id_does_not_depend_on_the_order_of_fields(identity: dict[str, object]) -> None:
    assert content_id("x", identity) == content_id("x", dict(reversed(identity.items())))


@given(st.text(), st.text())
def test_texts_share_an_id_only_if_they_are_equal(first: str, second: str) -> None:
    assert (make_text(first).id == make_text(second).id) == (first == second)


def test_ids_are_the_same_on_every_machine() -> None:
    assert make_text("good").id == "text_" + __import__("hashlib").sha256(b'{"text":"good"}').hexdigest()[:24]


def test_where_a_text_comes_from_is_no_part_of_its_id() -> None:
    assert make_text(source="one").id == make_text(source="two").id


def test_a_wrong_id_is_refused() -> None:
    with pytest.raises(ValueError, match="does not match"):
        Text.from_row(make_text().to_row() | {"text": "changed"})


def test_items_of_an_open_field_are_columns_of_their_own() -> None:
    score = make_score(ranking=0.25)
    row = score.to_row()
    assert "measures" not in row and list(row)[-len(score.measures) :] == list(score.measures)
    assert ScoredTriplet.from_row(row) == score
