"""Inputs of another shape than they should have, sound JSON or not, are one line that names the file."""

import csv
import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from compeffdist.files import read_json, write_json
from compeffdist.params.gates import ClustersGateParams, TasksGateParams
from tests.gates.conftest import Check, Run


def one_line_about(done: Run, path: str) -> str:
    assert done.code == 1
    [line] = done.err.splitlines()
    assert line.startswith(f"error: {path}: ")
    return line


JSON = [
    ("texts", "metrics/ingest_texts.json"),
    ("tasks", "metrics/generate_tasks.json"),
    ("training_set", "models/student/student.json"),
    ("student", "metrics/evaluation.json"),
    ("student", "metrics/registration.json"),
]


@pytest.mark.parametrize("value", [[], {}, "x", None])
@pytest.mark.parametrize(("gate", "path"), JSON)
def test_figures_of_another_shape_are_one_line(check: Check, gate: str, path: str, value: Any) -> None:
    write_json(Path(path), value)
    one_line_about(check(gate), path)


@pytest.mark.parametrize(
    ("gate", "path", "keys", "value"),
    [
        ("texts", "metrics/ingest_texts.json", ["sources", "shop"], None),
        ("student", "metrics/evaluation.json", ["mean", "student_minus_base", "low"], None),
        ("student", "metrics/evaluation.json", ["tasks", "films", "gold"], {}),
        ("student", "metrics/evaluation.json", ["tasks", "films", "answers", "student"], {"negative": 40}),
        ("clusters", "data/clusters.json", ["diagnostics"], "x"),
    ],
)
def test_a_figure_that_is_none_is_one_line(check: Check, gate: str, path: str, keys: list[str], value: Any) -> None:
    content = read_json(Path(path))
    reduce(lambda part, key: part[key], keys[:-1], content)[keys[-1]] = value
    write_json(Path(path), content)
    one_line_about(check(gate), path)


def test_a_report_of_the_last_gate_that_is_none_ends_the_run_in_one_line(check: Check) -> None:
    from compeffdist.artefact_kinds import Json
    from compeffdist.errors import UserError
    from compeffdist.gates.figures import expect_figures
    from compeffdist.gates.verdict import Report

    with pytest.raises(UserError, match=r"^metrics/gates/student\.json: lacks figures"):
        expect_figures(Json("metrics/gates/student.json"), {}, Report, "judge_student")


@pytest.mark.parametrize("gate", ["texts", "training_set", "student"])
def test_an_evaluation_file_of_numbers_is_one_line(check: Check, gate: str) -> None:
    Path("data/evaluation.jsonl").write_text("3\n")
    assert "record 1" in one_line_about(check(gate), "data/evaluation.jsonl")


@pytest.mark.parametrize("name", ["tasks", "demonstrations", "instructions"])
def test_half_a_character_is_one_line(check: Check, name: str) -> None:
    path = Path(f"data/{name}.jsonl")
    row = {**json.loads(path.read_text().splitlines()[0]), "description": "\ud800"}
    path.write_text(json.dumps(row))
    assert "half a character" in one_line_about(check("tasks"), str(path))


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "breaks", [folder, lambda path: path.write_bytes(b"PAR1xx"), lambda path: path.write_bytes(flipped(path))]
)
def test_a_broken_parquet_file_is_one_line(check: Check, breaks: Callable[[Path], object]) -> None:
    path = Path("data/rejects/ingest_texts.parquet")
    breaks(path)
    one_line_about(check("texts"), str(path))


def flipped(path: Path) -> bytes:
    whole = path.read_bytes()
    return whole[:40] + bytes(byte ^ 255 for byte in whole[40:60]) + whole[60:]


def test_a_curve_with_a_field_too_long_to_be_read_is_one_line(check: Check, request: pytest.FixtureRequest) -> None:
    path = "metrics/training_curve.csv"
    before = csv.field_size_limit(131_072)  # Python's own, which the readers of texts raise
    request.addfinalizer(lambda: csv.field_size_limit(before))
    Path(path).write_text('step,loss\n1,"' + "1" * 200_000 + '"\n')
    one_line_about(check("training_set"), path)


def test_bounds_that_no_number_of_perspectives_can_meet_are_refused() -> None:
    with pytest.raises(ValidationError):
        ClustersGateParams(fewest_per_root=1e308)
    with pytest.raises(ValidationError):
        TasksGateParams(generated_per_perspective=1e308)
