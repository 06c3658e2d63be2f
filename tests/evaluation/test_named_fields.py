"""A field that params misspell is found before a run, wherever a file has its fields; what ingestion reads passes."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.evaluation.named_fields import check_fields, check_named_fields
from compeffdist.params import EvaluationTask, TextSource, validate_params
from compeffdist.profiles import compose
from tests.stages import ROOT

ROWS = [{"id": str(n), "comment": f"a comment {n}", "mood": "good"} for n in range(3)]


def put(kind: str, rows: list[dict[str, Any]]) -> None:
    path = Path("data/sources") / f"mine.{kind}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "csv":
        path.write_text("\n".join([",".join(ROWS[0]), *(",".join(row.values()) for row in rows)]))
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def source(kind: str, **fields: str) -> TextSource:
    named = {"name": "mine", "kind": kind, "location": f"mine.{kind}", "domain": "mine", "text_field": "comment"}
    return TextSource.model_validate(named | fields)


def task(kind: str, **fields: str) -> EvaluationTask:
    named = {"name": "mine", "location": f"mine.{kind}", "labels": ["good", "bad"], "text_field": "comment"}
    return EvaluationTask.model_validate(named | {"label_field": "mood"} | fields)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_misspelt_field_is_told_by_its_key_with_those_that_are_there(kind: str) -> None:
    put(kind, ROWS)
    check_fields(source(kind, id_field="id"))
    check_fields(task(kind, question="What does {id} feel?"))
    wrong = [
        (source(kind, text_field="coment"), "'coment' (text_field of text source 'mine')"),
        (source(kind, id_field="no"), "'no' (id_field of text source 'mine')"),
        (task(kind, text_field="coment"), "'coment' (text_field of evaluation task 'mine')"),
        (task(kind, label_field="mod"), "'mod' (label_field of evaluation task 'mine')"),
        (task(kind, question="{who}?"), "'who' (a field of the question of evaluation task 'mine')"),
    ]
    for rows, told in wrong:
        with pytest.raises(UserError) as refused:
            check_fields(rows)
        line = f"data/sources/mine.{kind}: there is no column {told}; there are: "
        assert str(refused.value).startswith(line)
        assert set(str(refused.value).removeprefix(line).split(", ")) == {"id", "comment", "mood"}


def test_rows_of_json_lines_may_lack_a_field_that_others_have() -> None:
    put("jsonl", [{"other": 1}, *ROWS])
    check_fields(source("jsonl"))
    with pytest.raises(UserError, match=r"there is no column 'coment' .*; there are: other"):
        check_fields(source("jsonl", text_field="coment"))
    for needed in (source("jsonl", id_field="id"), task("jsonl")):  # which a run refuses at a row without
        with pytest.raises(UserError, match="there are: other"):
            check_fields(needed)


def test_of_a_large_file_the_beginning_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.evaluation.named_fields.MOST_LOOKED_AT", 2)
    put("jsonl", [{"other": 1}, {"other": 2}, *ROWS])
    Path("data/sources/mine.jsonl").write_text(Path("data/sources/mine.jsonl").read_text() + "{ no JSON")
    with pytest.raises(UserError, match="no column 'comment'"):
        check_fields(source("jsonl"))


def test_a_file_without_rows_is_left_to_the_run() -> None:
    put("csv", [])
    put("jsonl", [])
    check_fields(source("csv"))
    check_fields(source("jsonl"))
    with pytest.raises(UserError, match="no column 'coment'"):  # its header tells
        check_fields(source("csv", text_field="coment"))


def test_nothing_is_said_of_how_a_file_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    put("csv", ROWS)
    Path("data/sources/mine.csv").write_bytes("comment\nd\u00e9j\u00e0 vu".encode("cp1252"))
    check_fields(source("csv"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("section", ["texts", "evaluation"])
def test_a_plan_of_a_run_that_would_stop_at_a_field_is_refused(
    section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put("csv", ROWS)
    params = compose("smoke", ROOT / "profiles")
    wrong = source("csv", text_field="coment") if section == "texts" else task("csv", label_field="mod")
    params[section]["sources" if section == "texts" else "tasks"].append(wrong.model_dump(mode="json"))
    Path("params.yaml").write_text(json.dumps(params))
    with pytest.raises(UserError):
        check_named_fields(validate_params(params, "params.yaml"))
    with pytest.raises(SystemExit) as left:
        main(["plan"])
    [line] = capsys.readouterr().err.splitlines()
    assert left.value.code == 1 and line.startswith("error: data/sources/mine.csv: there is no column ")
