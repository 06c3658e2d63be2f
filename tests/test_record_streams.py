"""Records as they come: the bytes, and the faults found, are those of records read and written all at once."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist import record_streams
from compeffdist.errors import UserError
from compeffdist.record_files import read_records, write_records
from compeffdist.record_streams import shared_values, stream_records, whole_groups, written_records
from compeffdist.records import Triplet
from tests.factories import make_triplet

ROWS = 5000


@pytest.fixture(scope="module")
def triplets() -> list[Triplet]:
    return [
        make_triplet(
            text_id=f"text_{n}",
            prompt=f"Judge: {n} {'word ' * (n % 40)}",
            response=("good", "bad")[n % 2],
            monitored=(None, "neutral", "positive")[n % 3],
            labels=["good", "bad"][: 2 * (n % 2)],
            probabilities=[0.25, 0.75][: 2 * (n % 2)],
        )
        for n in range(ROWS)
    ]


def test_what_is_written_in_pieces_has_the_bytes_of_what_is_written_at_once(
    triplets: list[Triplet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_streams, "BATCH_ROWS", 1024)
    for count in (0, 1, 1024, ROWS):
        at_once, in_pieces = tmp_path / "at_once.parquet", tmp_path / "in_pieces.parquet"
        write_records(at_once, Triplet, triplets[:count])
        with written_records(in_pieces, Triplet) as writer:
            writer.add(triplets[: count // 3])
            writer.add(triplets[count // 3 : count])
        assert writer.count == count
        assert in_pieces.read_bytes() == at_once.read_bytes()


def test_records_are_streamed_as_they_are_read(
    triplets: list[Triplet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_streams, "BATCH_ROWS", 1024)
    write_records(tmp_path / "t.parquet", Triplet, triplets)
    found = list(stream_records(tmp_path / "t.parquet", Triplet))
    assert found == triplets == read_records(tmp_path / "t.parquet", Triplet)
    assert len({id(one.response) for one in found[:1024]}) == 2  # one object for each of two responses


def test_a_group_of_rows_is_written_when_it_is_whole(
    triplets: list[Triplet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_streams, "BATCH_ROWS", 1024)
    monkeypatch.setattr(record_streams, "GROUP_ROWS", 2048)
    with written_records(tmp_path / "t.parquet", Triplet) as writer:
        writer.add(triplets)
    assert pq.read_metadata(tmp_path / "t.parquet").num_row_groups == 3
    assert read_records(tmp_path / "t.parquet", Triplet) == triplets


def test_what_fails_leaves_the_file_that_was_there(triplets: list[Triplet], tmp_path: Path) -> None:
    write_records(tmp_path / "t.parquet", Triplet, triplets[:3])
    before = (tmp_path / "t.parquet").read_bytes()
    with (
        pytest.raises(ValueError, match=f"share the id {triplets[0].id}"),
        written_records(tmp_path / "t.parquet", Triplet) as writer,
    ):
        writer.add([triplets[0], triplets[1], triplets[0]])
    assert (tmp_path / "t.parquet").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_an_altered_record_is_named_by_its_number(triplets: list[Triplet], tmp_path: Path) -> None:
    write_records(tmp_path / "t.parquet", Triplet, triplets[:3])
    table = pq.read_table(tmp_path / "t.parquet")
    rows = table.to_pylist()
    rows[1]["response"] = "another"
    pq.write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"t\.parquet: record 2: id .* does not match"):
        list(stream_records(tmp_path / "t.parquet", Triplet))


@pytest.mark.parametrize("values", [["a", None, "a", "a", "b", None, "a"], ["a", "b"], [], [None, None, None]])
def test_shared_values_are_the_values(values: list[str | None]) -> None:
    assert shared_values(pa.array(values, pa.string())) == values


@pytest.mark.parametrize("values", [[["a", "b"], None, [], ["a", None, "b"], ["a"]], [[]], []])
def test_shared_values_are_the_values_of_lists_too(values: list[list[str | None] | None]) -> None:
    column = pa.array(values, pa.list_(pa.string()))
    assert shared_values(column) == values
    assert shared_values(column[1:]) == values[1:]


@given(st.lists(st.sampled_from("abcdef"), max_size=30), st.booleans(), st.integers(1, 9))
def test_blocks_have_whole_groups_and_none_is_small(groups: list[str], ordered: bool, least: int) -> None:
    groups = sorted(groups) if ordered else groups
    blocks = list(whole_groups(groups, least))
    assert [place for block in blocks for place in block] == list(range(len(groups)))
    found = [{groups[place] for place in block} for block in blocks]
    assert sum(map(len, found)) == len(set(groups))
    if len(blocks) > 1:
        assert all(len(block) >= least for block in blocks[:-1]) and len(blocks[-1]) >= least // 4
    if ordered:  # nothing keeps a block open but its last group
        assert all(len(block) < least + groups.count(groups[block[-1]]) for block in blocks[:-1])
