"""Model versions with hand-made predictions, so that the outcome of a comparison is obvious."""

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow import MlflowException

from compeffdist.canonical import canonical_json
from compeffdist.evaluation.metrics import macro_f1
from compeffdist.params import EvaluationTask, Params
from compeffdist.record_files import write_records
from compeffdist.records import EvaluationRow, Prediction
from compeffdist.registry.artifacts import (
    MANIFEST,
    PREDICTIONS,
    evaluation_attachments,
    log_attachments,
    manifest,
)
from compeffdist.registry.tracking import experiment_id, open_tracking
from tests.factories import make_prediction, make_row

LABELS = ["negative", "positive"]
TASKS = ("films", "tweets")
ROWS = 40
"""Of each task, half of each label."""

Right = Mapping[str, int]
"""Task -> how many of its rows are answered right."""

BASE_RIGHT: Right = {"films": 20, "tweets": 20}


def audit_clean(version: int) -> list[str]:
    return []


def evaluation_rows(suffix: str = "") -> list[EvaluationRow]:
    return [make_row(task, f"{task} text {n}{suffix}", LABELS[n % 2]) for task in TASKS for n in range(ROWS)]


def predictions(rows: Sequence[EvaluationRow], system: str, system_id: str, right: Right) -> list[Prediction]:
    """The first `right` rows of each task, by id, are answered right."""
    made = []
    for task in TASKS:
        for place, row in enumerate(sorted((row for row in rows if row.task == task), key=lambda row: row.id)):
            predicted = row.label if place < right[task] else LABELS[1 - LABELS.index(row.label)]
            made.append(make_prediction(row, system, predicted, system_id=system_id, probabilities=[0.5, 0.5]))
    return made


def mean_macro_f1(answers: Sequence[Prediction]) -> float:
    scores = []
    for task in sorted({answer.task for answer in answers}):
        own = [answer for answer in answers if answer.task == task]
        scores.append(macro_f1([a.gold for a in own], [a.predicted for a in own], LABELS))
    return sum(scores) / max(len(scores), 1)


def attachments_of(
    rows: Sequence[EvaluationRow], answers: Sequence[Prediction], subject: str = "text"
) -> dict[str, bytes]:
    """As the stage register_student logs it."""
    tasks = [EvaluationTask(name=task, location="x", labels=LABELS, rows=ROWS, subject=subject) for task in TASKS]
    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder) / "rows.jsonl", EvaluationRow, rows)
        write_records(Path(folder) / PREDICTIONS, Prediction, answers)
        return evaluation_attachments(Path(folder) / PREDICTIONS, Path(folder) / "rows.jsonl", tasks)


def make_version(
    params: Params,
    right: Right,
    tags: Mapping[str, str | None] = {},
    rows: Sequence[EvaluationRow] | None = None,
    dropped: int = 0,
    subject: str = "text",
    attachments: Sequence[str] = (MANIFEST, PREDICTIONS, "evaluation_rows.json"),
) -> int:
    """Register a version that earns what `right` says.

    Args:
        tags: laid over those of a sound version; None removes one.
        dropped: predictions left out.
        subject: what the prompt calls a text.
        attachments: names of the attachments kept.
    """
    client, name = open_tracking(), params.registry.model_name
    rows = evaluation_rows() if rows is None else rows
    base = predictions(rows, "base", "model_b", BASE_RIGHT)
    student = predictions(rows, "student", "student_s", right)
    with contextlib.suppress(MlflowException):
        client.create_registered_model(name)
    run = client.create_run(experiment_id(client, "tests"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "weights.bin").write_bytes(b"weights")
        (Path(folder) / "MLmodel").write_text("flavors: {python_function: {artifacts: {}}}\n")
        client.log_artifacts(run.info.run_id, folder, "model")
        files = {MANIFEST: canonical_json(manifest(Path(folder))).encode()}
    kept = files | attachments_of(rows, [*base, *student][: len(base) + len(student) - dropped], subject)
    figures = {
        "metric.macro_f1_student": mean_macro_f1(student),
        "metric.macro_f1_base": mean_macro_f1(base),
        "metric.gain_over_base": mean_macro_f1(student) - mean_macro_f1(base),
    }
    sound = {"predict": "ok", "gates": "passed", "student_id": "student_s", "base_id": "model_b"}
    sound |= {key: f"{figure:.4f}" for key, figure in figures.items()}
    sound |= log_attachments(client, run.info.run_id, {key: kept[key] for key in attachments})
    source = f"{run.info.artifact_uri}/model"
    final = {key: value for key, value in {**sound, **tags}.items() if value is not None}
    return int(client.create_model_version(name, source, run.info.run_id, tags=final).version)
