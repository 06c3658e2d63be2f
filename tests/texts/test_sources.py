import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compeffdist.errors import UserError
from compeffdist.params import TextSource
from compeffdist.texts import lines, sources
from compeffdist.texts.lines import read_lines
from compeffdist.texts.sources import RawText, read_source


def read(path: Path | str, kind: str, **fields: Any) -> list[RawText]:
    source = TextSource.model_validate(
        {"name": "mine", "kind": kind, "location": str(path), "domain": "product", **fields}
    )
    return list(read_source(source, Path("unused")))


def error(path: Path | str, kind: str, **fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(path, kind, **fields)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def jsonl(folder: Path, *lines: Any) -> Path:
    path = folder / "texts.jsonl"
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(written), encoding="utf-8")
    return path


@pytest.fixture(params=["jsonl", "csv", "parquet"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def table(folder: Path, kind: str, **columns: list[Any]) -> Path:
    """The same table in each format."""
    path = folder / f"texts.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table(columns), path)
        return path
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if kind == "jsonl":
        return jsonl(folder, *rows)
    quoted = [[f'"{str(value).replace(chr(34), chr(34) * 2)}"' for value in row.values()] for row in rows]
    path.write_text("\n".join([",".join(columns), *(",".join(row) for row in quoted)]), encoding="utf-8")
    return path


def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    path = table(tmp_path, kind, id=["a", "b"], body=['Über "gut", ja', "two\nlines"])
    rows = read(path, kind, text_field="body", id_field="id", licence="CC0-1.0")
    assert rows == [
        RawText("mine", "a", 'Über "gut", ja', "product", "CC0-1.0"),
        RawText("mine", "b", "two\nlines", "product", "CC0-1.0"),
    ]
    assert [row.row for row in read(path, kind, text_field="body")] == ["1", "2"]


def test_a_missing_column_is_named_beside_those_there_are(tmp_path: Path, kind: str) -> None:
    path = table(tmp_path, kind, id=["a"], body=["x"])
    message = error(path, kind)
    assert "no column 'text'" in message
    assert "id" in message.split("there are:")[1]
    assert "body" in message.split("there are:")[1]
    assert "no column 'key' (id_field" in error(path, kind, text_field="body", id_field="key")


def test_missing_and_empty_files_are_refused(tmp_path: Path, kind: str) -> None:
    assert "no such file" in error(tmp_path / "none", kind)
    empty = tmp_path / "empty"
    empty.touch()
    expected = "not a readable Parquet file" if kind == "parquet" else "no rows"
    assert expected in error(empty, kind)
    assert "cannot be read" in error(tmp_path, kind)


def test_an_id_must_be_there_and_be_unique(tmp_path: Path, kind: str) -> None:
    path = table(tmp_path, kind, id=["a", "b", "a"], text=["x", "y", "z"])
    assert "rows 1 and 3 have the same id 'a'" in error(path, kind, id_field="id")
    path = table(tmp_path, kind, id=["a", ""], text=["x", "y"])
    assert "row 2 has no id" in error(path, kind, id_field="id")


def test_an_id_may_be_a_whole_number_as_programs_write_it_or_long(tmp_path: Path) -> None:
    rows = [{"id": 0.0, "text": "x"}, {"id": 7, "text": "y"}]
    assert [row.row for row in read(jsonl(tmp_path, *rows), "jsonl", id_field="id")] == ["0", "7"]
    assert "row 1 has no id in 'id': 0.5 is neither" in error(
        jsonl(tmp_path, {"id": 0.5, "text": "x"}), "jsonl", id_field="id"
    )
    long = [{"id": "x" * 300 + end, "text": end} for end in "ab"]
    names = [row.row for row in read(jsonl(tmp_path, *long), "jsonl", id_field="id")]
    assert len(set(names)) == 2 and max(map(len, names)) < 220


def test_wrong_encoding_names_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"text": "ok"}\n{"text": "caf\xe9"}\n')
    assert "expected UTF-8; line 2 is not (byte 28)" in error(path, "jsonl")
    path.write_text('{"text": "x"}', encoding="utf-32")
    assert "looks like UTF-32; save it as UTF-8" in error(path, "jsonl")


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "bom.csv"
    path.write_text("text\nhello", encoding="utf-8-sig")
    assert [row.text for row in read(path, "csv")] == ["hello"]


@pytest.mark.parametrize("line", ['{"text": "a"', "{'text': 'a'}", "[" * 100_000])
def test_a_broken_json_line_is_named(tmp_path: Path, line: str) -> None:
    path = jsonl(tmp_path, {"text": "fine"}, "", line)
    assert "line 3 is not valid JSON" in error(path, "jsonl")


def test_a_json_line_must_be_an_object(tmp_path: Path) -> None:
    assert "line 2 is not a JSON object but list" in error(jsonl(tmp_path, {"text": "a"}, [1]), "jsonl")


def test_single_unusable_rows_are_passed_on_with_their_fault(tmp_path: Path) -> None:
    large = "x" * (sources.MAX_TEXT_CHARACTERS + 1)
    rows: list[Any] = [{"text": "a"}, {"text": None}, {"other": 1}, {"text": 5}, {"text": large}]
    found = read(jsonl(tmp_path, *rows, '{"text": ' + "9" * 5000 + "}"), "jsonl")
    assert [row.fault for row in found] == ["", "no_text", "no_text", "not_a_string", "too_large", "not_a_string"]
    assert [row.text for row in found] == ["a", "", "", "", "", ""]


def test_a_file_without_one_usable_text_is_refused(tmp_path: Path) -> None:
    message = error(jsonl(tmp_path, {"text": 1}, {"text": 2}), "jsonl")
    assert "not one of 2 rows has a usable text" in message
    assert "not_a_string" in message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_endless_line_is_a_row_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    path = jsonl(tmp_path, {"text": "a", "id": "line 2"}, {"text": "b" * 1000, "id": 7}, {"text": "c", "id": 8})
    path.write_text(path.read_text(), encoding=encoding)
    found = read(path, "jsonl", id_field="id")
    assert [(row.text, row.fault) for row in found] == [("a", ""), ("", "too_large"), ("c", "")]
    assert len({row.row for row in found}) == 3 and found[1].row == "line 2"
    assert [row.row for row in read(path, "jsonl")] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "id,text\n1,a\n2,b,c\n",
            "the row that ends in line 3 has 3 fields, the header 2; a field with a comma in it",
        ),
        ("id;text\n1;a;b\n", "line 2 has 3 fields, the header 2; a field with a semicolon in it"),
        ("id\ttext\n1\ta\tb\n", "line 2 has 3 fields, the header 2; a field with a tab in it"),
        ("id,text\n1,a\nb\n", "line 3 has 1 fields, the header 2; a field with a line end in it"),
        ('text\nfine\n"never closed\nand on\n', "line 4 is not valid CSV"),
        ('text\n"a"b\n', "line 2 is not valid CSV"),
    ],
)
def test_broken_csv_names_the_line(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "texts.csv"
    path.write_text(content, encoding="utf-8")
    assert expected in error(path, "csv")


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    assert "not a readable Parquet file" in error(jsonl(tmp_path, {"text": "a"}), "parquet")


def test_the_parts_of_a_file_are_disjoint_and_complete(tmp_path: Path) -> None:
    path = jsonl(tmp_path, *({"text": f"text {n}"} for n in range(60)))
    halves = [{row.row for row in read(path, "jsonl", part=part)} for part in ("train", "evaluation")]
    assert halves[0].isdisjoint(halves[1])
    assert len(halves[0] | halves[1]) == 60
    assert min(map(len, halves)) > 15


def test_a_file_behind_a_linked_folder_is_refused_and_a_linked_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jsonl").write_text('{"text": "fine"}')
    (tmp_path / "data/sources").mkdir(parents=True)
    (tmp_path / "data/sources/mine").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/sources/a.jsonl").symlink_to(tmp_path / "elsewhere/a.jsonl")
    assert len(list(read_lines(Path("data/sources/a.jsonl")))) == 1
    with pytest.raises(UserError, match=r"data/sources/mine: a link to a folder"):
        list(read_lines(Path("data/sources/mine/a.jsonl")))
