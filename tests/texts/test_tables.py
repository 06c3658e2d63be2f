"""Files as people's programs write them: read without a word, or refused in one line that says what to do."""

import csv
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.errors import UserError
from compeffdist.texts import csv_form, lines
from compeffdist.texts.csv_form import find_delimiter
from compeffdist.texts.tables import read_rows

WANTED = {"text": "text_field of x", "label": "label_field of x"}
ROWS = [('Nice, and "cheap"; \u20ac 5', "good"), ("d\u00e9j\u00e0 vu", "bad")]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom", "cp1252"]


def written(path: Path, content: str, encoding: str = "utf-8") -> Path:
    if encoding.endswith("-bom"):
        content, encoding = "\ufeff" + content, encoding.removesuffix("-bom")
    path.write_bytes(content.encode(encoding))
    return path


def found(path: Path, kind: str = "csv") -> list[tuple[str, str]]:
    return [(row.fields["text"], row.fields["label"]) for row in read_rows(path, kind, WANTED)]


def error(path: Path, kind: str = "csv") -> str:
    with pytest.raises(UserError) as caught:
        found(path, kind)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("delimiter", csv_form.DELIMITERS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_is_read_whatever_its_delimiter_and_encoding(
    tmp_path: Path, delimiter: str, encoding: str, end: str
) -> None:
    quoted = [delimiter.join(["1", label, '"' + text.replace('"', '""') + '"']) for text, label in ROWS]
    content = end.join([delimiter.join(["no", "label", "text"]), *quoted, ""])
    assert found(written(tmp_path / "mine.csv", content, encoding)) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_lines_are_unicode(tmp_path: Path, encoding: str) -> None:
    path = written(
        tmp_path / "a.jsonl", '{"text": "\u20ac", "label": "good"}\n\n{"text": "b", "label": "bad"}', encoding
    )
    assert found(path, "jsonl") == [("\u20ac", "good"), ("b", "bad")]


def test_a_line_that_names_the_delimiter_is_not_the_header(tmp_path: Path) -> None:
    assert found(written(tmp_path / "a.csv", "sep=;\ntext;label\na,b;good\n")) == [("a,b", "good")]


def test_windows_1252_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found(written(tmp_path / "a.csv", "text,label\nd\u00e9j\u00e0 vu,bad\n", "cp1252"))
    assert "a.csv: not UTF-8: read as Windows-1252" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [
        "text,label\nпривет это плохо,bad\n".encode("cp1251"),  # another script
        "text,label\nd\u00e9j\u00e0 vu,bad\n".encode() + b"caf\xe9,bad\n",  # UTF-8 with a broken byte
        b"text,label\nok \x81,bad\n",  # no character of Windows-1252
    ],
)
def test_what_may_be_another_encoding_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert "expected UTF-8; line" in error(path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_need_not_say_so(tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = 'text,label\n"\u20ac, \u017eluťoučký",good\n' + "привет \u0100,bad\n" * 99
    assert found(written(tmp_path / "a.csv", content, encoding)) == [
        ("\u20ac, \u017eluťoučký", "good"),
        *[("привет \u0100", "bad")] * 99,
    ]
    assert "a.csv: has no byte-order mark: read as UTF-16-" in capsys.readouterr().err
    as_json = '{"text": "привет", "label": "good"}\r\n' * 2
    assert found(written(tmp_path / "a.jsonl", as_json, encoding), "jsonl") == [("привет", "good")] * 2


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_zero_bytes_that_are_not_utf_16_are_one_line(tmp_path: Path, kind: str) -> None:
    content = {"csv": "text,label\na,b\n", "jsonl": '{"text": "a", "label": "b"}\n'}[kind]
    for encoding in ("utf-32", "utf-32-le", "utf-32-be"):
        assert "looks like UTF-32; save it as UTF-8" in error(written(tmp_path / "a", content, encoding), kind)
    assert "zero bytes" in error(written(tmp_path / "a", content.replace("label", "lab\0el")), kind)
    if kind == "jsonl":
        assert "line 2 is not valid JSON: it holds zero bytes" in error(
            written(tmp_path / "a", content + "\0" * 50), kind
        )


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("last", ["\u00e9", "\u20ac", "\U0001f600"])
def test_an_end_in_the_middle_of_a_character_is_a_cut_file(tmp_path: Path, kind: str, last: str) -> None:
    content = {"csv": "text,label\n{},b\nno,a{}", "jsonl": '{{"text": "{}", "label": "b"}}\n{{"text": "a{}'}[kind]
    path = tmp_path / "a"
    for before in ("plain", "d\u00e9j\u00e0", "half \ud83d"):
        whole = content.format(before, last).encode("utf-8", "surrogatepass")
        for cut in range(1, len(last.encode())):
            path.write_bytes(whole[:-cut])
            assert f"ends in the middle of a character (line {3 if kind == 'csv' else 2}, byte" in error(path, kind)
            assert "was cut off; get it whole" in error(path, kind)
    path.write_bytes(content.format("plain", last).encode("utf-16")[:-1])
    assert "UTF-16 that ends in the middle of a character: it was cut off" in error(path, kind)


def test_windows_1252_may_end_in_any_character(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text,label\nd\u00e9j\u00e0 vu,bad\nno,caf\u00e9", "cp1252")
    assert found(path) == [("d\u00e9j\u00e0 vu", "bad"), ("no", "caf\u00e9")]


# ---------------------------------------------------------------- the form of a CSV file


@pytest.mark.parametrize("delimiter", csv_form.DELIMITERS)
def test_spaces_behind_delimiters_belong_to_them(tmp_path: Path, delimiter: str) -> None:
    spaced = f"{delimiter} "
    rows = [["1", f'"a{spaced}""b""\nc"', "good"], ["2", "plain", ""], ["3", '" kept"', "bad"]]
    header = ["no", "text", '"label"']
    content = "\n".join(spaced.join(row) for row in [header, *rows]) + "\n"
    expected = [(f'a{spaced}"b"\nc', "good"), ("plain", ""), (" kept", "bad")]
    assert found(written(tmp_path / "a.csv", content)) == expected
    without = content.replace(spaced.join(header), delimiter.join(header), 1)
    assert found(written(tmp_path / "a.csv", without)) == expected
    of_the_header = spaced.join(header) + "\n" + "\n".join(delimiter.join(row) for row in rows)
    assert found(written(tmp_path / "a.csv", of_the_header)) == expected


def test_spaces_of_some_fields_and_quotation_marks_in_them_are_theirs(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'label,text\ngood, "Great" he said\nbad,no\n')
    assert found(path) == [(' "Great" he said', "good"), ("no", "bad")]
    path = written(tmp_path / "a.csv", 'label, text\ngood, "Great" he said\nbad, no\n')
    assert found(path) == [(' "Great" he said', "good"), (" no", "bad")]


@given(
    st.lists(st.tuples(*[st.text(st.sampled_from('ab ,"\n'), max_size=6)] * 2), min_size=1, max_size=6), st.booleans()
)
def test_what_a_program_writes_comes_back(rows: list[tuple[str, str]], spaced: bool) -> None:
    quoted = [["text", "label"], *([f'"{field.replace(chr(34), chr(34) * 2)}"' for field in row] for row in rows)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_text("".join((", " if spaced else ",").join(row) + "\n" for row in quoted), newline="")
        assert found(path) == [row for row in rows if any(row)]


def test_spaces_are_judged_by_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_form, "BEGINNING", 30)
    content = 'text,label\n"a\nb", good\n"' + "c, c\n" * 9 + '", "bad"\n'
    expected = [("a\nb", "good"), ("c, c\n" * 9, "bad")]
    assert found(written(tmp_path / "a.csv", content)) == expected


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        ("sep=;", ";"),
        ('"sep=;"', ";"),
        ('"SEP=;";', ";"),
        ("sep=^", "^"),
        ("sep=\t", "\t"),
        ("sep=\\t", "\t"),
        ('"sep=,",,', ","),
        ("sep=,;", ";"),  # a table that was written anew with another
        ("\ufeffsep=|", "|"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_that_a_file_names(tmp_path: Path, line: str, delimiter: str, end: str) -> None:
    content = end.join([line, delimiter.join(["text", "label"]), delimiter.join(['"a,;b"', "good"]), ""])
    assert found(written(tmp_path / "a.csv", content)) == [("a,;b", "good")]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_wanted_column_must_be_there_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"

    def write(names: list[str]) -> None:
        if kind == "csv":
            path.write_text(";".join(names) + "\n" + ";".join("x" for _ in names) + "\n")
        else:
            pq.write_table(pa.Table.from_arrays([pa.array(["x"]) for _ in names], names=names), path)

    write(["text", "stars"])
    assert "there is no column 'label' (label_field of x); there are: text, stars" in error(path, kind)
    write(["text", "label", "text"])
    assert "2 columns are named 'text' (text_field of x); rename one" in error(path, kind)
    write(["text", "label", "other", "other"])
    assert found(path, kind) == [("x", "x")]


def test_a_huge_field_is_passed_on_and_an_endless_one_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.csv", f"text,label\n{'x' * 200_000},good\n")
    assert [len(text) for text, _ in found(path)] == [200_000]
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100_000)
    assert "line 2 is longer than 100000 bytes" in error(path)


def test_a_quotation_mark_that_is_never_closed_is_not_read_to_the_end(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text,label\na,good\n"never closed,good\n' + ("x" * 99_999 + "\n") * 10)
    assert "is a quotation mark not closed in the row that begins after line 2?" in error(path)
    former = csv.field_size_limit(100_000)
    try:
        assert "line 4 is not valid CSV: a field of more than" in error(path)
    finally:
        csv.field_size_limit(former)


def test_lines_without_a_value_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "text;label\na;good\n;\nb;bad\n;\n;\n")
    assert [row.number for row in read_rows(path, "csv", WANTED)] == [1, 3]


def test_the_delimiter_is_that_which_shows_what_is_wanted() -> None:
    assert find_delimiter("text;a,b,c,d\n", ["text"]) == ";"
    assert find_delimiter("text\n", ["text"]) == ","
    assert find_delimiter("a|b|c,d\n", ["text"]) == "|"
    assert find_delimiter('"text, long";label\n', ["label"]) == ";"


# ---------------------------------------------------------------- names that stand twice


def test_a_key_of_json_must_stand_once_where_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label": "x", "text": "note"}\n')
    assert "line 2 has the key 'text' more than once (text_field of x); rename one" in error(path, "jsonl")
    path = written(tmp_path / "a.jsonl", '{"n": 1, "text": "a", "n": 2, "label": {"x": 1, "x": 2}}\n')
    assert found(path, "jsonl") == [("a", {"x": 2})]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_column_that_may_be_read_must_stand_once_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 3, names=["text", "id", "id"]), path)
    else:
        path.write_text({"csv": "text,id, id\na,1,2\n", "jsonl": '{"text": "a", "id": 1, "id": 2}\n'}[kind])
    with pytest.raises(UserError, match=r"'id'.*the row's name.*rename one"):
        list(read_rows(path, kind, {"text": "t"}, {"id": "the row's name"}))
    assert [row.fields["text"] for row in read_rows(path, kind, {"text": "t"})] == ["x" if kind == "parquet" else "a"]


# ---------------------------------------------------------------- halves of a character

HALF, WHOLE = "half \ud83d here", "whole \U0001f600 here"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le-bom", "utf-16-be-bom"])
def test_half_a_character_is_passed_on_and_its_file_with_it(tmp_path: Path, encoding: str) -> None:
    content = f"\ufefftext,label\n{HALF},a\n{WHOLE},b\n"
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode(encoding.removesuffix("-bom"), "surrogatepass"))
    assert found(path) == [(HALF, "a"), (WHOLE, "b")]
    path = written(tmp_path / "a.jsonl", '{"text": "half \\ud83d here", "label": "a"}\n')
    assert found(path, "jsonl") == [(HALF, "a")]


def test_two_halves_that_a_program_wrote_one_by_one_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\nwhole \ud83d\ude00 here,a\n".encode("utf-8", "surrogatepass"))
    assert found(path) == [(WHOLE, "a")]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_parquet_strings_that_no_one_looked_into(tmp_path: Path, kind: pa.DataType) -> None:
    def write(*texts: bytes | None) -> None:
        wide = pa.array(texts, pa.large_binary() if kind == pa.large_string() else pa.binary()).view(kind)
        pq.write_table(pa.table({"text": wide, "label": ["a"] * len(texts)}), tmp_path / "a.parquet")

    write(b"fine", None, HALF.encode("utf-8", "surrogatepass"))
    assert found(tmp_path / "a.parquet", "parquet") == [("fine", "a"), (None, "a"), (HALF, "a")]
    write(b"fine", b"caf\xe9")
    assert "'text' in row 2: expected UTF-8" in error(tmp_path / "a.parquet", "parquet")


def test_parquet_columns_of_other_kinds(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.parquet", pa.array(["x", "y"])
    odd = pa.array([{"text": "in it"}, None])
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())):
        columns = {"text": texts.cast(kind), "text.text": texts, "odd": odd, "label": pa.nulls(2)}
        pq.write_table(pa.table(columns), path)
        assert found(path, "parquet") == [("x", None), ("y", None)]
    pq.write_table(pa.Table.from_arrays([texts, texts, odd, odd], names=["text", "label", "odd", "odd"]), path)
    assert found(path, "parquet") == [("x", "x"), ("y", "y")]
    pq.write_table(pa.table({"text": texts, "label": pa.array([1, 2**50], pa.timestamp("s"))}), path)
    assert "'label' in rows 1 to 2: timestamp[ms] that cannot be read" in error(path, "parquet")


@given(st.lists(st.text(st.characters(blacklist_characters="\r\n\0\ufeff"), max_size=5), max_size=5))
def test_utf_16_gives_back_every_line(lines_written: list[str]) -> None:
    content = "".join(line + "\n" for line in lines_written)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(b"\xff\xfe" + content.encode("utf-16-le", "surrogatepass"))
        joined = content.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        assert "".join(lines.read_lines(path)) == joined


# ---------------------------------------------------------------- marks and sizes


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_mark_between_files_that_were_put_together_is_dropped(tmp_path: Path, kind: str) -> None:
    row = '{"text": "a", "label": "b"}\n'
    content = {"jsonl": f"\ufeff{row}\ufeff{row}", "csv": '\ufeff\ufeff"text",label\na,b\n\ufeffa,b\n'}[kind]
    assert found(written(tmp_path / f"a.{kind}", content), kind) == [("a", "b")] * 2


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_large_field_that_is_not_read_does_not_matter(tmp_path: Path, kind: str) -> None:
    path, large = tmp_path / f"a.{kind}", "<p>x</p>\n" * 2_000_000
    if kind == "parquet":
        pq.write_table(pa.table({"text": ["a"], "label": ["b"], "html": [large]}), path)
    else:
        as_json = json.dumps({"html": large, "n": 1, "text": "a", "label": "b"}).replace("1,", "9" * 5000 + ",", 1)
        path.write_text({"csv": f'text,html,label\na,"{large}",b\n', "jsonl": as_json}[kind])
    assert found(path, kind) == [("a", "b")]


@pytest.mark.parametrize("above", ["", "\n", "\r\n \r\n", "sep=;\n", "sep=;\n\n"])
def test_lines_above_a_table_are_passed_over_and_counted(tmp_path: Path, above: str) -> None:
    path = written(tmp_path / "a.csv", above + "text;label\na;good\n")
    assert found(path) == [("a", "good")]
    last = above.count("\n") + 2
    assert [row.line for row in read_rows(path, "csv", WANTED)] == [last]
    assert f"the row that ends in line {last + 1} has 1 fields" in error(
        written(tmp_path / "b.csv", path.read_bytes().decode() + "b\n")
    )
