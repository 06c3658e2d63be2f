"""Files of rows as users have them: what is read is what the format's own library reads, or it is refused."""

import csv
import io
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from compeffdist.evaluation.rows import load_evaluation_rows
from compeffdist.evaluation.standalone import read_tasks
from compeffdist.params import EvaluationTask, TextSource
from compeffdist.records import EvaluationRow
from compeffdist.texts.json_values import read_document
from compeffdist.texts.normalise import normalise, whole_characters
from compeffdist.texts.sources import read_source
from compeffdist.texts.tables import read_rows
from tests.fuzz.hostile import as_json, damaged, files, replaced, texts, values
from tests.fuzz.hunting import REFUSED, Target, refused_or

WANTED = {"text": "text_field of x", "label": "label_field of x"}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252")
ROWS = [{"id": 7, "text": "déjà vu, and 🙂", "label": "bad"}, {"id": 8, "text": "fine", "label": "good"}]
JSONL = b"".join(as_json(row) + b"\n" for row in ROWS)
CSV = 'id;text;label\n7;"déjà vu; and\nmore";bad\n8;fine;good\n'.encode()
rows = st.lists(st.fixed_dictionaries({"text": texts(4), "label": texts(2)}), min_size=1, max_size=4)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


def _read(path: Path, kind: str, content: bytes) -> Any:
    path.write_bytes(content)
    return refused_or(lambda: [dict(row.fields) for row in read_rows(path, kind, WANTED)], path)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, NaN with itself; a number is the same as an int, a float and a Decimal."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool) or not _is_number(one, other):
        return type(one) is type(other) and bool(one == other)
    return bool(one == other or _rounded(one) == _rounded(other))


def _rounded(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def _is_number(*values: Any) -> bool:
    return all(isinstance(value, int | float | Decimal) for value in values)


# ---------------------------------------------------------------- JSON Lines


def jsonl_rows(case: tuple[list[dict[str, Any]], str, bool], folder: Path) -> None:
    written, encoding, escaped = case
    text = "".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in written)
    content = text.encode(encoding, "surrogatepass" if encoding != "cp1252" else "replace")
    found = _read(folder / "a.jsonl", "jsonl", content)
    if encoding == "cp1252":
        return
    assert found is not REFUSED, "refuses what it should read"
    assert [{**row} for row in found] == [{key: _joined(value) for key, value in row.items()} for row in written]


def _joined(text: str) -> str:
    """Halves of one character are one."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def jsonl_bytes(content: bytes, folder: Path) -> None:
    found = _read(folder / "a.jsonl", "jsonl", content)
    if found is REFUSED or b"\0" in content or content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return
    lines = [line for line in content.decode("utf-8", "surrogatepass").split("\n") if line.strip().strip("\ufeff")]
    expected = [_loaded(line.strip("\r").lstrip("\ufeff")) for line in lines]
    assert len(found) == len(expected), (found, expected)
    assert all(map(same, found, expected)), (found, expected)


def _loaded(line: str) -> Any:
    return json.loads(line.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass"))


def document(content: bytes, folder: Path) -> None:
    path = folder / "a.json"
    path.write_bytes(content)
    found = refused_or(lambda: read_document(path), path)
    if found is not REFUSED and b"\0" not in content:
        text = content.decode("utf-8", "surrogatepass").lstrip("\ufeff")
        try:
            expected = _loaded(text)
        except ValueError as error:  # a byte-order mark at the beginning of a line, as of files put together
            assert "\ufeff" in text or "digits" in str(error), "reads what is not JSON"
            return
        assert same(found, expected), (found, expected)


# ---------------------------------------------------------------- CSV


def csv_rows(case: tuple[list[dict[str, str]], str, str, str], folder: Path) -> None:
    written, delimiter, encoding, end = case
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["no", "label", "text"])
    writer.writerows([number, row["label"], row["text"]] for number, row in enumerate(written))
    try:
        content = out.getvalue().encode(encoding)
    except UnicodeEncodeError:
        content = out.getvalue().encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")
    found = _read(folder / "a.csv", "csv", content)
    if found is not REFUSED and encoding != "cp1252":
        got = [(row["label"], row["text"]) for row in found]
        assert got == [(_joined(row["label"]), _joined(row["text"])) for row in written], got


def csv_bytes(content: bytes, folder: Path) -> None:
    found = _read(folder / "a.csv", "csv", content)
    if found is REFUSED:
        return
    for row in found:
        assert {"text", "label"} <= row.keys()
        assert all(isinstance(value, str) for value in row.values())


# ---------------------------------------------------------------- Parquet


def parquet_rows(case: list[dict[str, Any]], folder: Path) -> None:
    try:
        content = _parquet(case)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError):
        return
    found = _read(folder / "a.parquet", "parquet", content)
    columns = set().union(*case)
    if not columns >= WANTED.keys():
        assert found is REFUSED
        return
    assert found is not REFUSED
    expected = pq.read_table(io.BytesIO(content)).select(["text", "label"]).to_pylist()
    assert all(map(same, found, expected)), (found, expected)


def parquet_bytes(content: bytes, folder: Path) -> None:
    found = _read(folder / "a.parquet", "parquet", content)
    assert found is REFUSED or all(row.keys() == WANTED.keys() for row in found)


# ---------------------------------------------------------------- whoever uses them


def source(case: tuple[bytes, str, str], folder: Path) -> None:
    """A text source: each row has a usable text, whole or not at all, or a fault, and a name of its own."""
    content, kind, id_field = case
    path = folder / f"a.{kind}"
    path.write_bytes(content)
    given = TextSource(name="mine", kind=kind, location=str(path), text_field="text", id_field=id_field, domain="d")
    found = refused_or(lambda: list(read_source(given, folder)), path)
    if found is REFUSED:
        return
    assert len({row.row for row in found}) == len(found)
    for row in found:
        assert row.row.isprintable()
        assert isinstance(row.text, str) and (not row.fault or row.text == "")
        normalise(row.text).encode()


def evaluation(case: tuple[bytes, str], folder: Path) -> None:
    """Labelled rows: every one that is drawn has a label of the task and a text that a file can hold."""
    content, kind = case
    path = folder / f"a.{kind}"
    path.write_bytes(content)
    task = EvaluationTask(name="mine", location=str(path), labels=["good", "bad"], rows=None)
    found = refused_or(lambda: load_evaluation_rows(task, 1, folder), path, "mine")
    if found is not REFUSED:
        assert {row.label for row in found} <= {"good", "bad"}
        assert all(EvaluationRow.from_row(row.to_row()) == row and row.text.encode() for row in found)


def labelled(case: tuple[bytes, str], folder: Path) -> None:
    """A labelled file or a file of tasks, whose labels and fields are found out."""
    content, suffix = case
    path = folder / f"a{suffix}"
    path.write_bytes(content)
    found = refused_or(lambda: read_tasks(path, {}), path)
    if found is not REFUSED:
        assert all(len(task.labels) >= 2 for task in found)


def _kept(value: Any) -> Any:
    """A value of a Parquet column: texts without halves."""
    return whole_characters(value) if isinstance(value, str) else value


columns = st.sampled_from([st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(), texts(3), st.dates()])
kinds = st.sampled_from(["jsonl", "csv", "parquet"])
CONTENTS = {"jsonl": JSONL, "csv": CSV, "parquet": _parquet(ROWS)}
TASKS_FILE = b"- name: films\n  location: a.jsonl\n  labels: [good, bad]\n  question: Is it {kind}?\n"
any_jsonl = st.lists(st.one_of(values(), replaced(ROWS[0])), max_size=3).map(
    lambda found: b"\n".join(map(as_json, found))
)


@st.composite
def arrow_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(["text", "label", "id"]), min_size=1, unique=True))
    column = {name: st.one_of(st.none(), draw(columns)) for name in names}
    found = draw(st.lists(st.fixed_dictionaries(column), min_size=1, max_size=3))
    return [{name: _kept(value) for name, value in row.items()} for row in found]


@st.composite
def any_file(draw: st.DrawFn) -> tuple[bytes, str]:
    kind = draw(kinds)
    content = draw(files(CONTENTS[kind]))
    return (draw(any_jsonl) if kind == "jsonl" and draw(st.booleans()) else content), kind


TARGETS = (
    Target("tables.jsonl.rows", st.tuples(rows, st.sampled_from(ENCODINGS[:3]), st.booleans()), jsonl_rows),
    Target("tables.jsonl.bytes", st.one_of(files(JSONL), any_jsonl), jsonl_bytes),
    Target("tables.document", st.one_of(files(as_json(ROWS)), values().map(as_json)), document),
    Target(
        "tables.csv.rows",
        st.tuples(rows, st.sampled_from(",;\t|"), st.sampled_from(ENCODINGS), st.sampled_from(["\n", "\r\n"])),
        csv_rows,
    ),
    Target("tables.csv.bytes", st.one_of(files(CSV), texts(30).map(lambda t: t.encode("utf-8", "replace"))), csv_bytes),
    Target("tables.parquet.rows", arrow_rows(), parquet_rows),
    Target("tables.parquet.bytes", files(CONTENTS["parquet"]), parquet_bytes),
    Target(
        "tables.source",
        st.builds(lambda file, name: (*file, name), any_file(), st.sampled_from(["", "id", "text"])),
        source,
    ),
    Target("tables.evaluation", any_file(), evaluation),
    Target(
        "tables.labelled",
        st.one_of(
            any_file().map(lambda file: (file[0], f".{file[1]}")),
            st.tuples(damaged(TASKS_FILE), st.just(".yaml")),
        ),
        labelled,
    ),
)
