"""Artefacts as they are written and read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError
from compeffdist.record_files import read_records, table_of, write_records
from compeffdist.records import Pair, Perspective, ScoredTriplet, Text
from tests.factories import make_perspective, make_score, make_text, write_scored
from tests.gates.world import edit


@pytest.mark.parametrize("name", ["texts.parquet", "texts.jsonl"])
def test_records_survive_the_disk(tmp_path: Path, name: str) -> None:
    records = [make_text("a\u2028b"), make_text('quo"te\x00')]
    write_records(tmp_path / name, Text, records)
    assert read_records(tmp_path / name, Text) == records


def test_lists_survive_parquet_even_when_empty(tmp_path: Path) -> None:
    record = make_perspective("battery life")
    write_records(tmp_path / "p.parquet", Perspective, [record])
    write_records(tmp_path / "none.parquet", Perspective, [])
    assert read_records(tmp_path / "p.parquet", Perspective) == [record]
    assert read_records(tmp_path / "none.parquet", Perspective) == []


@pytest.mark.parametrize("name", ["texts.parquet", "texts.jsonl"])
def test_the_same_records_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    for folder in ("one", "two"):
        write_records(tmp_path / folder / name, Text, [make_text("a"), make_text("b")])
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_duplicate_ids_never_reach_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="share the id"):
        write_records(tmp_path / "texts.jsonl", Text, [make_text(), make_text(domain="other")])
    assert list(tmp_path.iterdir()) == []


def test_a_tampered_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    write_records(path, Text, [make_text("a"), make_text("b")])
    lines = path.read_text().splitlines()
    path.write_text(lines[0] + "\n" + canonical_json(json.loads(lines[1]) | {"text": "c"}) + "\n")
    with pytest.raises(UserError, match=r"texts\.jsonl: record 2: id"):
        read_records(path, Text)


def test_another_record_type_is_refused(tmp_path: Path) -> None:
    write_records(tmp_path / "t.parquet", Text, [make_text()])
    with pytest.raises(UserError, match="holds text@1 records, expected pair@2"):
        read_records(tmp_path / "t.parquet", Pair)


def test_a_missing_artefact_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        read_records(tmp_path / "none.parquet", Text)


def test_a_parquet_file_that_was_altered_is_one_line(tmp_path: Path) -> None:
    target = tmp_path / "texts.parquet"
    write_records(target, Text, [make_text(f"text number {n}") for n in range(500)])
    whole = target.read_bytes()
    for start in range(4, len(whole) - 60, max(1, len(whole) // 40)):
        target.write_bytes(whole[:start] + bytes(b ^ 0xFF for b in whole[start : start + 50]) + whole[start + 50 :])
        with pytest.raises(UserError, match=r"texts\.parquet"):
            read_records(target, Text)


def test_a_jsonl_artefact_in_another_encoding_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_bytes(b'{"a":"caf\xe9"}\n')
    with pytest.raises(UserError, match=r"tasks\.jsonl: not UTF-8"):
        read_records(tmp_path / "tasks.jsonl", Text)


def test_columns_of_an_open_field_are_those_that_the_writer_names(tmp_path: Path) -> None:
    scored = [make_score(triplet_id=key, ifd=None) for key in "ab"]
    write_scored(tmp_path / "s.parquet", scored)
    assert read_records(tmp_path / "s.parquet", ScoredTriplet) == scored
    with pytest.raises(ValueError, match=r"score_\w+: its columns are"):
        write_scored(tmp_path / "more.parquet", [make_score(loudness=1.0)])
    assert not (tmp_path / "more.parquet").exists()


@pytest.mark.parametrize("name", ["texts.parquet", "texts.jsonl"])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda rows: [rows[0], rows[1] | {"id": ""}], "record 2: it has no id"),
        (lambda rows: [rows[0] | {"id": None}, rows[1]], "record 1: it has no id"),
        (lambda rows: [*rows, rows[0]], "record 3: id text_[0-9a-f]+ is an earlier record's, too"),
    ],
)
def test_a_record_without_an_id_of_its_own_is_refused(
    tmp_path: Path, name: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], fault: str
) -> None:
    write_records(tmp_path / name, Text, [make_text("a"), make_text("b")])
    edit(str(tmp_path / name), change)
    with pytest.raises(UserError, match=f"{fault}; run the stage"):
        read_records(tmp_path / name, Text)


def test_a_value_of_another_type_is_refused(tmp_path: Path) -> None:
    row = make_text().to_row()
    (tmp_path / "t.jsonl").write_text(json.dumps(row | {"domain": 1}))
    with pytest.raises(UserError, match="record 1: domain cannot be 1; run"):
        read_records(tmp_path / "t.jsonl", Text)
    table = table_of(Text, [row])
    place = table.schema.get_field_index("domain")
    pq.write_table(table.set_column(place, "domain", pa.array([1])), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="column 'domain' is of type int64; run"):
        read_records(tmp_path / "t.parquet", Text)


@pytest.mark.parametrize("line", ["3", "null", "[]", '"x"'])
def test_a_line_that_is_no_object_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.jsonl").write_text(line)
    with pytest.raises(UserError, match="record 1: not an object"):
        read_records(tmp_path / "t.jsonl", Text)
