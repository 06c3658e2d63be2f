"""What MLflow shows people of a version: figures, data and loss in its run, what it is in words, and its report.

A version is judged by what `artifacts` keeps; nothing is decided by what stands here. Figures stand in the run and at
the logged model, where MLflow compares models, and name the rows that they are of.
"""

import csv
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.artefacts import EVALUATION, TEXTS, TRAINING
from compeffdist.errors import UserError, one_line
from compeffdist.evaluation.table import SYSTEMS
from compeffdist.registry.local_store import located
from compeffdist.registry.register import Registration, headline_metrics
from compeffdist.registry.tracking import TRAINED_ON, as_dataset, log_data, may_write, open_tracking, store_errors
from compeffdist.tracking_uri import CHAMPION, database

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DATA = {TRAINED_ON: Path(TRAINING), "evaluation": Path(EVALUATION), "texts": Path(TEXTS)}
"""What a version rests on, by its use."""
REPORT = "report"
"""Of a run's artifacts, where the report's files lie."""
SEARCHED = ("profile", "domain", "method", "teacher_id", "base_id", "student_id", "gates", "git_commit")
"""Tags of a version that its run and its logged model have as well, to be searched by."""
BATCH = 500
"""Metrics sent at once; servers take a thousand."""
ABOUT_MODEL = (
    "Students distilled by compeffdist. Alias candidate is on the last one that passed its gate; "
    f"alias {CHAMPION}, the one to serve, is moved by compeffdist promote and rollback alone."
)


@store_errors()
def show_version(registration: Registration, evaluation: Mapping[str, Any], curve: Path, said: str) -> None:
    """Make a registered version tell what it is: in its own description, its run and its logged model. What was said of
    a former evaluation is replaced.

    Args:
        evaluation: as metrics/evaluation.json has it.
        curve: the training's loss by step, for a run that is not the training's own.
        said: the version's description (`describing`).
    """
    client = open_tracking()
    name = registration.model_name
    version = client.get_model_version(name, str(registration.version))
    run, model = str(version.run_id), logged_model(version)
    _log_figures(client, run, model, evaluation_figures(evaluation))
    log_data(client, run, DATA)
    _log_curve(client, run, curve)
    tags = {key: version.tags[key] for key in SEARCHED if key in version.tags}
    for key, value in {**tags, "mlflow.note.content": said}.items():
        client.set_tag(run, key, value)
    if model:
        client.set_logged_model_tags(model, tags)
    client.update_model_version(name, version.version, description=said)
    if not client.get_registered_model(name).description:
        client.update_registered_model(name, description=ABOUT_MODEL)


def logged_model(version: "ModelVersion") -> str | None:
    """The id of the logged model that a version was registered from, None of one that MLflow 2 registered."""
    found = re.fullmatch(r"models:/([^/@]+)", version.source or "")
    return found[1] if found else None


def evaluation_figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Metric -> figure: the headline and the ends of the gain's interval; `TASK/base`, `TASK/gain_low` and so on."""
    figures = headline_metrics(evaluation)
    for name, task in evaluation["tasks"].items():
        figures |= {f"{name}/{system}": task["macro_f1"][system]["estimate"] for system in SYSTEMS}
        gain = task["student_minus_base"]
        figures |= {f"{name}/gain": gain["estimate"], **{f"{name}/gain_{end}": gain[end] for end in ("low", "high")}}
    return figures


def _log_figures(client: "MlflowClient", run_id: str, model: str | None, figures: Mapping[str, float]) -> None:
    """Those that the run has not already, of these rows: a stage that is forced makes no second points."""
    from mlflow.entities import Metric

    run, dataset = client.get_run(run_id), as_dataset(DATA["evaluation"])
    known = {(one.dataset.name, one.dataset.digest) for one in (run.inputs.dataset_inputs if run.inputs else ())}
    before = run.data.metrics if (dataset.name, dataset.digest) in known else {}
    rows = {"dataset_name": dataset.name, "dataset_digest": dataset.digest}
    of: dict[str, Any] = {"model_id": model, "run_id": run_id, **rows}
    now = int(1000 * time.time())
    fresh = [Metric(key, value, now, 0, **of) for key, value in figures.items() if before.get(key) != value]
    _log(client, run_id, fresh)


def _log_curve(client: "MlflowClient", run_id: str, curve: Path) -> None:
    """The training's loss, where its own run is in another store."""
    from mlflow.entities import Metric

    if "loss" in client.get_run(run_id).data.metrics:
        return
    now = int(1000 * time.time())
    with curve.open(encoding="utf-8", newline="") as stream:
        steps = [(int(row.pop("step")), row) for row in csv.DictReader(stream)]
    _log(client, run_id, [Metric(key, float(value), now, step) for step, row in steps for key, value in row.items()])


def _log(client: "MlflowClient", run_id: str, metrics: Sequence[Any]) -> None:
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def attach_report(run_id: str, files: Mapping[str, bytes]) -> str:
    """Put the files of a report into a run, path -> contents, in place of those of a former one.

    What the run is for is done without them: of a store that has not the run, is a copy of another's or cannot be
    reached, a line is returned that says so; else nothing.
    """
    kept = f"the report is not attached to run {run_id}"
    store = database()
    if store is not None and not store.exists():
        return f"{kept}: there is no registry here"
    try:
        client = open_tracking()  # before anything of MLflow's is imported
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with store_errors():
            if not may_write(client, run_id):
                return f"{kept}: it is not of this registry"
            uri = client.get_run(run_id).info.artifact_uri
            here = located(uri)
            place = get_artifact_repository(uri if here is None else here.as_uri())
            place.delete_artifacts(REPORT)
            with tempfile.TemporaryDirectory() as folder:
                for path, contents in files.items():
                    target = Path(folder) / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(contents)
                place.log_artifacts(folder, REPORT)
    except (UserError, OSError) as error:
        return f"{kept}: {one_line(error, 300)}"
    return ""
