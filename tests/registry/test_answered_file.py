"""`compeffdist predict --file IN --out OUT`: the user's rows and columns as they were, ours behind them."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compeffdist.cli.main import main
from compeffdist.registry import asking

ASKED: list[Mapping[str, str]] = []


@pytest.fixture(autouse=True)
def student(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says `good` of what has the word in it."""

    def ask(rows: Sequence[Mapping[str, str]], *_: object) -> Iterator[dict[str, Any]]:
        ASKED[:] = rows
        for row in rows:
            label = "good" if "good" in row.get("text", "") else "bad"
            said = {"answer": "words"} if "prompt" in row else {"label": label, "probabilities": {label: 0.75}}
            yield {**said, "prior": "version"}

    version = SimpleNamespace(ask=ask, fitting=lambda row: row)
    monkeypatch.setattr(asking, "load_version", lambda uri: version)


def predicted(file: Path, *arguments: str) -> Path:
    out = file.with_name(f"out{file.suffix}")
    main(["predict", "--model", "models:/m/1", "--file", str(file), "--out", str(out), *arguments])
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    ASKED.clear()
    with pytest.raises(SystemExit) as left:
        main(["predict", "--model", "models:/m/1", *arguments])
    assert left.value.code == 1 and not ASKED
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_csv_keeps_its_columns_ids_and_delimiter(tmp_path: Path, encoding: str) -> None:
    rows = ["id;comment;when", '007;"good; very ""good""";01.02.', "008;;", "1e5;so so;x"]
    (tmp_path / "a.csv").write_bytes("\r\n".join(rows).encode(encoding))
    out = predicted(tmp_path / "a.csv", "--text-field", "comment")
    assert out.read_bytes().startswith(b"\xef\xbb\xbf") == (encoding != "utf-8")
    header, *written = csv.reader(out.read_text(encoding="utf-8-sig").splitlines(), delimiter=";")
    assert header[:5] == ["id", "comment", "when", "student_label", "student_probability"]
    assert [row[:5] for row in written] == [
        ["007", 'good; very "good"', "01.02.", "good", "0.75"],
        ["008", "", "", "", ""],
        ["1e5", "so so", "x", "bad", "0.75"],
    ]
    assert [row[-1] for row in written] == ["", "empty", ""]
    assert json.loads(written[0][5]) == {"good": 0.75}


def test_a_parquet_table_keeps_its_types_and_nulls(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": pa.array([1, None, 3], pa.int16()),
            "text": ["good", None, "dull"],
            "day": [date(2026, 1, 1)] * 3,
            "tags": [["a"], [], None],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    made = pq.read_table(predicted(tmp_path / "a.parquet"))
    assert made.select(table.column_names).equals(table)
    assert made["student_label"].to_pylist() == ["good", None, "bad"]
    assert made["student_reject"].to_pylist() == [None, "empty", None]
    assert made.schema.field("student_probability").type == pa.float64()


def test_a_line_of_json_keeps_its_bytes(tmp_path: Path) -> None:
    lines = [
        '{"text":"good", "id": 3.0, "big": 9007199254740993.0, "half": "\\ud83d"}',
        '{ "prompt": "say" , "x": 1e400 }',
    ]
    (tmp_path / "a.jsonl").write_text(f"{lines[0]}\n\n{lines[1]}\n")
    first, second = predicted(tmp_path / "a.jsonl").read_text().splitlines()
    assert first.startswith(lines[0][:-1]) and second.startswith(lines[1][:-2])
    assert json.loads(first)["student_label"] == "good" and json.loads(second)["student_answer"] == "words"


def test_what_a_row_asks_counts_and_a_blank_asks_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,task\ngood,emotion\nbad,\n")
    predicted(tmp_path / "a.csv", "--question", "Which?", "--labels", "a,b")
    assert ASKED == [{"text": "good", "task": "emotion"}, {"text": "bad", "question": "Which?", "labels": "a,b"}]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_of_our_name_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    file, out = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    rows = {"text": ["good"], "student_prior": ["mine"]}
    if kind == "parquet":
        pq.write_table(pa.table(rows), file)
    else:
        file.write_text(
            "text,student_prior\ngood,mine\n" if kind == "csv" else '{"text": "good", "student_prior": 1}\n'
        )
    told = refused(capsys, "--file", str(file), "--out", str(out))
    assert "has a column 'student_prior' already; choose another beginning of ours with --prefix" in told
    assert not out.exists() and predicted(file, "--prefix", "s_").exists()


def test_what_does_not_go_together_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.csv"
    file.write_text("text,id\ngood,1\n")
    assert "of the same kind" in refused(capsys, "--file", str(file), "--out", str(tmp_path / "b.parquet"))
    assert "is the file that is read" in refused(capsys, "--file", str(file), "--out", str(file))
    assert "--out: is of a file" in refused(capsys, "--text", "x", "--out", str(file))
    assert "no column 'body'" in refused(capsys, "--file", str(file), "--text-field", "body")
    (tmp_path / "c.csv").write_text("text,id,id\ngood,1,2\n")
    out = str(tmp_path / "d.csv")
    assert "more than one column is named 'id'" in refused(capsys, "--file", str(tmp_path / "c.csv"), "--out", out)
