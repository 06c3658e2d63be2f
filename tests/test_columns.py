"""Artefacts column-wise are the artefacts of `records.py`: same ids, same files, same refusals."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.columns import content_ids, read_columns, write_columns
from compeffdist.errors import UserError
from compeffdist.record_files import arrow_schema, read_records, write_records
from compeffdist.records import Draw, Pair, Record, Task
from tests.factories import make_draw, make_task

HOSTILE = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)


def numbered_draws() -> list[Draw]:
    return [make_draw(pair_id=f"pair_{n}", instruction_id=f"instruction_{n % 3}", rank=n + 1) for n in range(5)]


def as_columns(records: Sequence[Record]) -> dict[str, pa.Array]:
    kind = type(records[0])
    table = pa.Table.from_pylist([record.to_row() for record in records], schema=arrow_schema(kind))
    return {name: table[name].combine_chunks() for name in table.column_names if name != "id"}


@given(st.lists(st.tuples(HOSTILE, st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_ids_of_columns_are_ids_of_records(rows: list[tuple[str, float, float]]) -> None:
    draws = [make_draw(pair_id=key, inclusion_probability=odds, draw=drawn) for key, odds, drawn in rows]
    assert content_ids(Draw, as_columns(draws)) == [draw.id for draw in draws]


@given(HOSTILE, st.lists(HOSTILE, max_size=3), st.lists(st.integers(-9, 9), max_size=2), st.booleans())
def test_lists_and_truth_values_too(name: str, labels: list[str], scale: list[int], exact: bool) -> None:
    task = make_task("scoring", name=name, labels=labels, score_range=scale, exact_spans=exact)
    assert content_ids(Task, as_columns([task])) == [task.id]


def test_what_is_written_by_columns_is_read_as_records(tmp_path: Path) -> None:
    draws = numbered_draws()
    write_columns(tmp_path / "d.parquet", Draw, [as_columns(draws[:3]), as_columns(draws[3:])])
    assert read_records(tmp_path / "d.parquet", Draw) == draws
    write_columns(tmp_path / "none.parquet", Draw, [])
    assert read_records(tmp_path / "none.parquet", Draw) == []


def test_columns_asked_for_are_read_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.columns.BATCH_ROWS", 2)
    draws = numbered_draws()
    write_records(tmp_path / "d.parquet", Draw, draws)
    table = read_columns(tmp_path / "d.parquet", Draw, ["rank", "instruction_id"], ["instruction_id"])
    assert table.column_names == ["rank", "instruction_id"]
    assert table["rank"].to_pylist() == [draw.rank for draw in draws]
    assert table["instruction_id"].to_pylist() == [draw.instruction_id for draw in draws]
    assert pa.types.is_dictionary(table["instruction_id"].type)


def test_duplicate_ids_never_reach_the_disk(tmp_path: Path) -> None:
    twice = make_draw(pair_id="pair_1")
    with pytest.raises(ValueError, match=f"share the id {twice.id}"):
        write_columns(tmp_path / "d.parquet", Draw, [as_columns([make_draw(), twice]), as_columns([twice])])
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_is_not_finite_has_no_id() -> None:
    columns = as_columns([make_draw(pair_id="pair_1")]) | {"draw": pa.array([np.nan])}
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_ids(Draw, columns)


def test_a_tampered_row_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.columns.BATCH_ROWS", 2)
    path = tmp_path / "d.parquet"
    write_records(path, Draw, [make_draw(pair_id=f"pair_{number}") for number in range(4)])
    table = pq.read_table(path)
    changed = table.set_column(1, table.field(1), [["pair_0", "pair_1", "pair_2", "pair_X"]])
    pq.write_table(changed, path)
    with pytest.raises(UserError, match=r"d\.parquet: record 4: id draw_\w+ does not match"):
        read_columns(path, Draw, ["rank"])


def test_a_missing_value_or_column_or_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    write_records(path, Draw, [make_draw(pair_id="pair_1"), make_draw(pair_id="pair_2")])
    table = pq.read_table(path)
    with pytest.raises(UserError, match="dvc repro"):
        read_columns(tmp_path / "none.parquet", Draw, ["rank"])
    with pytest.raises(UserError, match="holds draw@3 records, expected pair@2"):
        read_columns(path, Pair, ["text_id"])
    pq.write_table(table.append_column("rank", table["rank"]), path)
    with pytest.raises(UserError, match="more than one column 'rank'; run"):
        read_columns(path, Draw, ["rank"])
    pq.write_table(table.drop_columns(["rank"]), path)
    with pytest.raises(UserError, match="no column 'rank'"):
        read_columns(path, Draw, ["rank"])
    place = table.column_names.index("rank")
    holed = table.set_column(place, pa.field("rank", pa.int64()), [[1, None]])
    pq.write_table(holed.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(UserError, match="record 2: it has no rank"):
        read_columns(path, Draw, ["rank"])
