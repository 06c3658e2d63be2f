"""Where MLflow keeps things, and its first use made safe.

The store is MLFLOW_TRACKING_URI, `sqlite:///mlflow.db` in the working folder by default. MLflow creates the
tables on first use, some seconds of work; two processes doing so at once leave a broken database, hence the
lock.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, TypeVar

from compeffdist import imports
from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError, connection_reason, lost_connection, one_line
from compeffdist.files import hash_file
from compeffdist.models import ModelIdentity
from compeffdist.params import Params
from compeffdist.registry.local_store import belongs_elsewhere, claim, former_store, home_uri, repair_paths
from compeffdist.registry.server import expect_server
from compeffdist.stage_notes import note_loss
from compeffdist.tracking_uri import VARIABLE, check_tracking_uri, database, shown_uri, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient, MlflowException
    from mlflow.entities import Dataset

    from compeffdist.student.curve import CurvePoint

T = TypeVar("T")
STORE_LIBRARIES = ("mlflow", "sqlalchemy")
TRAINED_ON = "training"
"""Of a run's data, the use that the rows of its training set were put to."""


def open_tracking() -> "MlflowClient":
    """Point MLflow at the store, creating it if need be, to write in it: see `local_store` for one that was copied.
    Raises UserError naming its address if it cannot be opened; soon, if its server is not there.
    """
    path = database()
    if path is not None and not path.exists() and (former := former_store()):
        print("; take them over before anything is registered: ".join(former), file=sys.stderr)
    client = _connected(_first_use_lock(path))
    if path is not None:
        repair_paths(path)
    return client


def open_present() -> "MlflowClient":
    """Point MLflow at a store that is there, to change what is registered in it: as `open_tracking`, but nothing is
    created. Raises UserError as `open_registry`.
    """
    _expect_present()
    return open_tracking()


def open_registry() -> "MlflowClient":
    """Point MLflow at the store, only to ask it: nothing is created or written. Raises UserError naming its address if
    there is none, or it cannot be opened.
    """
    _expect_present()
    return _connected(_lock_if_writable(database()))


def _expect_present() -> None:
    path = database()
    if path is not None and not path.exists():
        former = former_store()
        how = "; to take them over: ".join(former) if former else f"dvc repro makes one; or see {VARIABLE}"
        raise UserError(f"there is no MLflow store {shown_uri()}: {how}")


def _connected(lock: AbstractContextManager[Any]) -> "MlflowClient":
    """Telemetry is off before MLflow is imported."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it may hold credentials
    logging.getLogger("alembic").setLevel(logging.WARNING)
    check_tracking_uri()
    mlflow = imports.mlflow()
    uri = tracking_uri()
    expect_server(uri)
    try:
        with store_errors(f"; see {VARIABLE}"), lock:
            imports.mlflow(in_database=database() is not None)
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            client = mlflow.MlflowClient()
            client.search_experiments(max_results=1)
    except OSError as error:
        raise UserError(f"MLflow store {shown_uri()}: {one_line(error, 300)}; see {VARIABLE}") from None
    return client


def is_missing(error: "MlflowException") -> bool:
    """Whether what was asked for is not in the store."""
    from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

    return str(error.error_code) == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST)


def found_or_none(ask: Callable[..., T], *wanted: str) -> T | None:
    """What a store is asked for, None if that is not there. Raises MlflowException if the store cannot be asked."""
    from mlflow import MlflowException

    try:
        return ask(*wanted)
    except MlflowException as error:
        if is_missing(error):
            return None
        raise


def raise_if_lost(error: BaseException) -> None:
    """Tell a store that could not be asked from one that has not what was asked for. Raises UserError if it is that."""
    if lost_connection(error):
        why = connection_reason(error)
        raise UserError(f"MLflow store {shown_uri()}: cannot be reached any more ({why}); see {VARIABLE}") from None


@contextmanager
def store_errors(advice: str = "") -> Iterator[None]:
    """Turn what the store refuses or cannot do into one line that names it and ends in `advice`. Raises UserError.

    A package that is missing is the store's fault only if the store's libraries looked for it.
    """
    mlflow = imports.mlflow()
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ImportError as error:
        if not _raised_in_store(error):
            raise
        missing = f"the Python package {error.name}, which is not installed" if error.name else one_line(error, 200)
        raise UserError(f"MLflow store {shown_uri()}: needs {missing}{advice}") from None
    except (mlflow.MlflowException, SQLAlchemyError) as error:
        raise_if_lost(error)
        raise UserError(f"MLflow store {shown_uri()}: {one_line(error, 300)}{advice}") from None


def _raised_in_store(error: BaseException) -> bool:
    """Whether MLflow or SQLAlchemy raised an error, rather than what is called beside or by them."""
    packages = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in walk_tb(error.__traceback__)]
    ours = __name__.partition(".")[0]
    told = [package for package in packages if package in (ours, *STORE_LIBRARIES)]
    return told[-1:] != [ours]


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The id of an experiment, created on first use; a local store keeps artifacts beside its database."""
    import mlflow

    path = database()
    location = home_uri(path) if path is not None else None
    with _first_use_lock(path):
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise UserError(f"registry.experiment: {name!r} was deleted in {shown_uri()}; restore it or choose another")
        created = found.experiment_id if found else client.create_experiment(name, artifact_location=location)
        if path is not None:
            claim(path, created, client.get_experiment(created).artifact_location)
    mlflow.set_experiment(experiment_id=created)
    return str(created)


@contextmanager
def training_run(
    name: str, params: Params, teacher: ModelIdentity, base: ModelIdentity, training_set: Path
) -> Iterator[str]:
    """Open a training's run with its params, identities and the digest of its data; yields its id. It ends as
    FAILED if the training does, whose error is passed on as it is. Raises UserError if the store cannot be opened or
    written to.
    """
    import mlflow

    client = open_tracking()
    tags = {"profile": params.profile, "teacher_id": teacher.id, "base_id": base.id}
    with store_errors():
        experiment = experiment_id(client, params.registry.experiment)
        run = mlflow.start_run(run_name=name, experiment_id=experiment, tags=tags)
    try:
        with store_errors():
            mlflow.log_params({f"training.{key}": value for key, value in params.training.model_dump().items()})
            models = {"models.teacher": teacher.reference, "models.student": base.reference}
            mlflow.log_params({"seed": params.seed, "student_seed": params.student_seed, **models})
            log_data(client, run.info.run_id, {TRAINED_ON: training_set})
        yield run.info.run_id
    except BaseException:
        with suppress(Exception):  # a store that is gone as well would hide why the training ended
            mlflow.end_run("FAILED")
        raise
    with store_errors():
        mlflow.end_run()


def log_data(client: "MlflowClient", run_id: str, files: Mapping[str, Path]) -> None:
    """Name files as what a run was made from, use -> file; those that it names already stay as they are."""
    from mlflow.entities import DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    inputs = [DatasetInput(as_dataset(path), [InputTag(MLFLOW_DATASET_CONTEXT, use)]) for use, path in files.items()]
    client.log_inputs(run_id, inputs)


def as_dataset(path: Path) -> "Dataset":
    """A file as MLflow names data, with the MD5 of its bytes as DVC has it: MLflow's own digest of a table covers the
    first 10,000 rows only."""
    from mlflow.entities import Dataset

    source = canonical_json({"uri": path.as_posix()})
    return Dataset(name=path.name, digest=hash_file(path, "md5"), source_type="local", source=source)


def may_write(client: "MlflowClient", run_id: str) -> bool:
    """Whether this store knows a run, and may add to it: models/ may come from a DVC remote, the store does not.
    Raises MlflowException if the store cannot be asked."""
    run = found_or_none(client.get_run, run_id) if run_id else None
    return bool(run and run.info.lifecycle_stage == "active" and not belongs_elsewhere(run.info.artifact_uri))


def _first_use_lock(path: Path | None) -> AbstractContextManager[Any]:
    """A lock beside a SQLite store; other stores look after themselves."""
    if path is None:
        return nullcontext()
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock", timeout=300)


@contextmanager
def _lock_if_writable(path: Path | None) -> Iterator[None]:
    """The same for who only asks: whoever may not write a lock there could not find others making tables, either."""
    with ExitStack() as held:
        with suppress(OSError):
            held.enter_context(_first_use_lock(path))
        yield


def log_curve_point(point: "CurvePoint") -> None:
    """Log an optimiser step of the active run, and note it for whoever watches the stage. Raises UserError if the store
    does not take it."""
    import mlflow

    note_loss(point.step, point.loss)
    values = {"loss": point.loss, "learning_rate": point.learning_rate, "gradient_norm": point.gradient_norm}
    with store_errors():
        mlflow.log_metrics(values, step=point.step)
