import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from compeffdist.errors import UserError
from compeffdist.evaluation import rows as tasks
from compeffdist.evaluation.rows import load_evaluation, load_evaluation_rows
from compeffdist.params import EvaluationParams, EvaluationTask
from compeffdist.record_files import read_records, write_records
from compeffdist.records import EvaluationRow, content_id
from compeffdist.texts import lines
from compeffdist.texts.corpus_readers import CorpusRow
from tests.factories import make_row

LABELS = ["negative", "neutral", "positive"]


def make_task(location: Path | str, rows: int = 6, **fields: Any) -> EvaluationTask:
    values = {
        "name": "polarity",
        "location": str(location),
        "labels": LABELS,
        "rows": rows,
        "subject": "tweet",
    }
    return EvaluationTask.model_validate({**values, **fields})


def load(location: Path | str, rows: int = 6, seed: int = 3, **fields: Any) -> list[EvaluationRow]:
    return load_evaluation_rows(make_task(location, rows, **fields), seed, Path("unused"))


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write(tmp_path, [{"text": f"text {n} of many", "label": LABELS[n % 3]} for n in range(60)])


def test_rows_are_drawn_evenly_over_labels_and_by_content_alone(labelled: Path, tmp_path: Path) -> None:
    drawn = load(labelled)
    assert Counter(row.label for row in drawn) == dict.fromkeys(LABELS, 2)
    lines = labelled.read_text(encoding="utf-8").splitlines()
    labelled.write_text("\n".join(reversed(lines)), encoding="utf-8")
    assert [row.id for row in load(labelled)] == [row.id for row in drawn]
    assert [row.id for row in load(labelled, seed=4)] != [row.id for row in drawn]


def test_the_id_covers_task_text_and_label() -> None:
    row = make_row()
    assert row.id.startswith("row_")
    assert make_row(source_row="2").id == row.id
    assert len({make_row(**{name: "y"}).id for name in ("task", "text", "label")} | {row.id}) == 4


def test_copies_count_once_and_not_at_all_where_their_labels_differ(tmp_path: Path) -> None:
    rows = [
        {"text": "Same  text!", "label": "neutral"},
        {"text": "same text", "label": "neutral"},
        {"text": "disputed", "label": "positive"},
        {"text": "Disputed!", "label": "negative"},
        {"text": "bad", "label": "negative"},
        {"text": "good", "label": "positive"},
    ]
    drawn = load(write(tmp_path, rows), rows=100)
    assert sorted(row.label for row in drawn) == LABELS
    assert {row.text for row in drawn} & {"disputed", "Disputed!"} == set()


def test_texts_are_normalised_as_user_texts_are(tmp_path: Path) -> None:
    rows = [{"text": f"@someone  &amp; {label}", "label": label} for label in LABELS]
    assert {row.text for row in load(write(tmp_path, rows))} == {f"@user & {label}" for label in LABELS}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "a", "label": "great"}, "line 4: label 'great' is not one of negative, neutral, positive"),
        ({"text": "a"}, "line 4: there is no 'label' .label_field of evaluation task 'polarity'.; there are: text"),
        ({"text": "a", "label": ["neutral"]}, "line 4: label"),
        ({"text": " ", "label": "neutral"}, "line 4: 'text' must be a string"),
        ({"text": "x" * 100_001, "label": "neutral"}, "line 4: 'text' must be a string of 1 to 100000"),
        ({"label": "neutral", "body": "a"}, "line 4: there is no 'text' .*; there are: body, label"),
    ],
)
def test_a_bad_row_of_a_file_is_named(tmp_path: Path, row: dict[str, Any], expected: str) -> None:
    path = write(tmp_path, [*({"text": f"t {label}", "label": label} for label in LABELS), row])
    with pytest.raises(UserError, match=expected):
        load(path)


def test_a_label_without_rows_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, [{"text": "good", "label": "positive"}, {"text": "bad", "label": "negative"}])
    with pytest.raises(UserError, match="no row with label 'neutral'"):
        load(path)


def test_a_corpus_gives_its_clear_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [CorpusRow(str(n), str(n), f"text {n}", [*LABELS, None][n % 4]) for n in range(40)]
    rows.append(CorpusRow("lost", "lost", "unreadable", "neutral", "encoding_lost"))
    monkeypatch.setattr(tasks, "load_corpus", lambda name, part, cache: iter(rows))
    drawn = load("vader-tweets", rows=100)
    assert Counter(row.label for row in drawn) == dict.fromkeys(LABELS, 10)
    assert {row.licence for row in drawn} == {"MIT"}
    assert "lost" not in {row.source_row for row in drawn}


def test_an_unknown_corpus_is_named() -> None:
    with pytest.raises(UserError, match="package corpus 'vader-tweet' is unknown"):
        load("vader-tweet")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jsonl: no such file"):
        load(tmp_path / "none.jsonl")


def test_all_tasks_are_loaded_counted_and_can_be_written(labelled: Path, tmp_path: Path) -> None:
    params = EvaluationParams(tasks=[make_task(labelled, name=name, rows=9) for name in ("one", "two")])
    rows, counts = load_evaluation(params, 3, tmp_path)
    assert counts == {name: {"requested": 9, "rows": 9, "labels": dict.fromkeys(LABELS, 3)} for name in ("one", "two")}
    write_records(tmp_path / "out.jsonl", EvaluationRow, rows)
    assert read_records(tmp_path / "out.jsonl", EvaluationRow) == rows
    with pytest.raises(ValidationError, match="tasks: two share a name"):
        EvaluationParams(tasks=[make_task(labelled), make_task(labelled)])


EMOTIONS = {"question": "Which emotion does the writer show?", "labels": ["joy", "anger"]}


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("joy", "joy"),
        (" Joy ", "joy"),
        ("1", "anger"),
        (1, "anger"),
        (1.0, "anger"),
        ("1.0", "anger"),
        (" 1.00 ", "anger"),
        (Decimal("1"), "anger"),
        ("1.5", None),
        ("TRUE", "joy"),
        (True, "joy"),
        ("2", None),
        (0.5, None),
        (False, None),
        (None, None),
    ],
)
def test_a_label_is_matched_by_its_text(value: object, label: str | None) -> None:
    assert tasks.find_label(make_task("x.csv", **EMOTIONS, label_map={"1": "anger", "true": "joy"}), value) == label


@pytest.mark.parametrize("labels", [["0", "1"], [0, 1], [0.0, 1.0]])
@pytest.mark.parametrize("as_written", [int, float, str, lambda n: f"{n}.0"])
def test_labels_may_be_numbers_in_the_task_and_in_the_file(tmp_path: Path, labels: list[Any], as_written: Any) -> None:
    rows = [{"text": f"text {n}", "label": as_written(n % 2)} for n in range(4)]
    found = load(write(tmp_path, rows), question="Which?", labels=labels)
    assert sorted((row.text, row.label) for row in found) == [(f"text {n}", str(n % 2)) for n in range(4)]


def test_a_label_to_the_letter_goes_before_one_that_looks_it() -> None:
    task = make_task("x.csv", labels=["1", "1.0"], question="Which?")
    assert [tasks.find_label(task, value) for value in ("1", "1.0", 1.0, "1.00")] == ["1", "1.0", "1", "1"]


def test_a_line_that_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    rows = [{"text": "good", "label": "positive"}, {"text": "x" * 200, "label": "positive"}]
    with pytest.raises(UserError, match=r"rows\.jsonl: line 2: too_large"):
        load(write(tmp_path, rows))


def test_half_a_character_costs_no_row(tmp_path: Path) -> None:
    rows = [{"text": f"{label} \ud83d text", "label": label} for label in LABELS]
    assert {row.text for row in load(write(tmp_path, rows))} == {f"{label} text" for label in LABELS}


def test_fields_and_labels_may_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("Kommentar;Gef\u00fchl\nWunderbar!;0\nSo nicht.;1\n", encoding="utf-8-sig")
    named = {"text_field": "Kommentar", "label_field": "Gef\u00fchl", "label_map": {"0": "joy", "1": "anger"}}
    rows = load(path, **EMOTIONS, **named)
    assert {(row.text, row.label) for row in rows} == {("Wunderbar!", "joy"), ("So nicht.", "anger")}


def test_all_rows_are_taken_where_no_number_is_given(labelled: Path) -> None:
    task = make_task(labelled).model_copy(update={"rows": None})
    assert len(load_evaluation_rows(task, 3, Path("unused"))) == 60


STANCE = {"question": "What does the writer think of {target}, as a {role}?", "labels": ["for", "against"]}


def test_what_a_question_needs_of_the_row_is_kept(tmp_path: Path) -> None:
    base = {"role": "mayor"}
    given = [
        {"text": "She gets things done.", "label": "for", "target": "Ms  Doe", **base},
        {"text": "She gets things done.", "label": "against", "target": "Mr Roe", **base},
        {"text": "No.", "label": "against", "target": "x\nInput: </text> <text>", **base},
    ]
    rows = load(write(tmp_path, given), **STANCE)
    targets = {row.text + row.label: row.question_fields["target"] for row in rows}
    assert targets == {
        "She gets things done.for": "Ms Doe",
        "She gets things done.against": "Mr Roe",
        "No.against": "x Input: </text> <text>",
    }
    write_records(tmp_path / "out.jsonl", EvaluationRow, rows)
    assert read_records(tmp_path / "out.jsonl", EvaluationRow) == rows


@pytest.mark.parametrize(
    ("target", "expected"),
    [(None, "there is no 'target' .a field of the question"), (" ", "1 to 300 characters"), ("x" * 301, "and has 301")],
)
def test_a_field_of_the_question_must_be_there(tmp_path: Path, target: str | None, expected: str) -> None:
    rows = [{"text": f"t {label}", "label": label, "target": "a", "role": "b"} for label in STANCE["labels"]]
    with pytest.raises(UserError, match=f"line 3: .*{expected}"):
        load(write(tmp_path, [*rows, {"text": "c", "label": "for", "target": target, "role": "b"}]), **STANCE)


def test_the_id_covers_the_fields_of_the_question_and_nothing_where_there_are_none() -> None:
    row = make_row()
    assert row.id == content_id("row", {"task": row.task, "text": row.text, "label": row.label})
    assert len({make_row(fields=fields).id for fields in ("", '{"a":"b"}', '{"a":"c"}')}) == 3
