"""A cell that is changed changes nothing else: not a byte, whatever program wrote the file."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.labelling.cells import find_cells
from compeffdist.texts.tables import read_rows
from tests.fuzz.hostile import texts

WANTED = ("id", "label")


def cells_of(path: Path) -> list[str]:
    return [row.fields["label"] for row in read_rows(path, "csv", dict.fromkeys(WANTED, "x"), ragged=True)]


def changed(path: Path, place: int, value: str) -> bytes:
    rows = [row.fields for row in read_rows(path, "csv", dict.fromkeys(WANTED, "x"), ragged=True)]
    found = find_cells(path.read_bytes(), rows, WANTED, "label")
    assert found is not None
    assert found.content() == path.read_bytes()
    found.put(place, value)
    return found.content()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("id,text,label\na,x,\nb,dé jà,\n", "id,text,label\na,x,\nb,dé jà,4\n"),
        ('id,label,"te""xt"\r\na,1,x\r\nb, 2 ,"é, ""\r\n"\r\n', 'id,label,"te""xt"\r\na,1,x\r\nb,4,"é, ""\r\n"\r\n'),
        ('"id";"label"\n"a";""\n"b";""', '"id";"label"\n"a";""\n"b";"4"'),
        ("sep=;\nid;text;label\na;é,1\n\n;;\nb\n", "sep=;\nid;text;label\na;é,1\n\n;;\nb;;4\n"),
        ("\n  \nlabel\tid\n1\ta\n\t b\n\t\n", "\n  \nlabel\tid\n1\ta\n4\t b\n\t\n"),
        ('id, text, label\na, "x, é", \nb, "y", \n', 'id, text, label\na, "x, é", \nb, "y", 4\n'),
        ("id|label|id2\na||\nb|3|\r\r\n", "id|label|id2\na||\nb|4|\r\r\n"),
    ],
)
def test_every_other_byte_is_as_it_was(tmp_path: Path, written: str, expected: str, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(written, encoding, newline="")
    assert changed(path, 1, "4") == expected.encode(encoding)


def test_a_cell_that_is_emptied_again_is_as_it_was_and_one_that_had_a_label_is_empty(tmp_path: Path) -> None:
    content = b'id;label\na;""\nb\nc; \nd;3\n"e";"3"\n'
    (tmp_path / "a.csv").write_bytes(content)
    rows = [row.fields for row in read_rows(tmp_path / "a.csv", "csv", dict.fromkeys(WANTED, "x"), ragged=True)]
    found = find_cells(content, rows, WANTED, "label")
    assert found is not None
    for place in range(5):
        found.put(place, "5")
    assert found.content() == b'id;label\na;"5"\nb;5\nc;5\nd;5\n"e";"5"\n'
    for place in range(5):
        found.put(place, "")
    assert found.content() == b'id;label\na;""\nb\nc; \nd;\n"e";""\n'


def test_a_label_that_holds_the_delimiter_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,label\na,x\nb,\n")
    path.write_bytes(changed(path, 1, 'this, "that"\nor more'))
    assert cells_of(path) == ["x", 'this, "that"\nor more']


def test_rows_of_another_content_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,label\na,\nb,\n")
    rows = [row.fields for row in read_rows(path, "csv", dict.fromkeys(WANTED, "x"), ragged=True)]
    for other in (
        b"id,label\na,\n",
        b"id,label\na,\nb,\nc,\n",
        b"id,label\na,\nb,1\n",
        b"label,id\na,\nb,\n",
        b"",
        b"\0",
    ):
        assert find_cells(other, rows, WANTED, "label") is None, other
    assert find_cells(b"id,label,label\na,,\nb,,\n", rows, WANTED, "label") is None


def test_a_label_leaves_the_spaces_behind_delimiters_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text,label\na, "x, y",\nb, "z",\nc, "z"\n')
    path.write_bytes(changed(path, 0, "4"))
    path.write_bytes(changed(path, 2, "1"))
    assert path.read_bytes() == b'id,text,label\na, "x, y", 4\nb, "z",\nc, "z", 1\n'
    assert cells_of(path) == ["4", "", "1"]


@given(
    st.lists(st.tuples(texts(4, halves=False), st.sampled_from(["", "1", " 2 "])), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.data(),
)
def test_whatever_a_csv_file_holds_the_one_cell_changes(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    delimiter: str,
    encoding: str,
    end: str,
    quoting: int,
    data: st.DataObject,
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    # a mark at a line's beginning is dropped by whoever reads; csv writes a lone return without quotation marks
    rows = [(text.replace("\ufeff", "").replace("\r", ""), label) for text, label in rows]
    writer.writerows([("id", "text", "label"), *((f"id{n}", *row) for n, row in enumerate(rows))])
    path = tmp_path_factory.mktemp("cells") / "a.csv"
    path.write_bytes(out.getvalue().encode(encoding))
    place = data.draw(st.integers(0, len(rows) - 1))
    before = [dict(row.fields) for row in read_rows(path, "csv", dict.fromkeys(WANTED, "x"))]
    path.write_bytes(changed(path, place, "5"))
    after = [dict(row.fields) for row in read_rows(path, "csv", dict.fromkeys(WANTED, "x"))]
    before[place]["label"] = "5"
    assert after == before
