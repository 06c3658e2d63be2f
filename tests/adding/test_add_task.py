"""`compeffdist add-task` by its command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from compeffdist.cli.main import main
from compeffdist.evaluation.rows import load_evaluation_rows
from compeffdist.params import load_params
from tests.adding.test_add_source import sentence, written


def labelled(path: Path, labels: list[str], column: str = "feeling") -> Path:
    rows = [f"{n};{sentence(n)};{label}" for n, label in enumerate(labels)]
    return written(path, [f"id;comment;{column}", *rows], "utf-8-sig")


def looked_at(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    main(["add-task", str(path), "--json", *arguments])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    before = Path("params.yaml").read_bytes()
    with pytest.raises(SystemExit) as left:
        main(["add-task", str(path), *arguments])
    assert left.value.code == 1 and Path("params.yaml").read_bytes() == before and not Path("data").exists()
    [line] = capsys.readouterr().err.splitlines()
    return line


def test_a_labelled_csv_becomes_a_task_that_evaluation_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("params.yaml").read_text()
    file = labelled(tmp_path / "emotions.csv", ["joy"] * 6 + ["anger"] * 6)
    found = looked_at(file, capsys, "--question", "Which emotion does the writer show?")
    assert (found["labels"], found["even"], found["why_label"]) == ({"anger": 6, "joy": 6}, True, "by its name")
    task = load_params().evaluation.tasks[-1]
    assert (task.name, task.text_field, task.label_field) == ("emotions", "comment", "feeling")
    assert len(load_evaluation_rows(task, 42, tmp_path)) == 12
    after = Path("params.yaml").read_text()
    start, end = after.index("  - name: emotions"), after.index("  bootstrap:")
    assert after[:start] + after[end:] == before


def test_uneven_rows_are_told_with_the_draw_that_is_even(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = labelled(tmp_path / "a.csv", ["negative"] * 12 + ["positive"] * 4, "sentiment")
    main(["add-task", str(file), "--dry-run"])
    said = capsys.readouterr().out
    assert "rows: 16 (negative 12, positive 4); --rows 8 draws equally many of each label" in said
    assert "question, the domain's: What is the overall sentiment" in said
    found = looked_at(file, capsys, "--rows", "8")
    assert (found["drawn"], found["even"]) == ({"negative": 4, "positive": 4}, True)
    assert load_params().evaluation.tasks[-1].question == ""


def test_a_draw_that_leaves_a_label_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = labelled(tmp_path / "a.csv", ["negative", "positive"] * 4, "sentiment")
    main(["add-task", str(file), "--dry-run", "--rows", "1"])
    said = capsys.readouterr().out
    assert "; --rows 8 draws equally many of each label" in said
    assert "rows: 1 (negative 1, positive 0)" in said or "rows: 1 (negative 0, positive 1)" in said


def test_labels_of_no_known_question_need_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = labelled(tmp_path / "a.csv", ["joy", "anger"] * 4)
    assert "say what is asked with --question" in refused(file, capsys)


def test_the_question_is_asked_for_at_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compeffdist.cli.add_task._ask", lambda labels: f"Which, {labels[0]}?\n")
    found = looked_at(labelled(tmp_path / "a.csv", ["joy", "anger"] * 4), capsys)
    assert found["question"] == load_params().evaluation.tasks[-1].question == "Which, anger?"


def test_columns_that_may_all_be_labels_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{sentence(n)},{'ab'[n % 2]},{'xyz'[n % 3]}" for n in range(12)]
    file = written(tmp_path / "a.csv", ["text,one,two", *rows])
    assert "2 columns may be labels: one (2 values), two (3 values)" in refused(file, capsys)
    found = looked_at(file, capsys, "--label-field", "two", "--question", "Which?", "--dry-run")
    assert found["labels"] == {"x": 4, "y": 4, "z": 4}


def test_a_row_without_a_label_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = labelled(tmp_path / "a.csv", ["joy", "anger"] * 4 + [""])
    assert "row 9" in refused(file, capsys, "--question", "Which?")


def test_labels_that_are_numbers_keep_their_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = labelled(tmp_path / "a.csv", ["1", "2"] * 4, "stars")
    found = looked_at(file, capsys, "--question", "How many stars?")
    assert found["labels"] == {"1": 4, "2": 4} and load_params().evaluation.tasks[-1].labels == ["1", "2"]


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        ("stars", [str(n) for n in range(1, 11)]),
        ("score", ["-1.5", "-1", "0", "10"]),
        ("grade", ["1", "10", "2", "none"]),
        ("state", ["1", "10", "2", "nan"]),
    ],
)
def test_labels_are_in_the_order_of_their_numbers_if_all_are_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, labels: list[str]
) -> None:
    file = labelled(tmp_path / "a.csv", labels[::-1] * 4, column)
    found = looked_at(file, capsys, "--label-field", column, "--question", "How many?")
    assert list(found["labels"]) == load_params().evaluation.tasks[-1].labels == labels
