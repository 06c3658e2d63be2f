"""A champion that was evaluated on other rows is asked about the candidate's; real tiny students, full and LoRA."""

from pathlib import Path

import pytest

from compeffdist.evaluation.predictions import predict_rows, student_scorer
from compeffdist.evaluation.priors import take_out
from compeffdist.params import EvaluationParams, EvaluationTask, Params
from compeffdist.promotion.promote import promote
from compeffdist.record_files import write_records
from compeffdist.records import EvaluationRow
from compeffdist.registry.artifacts import model_files
from compeffdist.registry.questions import Carried
from compeffdist.registry.register import register_student
from compeffdist.registry.tracking import open_tracking
from tests.fakes import SENTIMENT, SYSTEM
from tests.promotion.versions import (
    BASE_RIGHT,
    LABELS,
    ROWS,
    TASKS,
    attachments_of,
    audit_clean,
    evaluation_rows,
    make_version,
    mean_macro_f1,
    predictions,
)

PERFECT = {"films": ROWS, "tweets": ROWS}
TEXTS = Path("data/evaluation.jsonl")


@pytest.fixture
def real_champion(params: Params, student_folder: Path, base_folder: Path) -> int:
    """A registered student that answers for real, champion by override, evaluated on the usual rows."""
    rows = evaluation_rows()
    answers = [*predictions(rows, "base", "b", BASE_RIGHT), *predictions(rows, "student", "s", BASE_RIGHT)]
    made = register_student(
        student_folder, base_folder, params.registry, {"gates": "passed"}, attachments=attachments_of(rows, answers)
    )
    promote(made.version, params, audit_clean, override="to have a real one")
    return made.version


def test_the_champion_is_asked_about_the_candidates_rows(
    params: Params, real_champion: int, student_folder: Path, base_folder: Path
) -> None:
    rows = evaluation_rows(" anew")
    write_records(TEXTS, EvaluationRow, rows)
    candidate = make_version(params, PERFECT, rows=rows)
    outcome = promote(candidate, params, audit_clean)
    assert outcome.entry is not None and outcome.comparison is not None
    tasks = [EvaluationTask(name=task, location="x", labels=LABELS, rows=ROWS, subject="text") for task in TASKS]
    score = student_scorer(student_folder, base_folder, params.runtime, "test", SYSTEM)
    asked = predict_rows(rows, SENTIMENT.monitored.asked_in(EvaluationParams(tasks=tasks)), "student", "s", score)
    assert outcome.comparison["against"] == f"champion, version {real_champion} (asked anew)"
    assert outcome.comparison["mean"]["estimate"] == pytest.approx(1.0 - mean_macro_f1(asked))


def test_without_the_texts_of_the_rows_it_is_a_reason(params: Params, real_champion: int) -> None:
    rows = evaluation_rows(" anew")
    candidate = make_version(params, PERFECT, rows=rows)
    problem = "comparison: champion, version 1, was not evaluated on the candidate's rows and cannot be now: "
    assert promote(candidate, params, audit_clean).reasons[0].startswith(f"{problem}data/evaluation.jsonl: no such")
    write_records(TEXTS, EvaluationRow, rows[:-2])
    assert promote(candidate, params, audit_clean).reasons[0].startswith(f"{problem}{TEXTS} lacks 2 of them")


def test_a_champion_whose_weights_changed_is_not_asked(params: Params, real_champion: int) -> None:
    with model_files(open_tracking(), params.registry.model_name, str(real_champion)) as folder:
        weights = next((folder / "artifacts" / "student").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    rows = evaluation_rows(" anew")
    write_records(TEXTS, EvaluationRow, rows)
    candidate = make_version(params, PERFECT, rows=rows)
    assert promote(candidate, params, audit_clean).reasons[0].endswith("is not what was registered")


def test_another_prompt_is_another_evaluation(params: Params, real_champion: int) -> None:
    same, other = (make_version(params, PERFECT, subject=subject) for subject in ("text", "film review"))
    assert "was not evaluated on the candidate's rows" in promote(other, params, audit_clean).reasons[0]
    assert promote(same, params, audit_clean).entry is not None


def test_a_champion_is_asked_anew_as_it_is_served(params: Params, student_folder: Path, base_folder: Path) -> None:
    rows = evaluation_rows()
    answers = [*predictions(rows, "base", "b", BASE_RIGHT), *predictions(rows, "student", "s", BASE_RIGHT)]
    made = register_student(
        student_folder,
        base_folder,
        params.registry,
        {"gates": "passed"},
        attachments=attachments_of(rows, answers),
        carried=Carried(strength=1.0).to_files(0),
    )
    promote(made.version, params, audit_clean, override="to have a real one")
    anew = evaluation_rows(" anew")
    write_records(TEXTS, EvaluationRow, anew)
    candidate = make_version(params, PERFECT, rows=anew)
    outcome = promote(candidate, params, audit_clean)
    assert outcome.comparison is not None
    tasks = [EvaluationTask(name=task, location="x", labels=LABELS, rows=ROWS, subject="text") for task in TASKS]
    score = student_scorer(student_folder, base_folder, params.runtime, "test", SYSTEM)
    given = predict_rows(anew, SENTIMENT.monitored.asked_in(EvaluationParams(tasks=tasks)), "student", "s", score)
    expected = 1.0 - mean_macro_f1(take_out(given, tasks, 1.0))
    assert outcome.comparison["mean"]["estimate"] == pytest.approx(expected)
