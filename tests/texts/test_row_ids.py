"""Ids of rows: those that differ have names that differ, each a short printable line."""

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.errors import UserError
from compeffdist.params import TextSource
from compeffdist.texts.row_ids import row_name, written_id
from compeffdist.texts.sources import read_source

BIG = 2**53


def named(path: Path) -> list[str]:
    source = TextSource(
        name="mine", kind=path.suffix[1:], location=str(path), domain="d", text_field="text", id_field="id"
    )
    return [row.row for row in read_source(source, Path("unused"))]


def jsonl(folder: Path, *ids: str) -> Path:
    """Ids as they are written in JSON."""
    path = folder / "a.jsonl"
    path.write_text("".join(f'{{"id": {written}, "text": "x"}}\n' for written in ids))
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        named(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@given(st.lists(st.text(max_size=30) | st.from_regex(r"line \d|. [0-9a-f]{12}", fullmatch=True), unique=True))
def test_ids_that_differ_have_names_that_differ(ids: list[str]) -> None:
    names = [row_name(written) for written in map(written_id, ids) if written]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and name.encode() for name in names)


@pytest.mark.parametrize(
    "ids",
    [
        ["a b", "a  b", "a\tb", " a b"],
        ["https://u:one@shop.example/1", "https://u:two@shop.example/1"],
        ["password=one", "password=two"],
        ["a\u200b", "a\u200c"],
        ["a\ud83d", "a\ud83e", "a\ufffd"],
        ["x" * 300 + "1", "x" * 300 + "2", "x" * 200],
    ],
)
def test_what_a_line_for_people_makes_the_same_stays_apart(tmp_path: Path, ids: list[str]) -> None:
    names = named(jsonl(tmp_path, *map(json.dumps, ids)))
    assert len(set(names)) == len(ids)
    assert all(name.isprintable() and len(name) < 220 for name in names)
    assert "one@" not in str(names) and "password=one" not in str(names)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["0.0", "1.0", "2", "-3.0"], ["0", "1", "2", "-3"]),
        ([f"{BIG + 1}", f"{BIG}", f"{BIG + 3}.0", f"{BIG + 4}.00"], [str(BIG + n) for n in (1, 0, 3, 4)]),
        (["1e3", '"1000.0"', '"01000"'], ["1000", "1000.0", "01000"]),
        (["1e23", "2E+23", "0.5e24", "-1.50e1", "0e9"], [f"{n}{'0' * 23}" for n in (1, 2, 5)] + ["-15", "0"]),
        (["9.007199254740993e15", "123456789012345678901e1"], [str(BIG + 1), "1234567890123456789010"]),
        (['"1e+23"', '"1E+23"'], ["1e+23", "1E+23"]),
        (
            ["12345678901234567890123", "12345678901234567890124"],
            ["12345678901234567890123", "12345678901234567890124"],
        ),
    ],
)
def test_a_number_keeps_its_digits(tmp_path: Path, ids: list[str], expected: list[str]) -> None:
    assert named(jsonl(tmp_path, *ids)) == expected


def test_numbers_of_thousands_of_digits_are_ids_like_others(tmp_path: Path) -> None:
    names = named(jsonl(tmp_path, "9" * 5000, "9" * 4999 + "8"))
    assert len(set(names)) == 2 and all(name.startswith("999") and len(name) < 220 for name in names)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([0.0, 1.0]), ["0", "1"]),
        (pa.array([1e23, -0.0]), ["1" + "0" * 23, "0"]),
        (pa.array([1.2345678901234567e19, 2.0**60]), ["12345678901234567000", "1152921504606847000"]),
        (pa.array([BIG + 1, BIG], pa.uint64()), [str(BIG + 1), str(BIG)]),
        (pa.array([Decimal("12345678901234567890"), Decimal("1E+3")]), ["12345678901234567890", "1000"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    ],
)
def test_parquets_numbers_are_ids(tmp_path: Path, column: Any, expected: list[str]) -> None:
    pq.write_table(pa.table({"id": column, "text": ["x", "y"]}), tmp_path / "a.parquet")
    assert named(tmp_path / "a.parquet") == expected


def test_an_id_that_comes_twice_is_told_as_it_is_written(tmp_path: Path) -> None:
    assert "rows 1 and 3 have the same id '7' (7 and '7')" in refused(jsonl(tmp_path, "7", "8", '"7"'))
    assert "rows 1 and 2 have the same id '7'; leave" in refused(jsonl(tmp_path, "7", "7.0"))
    pq.write_table(pa.table({"id": [BIG + 1.0, BIG + 1.0], "text": ["x", "y"]}), tmp_path / "a.parquet")
    assert "floating-point numbers of that size are rounded" in refused(tmp_path / "a.parquet")


@given(st.lists(st.floats(1e16, 1e300).filter(float.is_integer), min_size=1, max_size=4, unique=True))
def test_a_number_has_one_name_in_every_format(ids: list[float]) -> None:
    """As Python, and with it pandas, writes floating-point numbers."""
    texts = ["x"] * len(ids)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(pa.table({"id": ids, "text": texts}), folder / "a.parquet")
        (folder / "a.csv").write_text("id,text\n" + "".join(f"{number!r},x\n" for number in ids))
        names = named(folder / "a.parquet")
        assert named(folder / "a.csv") == named(jsonl(folder, *map(json.dumps, ids))) == names
        assert [float(name.split()[0]) for name in names if len(name) <= 200] == [n for n in ids if n < 1e200]


def test_an_id_of_csv_is_text_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n" + "".join(f"{i},x\n" for i in ("3.0", "3", "03", "1e23", "1e3")))
    assert named(tmp_path / "a.csv") == ["3.0", "3", "03", "1e23", "1e3"]
    (tmp_path / "a.csv").write_text("id,text\n1.23457E+17,x\n1.23457E+17,x\n")
    assert "the same id '123457000000000000' (floating-point numbers of that size are rounded" in refused(
        tmp_path / "a.csv"
    )


@pytest.mark.parametrize("missing", ["null", '""', '"  "', "0.5", "NaN", "[1]", '{"a": 1}'])
def test_what_is_no_id_is_named_with_its_row(tmp_path: Path, missing: str) -> None:
    assert "row 2 has no id in 'id'" in refused(jsonl(tmp_path, "1", missing))
