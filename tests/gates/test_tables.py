"""What any gate finds in a table, and what the texts gate finds: named by id, with no traceback."""

import math
from pathlib import Path

import pytest

from compeffdist.files import read_jsonl, write_json
from tests.gates import world as plant
from tests.gates.conftest import Check, stopped
from tests.stages import GATES


def first_id(path: str) -> str:
    table = plant.pq.read_table(path).to_pylist() if path.endswith(".parquet") else list(read_jsonl(Path(path)))
    return str(table[0]["id"])


TABLES = {
    "texts": "data/texts.parquet",
    "triplets": "data/triplets.parquet",
    "difficulty": "data/scored.parquet",
    "sample": "data/sampled.parquet",
    "tasks": "data/tasks.jsonl",
}


@pytest.mark.parametrize(("gate", "path"), [(gate, TABLES[gate]) for gate in ("texts", "sample", "tasks")])
def test_a_duplicate_id_is_named(check: Check, gate: str, path: str) -> None:
    plant.edit(path, lambda rows: [*rows, rows[0]])
    finding = stopped(check(gate), f"{Path(path).stem}.repeated_ids", "must be 0")
    assert finding["offenders"] == [first_id(path)]
    assert finding["value"] == 2


@pytest.mark.parametrize(("gate", "column"), [("triplets", "monitored"), ("sample", "kept")])
def test_a_missing_column_is_a_finding_and_no_traceback(check: Check, gate: str, column: str) -> None:
    plant.without_column(TABLES[gate], column)
    done = check(gate)
    finding = stopped(done, f"{Path(TABLES[gate]).stem}.misfit_columns", "run the stage that writes it again")
    assert finding["offenders"] == [f"missing:{column}"]


def test_a_table_without_ids_is_a_finding(check: Check) -> None:
    plant.without_column("data/texts.parquet", "id")
    finding = stopped(check("texts"), "texts.repeated_ids", "could not be computed", "there is no column id")
    assert finding["value"] is None


def test_a_file_of_something_else_is_a_finding(check: Check) -> None:
    for column in plant.pq.read_table("data/sampled.parquet").column_names[1:]:
        plant.without_column("data/sampled.parquet", column)
    stopped(check("sample"), "sampled.misfit_columns", "run the stage that writes it again")


@pytest.mark.parametrize("column", ["text", ""])
def test_a_column_that_is_there_twice_is_one_line(check: Check, column: str) -> None:
    """As rows are read it would pass: the last one of a name counts."""
    path = "data/texts.parquet"
    table = plant.pq.read_table(path)
    for position in range(2 - table.column_names.count(column)):
        table = table.add_column(position, column, plant.pa.array(["other"] * len(table)))
    plant.pq.write_table(table, path)
    done = check("texts")
    told = f"error: {path}: holds the column {column!r} more than once; run the stage that writes it again"
    assert (done.code, done.err.splitlines()) == (1, [told])
    assert not done.gate_pass.exists()


def test_an_altered_row_no_longer_fits_its_id(check: Check) -> None:
    plant.edit("data/texts.parquet", lambda rows: [rows[0] | {"text": "Something else."}, *rows[1:]])
    finding = stopped(check("texts"), "texts.ids_off_contents", "altered after it was written")
    assert finding["offenders"] == [first_id("data/texts.parquet")]


def test_an_id_of_another_form_and_a_null_are_named(check: Check) -> None:
    plant.edit("data/tasks.jsonl", lambda rows: [rows[0] | {"id": "task_1"}, rows[1] | {"name": None}, *rows[2:]])
    done = check("tasks")
    assert stopped(done, "tasks.malformed_ids")["offenders"] == ["task_1"]
    assert stopped(done, "tasks.rows_with_nulls")["value"] == 1


def test_a_score_that_is_no_number_is_named(check: Check) -> None:
    plant.edit("data/scored.parquet", lambda rows: [rows[0] | {"ranking": math.nan}, *rows[1:]])
    assert stopped(check("difficulty"), "scored.rows_with_nulls")["offenders"] == [first_id("data/scored.parquet")]


def test_a_value_of_another_type_is_named(check: Check) -> None:
    plant.edit("data/tasks.jsonl", lambda rows: [rows[0] | {"labels": "yes"}, *rows[1:]])
    assert stopped(check("tasks"), "tasks.mistyped_rows")["offenders"] == [first_id("data/tasks.jsonl")]


def test_a_dropped_text_breaks_the_account_and_names_its_source(check: Check) -> None:
    plant.edit("data/texts.parquet", lambda rows: rows[1:])
    done = check("texts")
    stopped(done, "rows_unaccounted", "is 1, must be 0", "dvc repro -f ingest_texts")
    assert stopped(done, "sources_unaccounted")["offenders"] == ["source:shop"]


def test_the_account_is_held_source_by_source(check: Check) -> None:
    ghost = {"in": plant.COUNT, "out": plant.COUNT, "rejected": 0}
    counts = {"in": plant.COUNT + 1, "sources": {"shop": {"in": 1, "out": 0, "rejected": 1}, "ghost": ghost}}
    write_json(Path("metrics/ingest_texts.json"), counts)
    done = check("texts")
    assert stopped(done, "sources_unaccounted")["offenders"] == ["source:ghost", "source:shop"]
    write_json(Path("metrics/ingest_texts.json"), counts | {"sources": {}})
    assert check("texts").failed() == {"rows_of_no_source", "sources_unaccounted"}


@pytest.mark.parametrize("gate", ["texts", "training_set"])
def test_a_comparison_with_no_evaluation_row_is_none(check: Check, gate: str) -> None:
    Path("data/evaluation.jsonl").write_text("")
    stopped(check(gate), "evaluation_rows", "is 0, must be at least 1", "nothing was compared")


def test_a_contaminated_text_is_named(check: Check) -> None:
    text = plant.add_text(plant.PROBE.upper())
    finding = stopped(check("texts"), "contaminated_texts", "is 1, must be 0", "texts.contamination_overlap")
    assert finding["offenders"] == [text.id]


@pytest.mark.parametrize("gate", GATES)
def test_a_missing_artefact_is_one_line(check: Check, gate: str) -> None:
    others = {"clusters": "data/clusters.json", "training_set": "models/student/student.json"}
    path = {**TABLES, **others, "student": "metrics/evaluation.json"}[gate]
    Path(path).unlink()
    done = check(gate)
    assert done.code == 1
    assert done.err.splitlines() == [f"error: {path}: no such file; run the stage that writes it (dvc repro)"]
    assert not done.gate_pass.exists()


EMPTIED = {
    "texts": ("data/texts.parquet", "texts"),
    "tasks": ("data/tasks.jsonl", "tasks"),
    "triplets": ("data/triplets.parquet", "triplets"),
    "difficulty": ("data/scored.parquet", "scores"),
    "sample": ("data/sampled.parquet", "kept"),
}


@pytest.mark.parametrize(("gate", "path", "name"), [(gate, *rest) for gate, rest in EMPTIED.items()])
def test_an_artefact_without_rows_is_a_finding(check: Check, gate: str, path: str, name: str) -> None:
    plant.edit(path, lambda rows: [])
    stopped(check(gate), name, "is 0, must be at least 1")
