"""The MLflow store: safe at first use, and digests that cover the whole file."""

import hashlib
import importlib
import sqlite3
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import yaml
from sqlalchemy.exc import OperationalError

from compeffdist.errors import UserError
from compeffdist.params import Params
from compeffdist.registry.artifacts import model_files
from compeffdist.registry.asking import ask_model
from compeffdist.registry.tracking import (
    log_curve_point,
    open_tracking,
    store_errors,
    training_run,
)
from compeffdist.student.curve import CurvePoint
from tests.models.making import make_identity
from tests.stages import ROOT


def training() -> AbstractContextManager[str]:
    Path("data").mkdir(exist_ok=True)
    Path("data/training.parquet").write_bytes(b"rows")
    params = Params.model_validate(yaml.safe_load((ROOT / "params.yaml").read_text()))
    teacher, base = (make_identity(role) for role in ("teacher", "student"))
    return training_run("train", params, teacher, base, Path("data/training.parquet"))


@pytest.mark.pipeline
def test_two_first_uses_at_once_leave_one_working_store(tmp_path: Path) -> None:
    code = (
        "from compeffdist.registry.tracking import open_tracking, experiment_id;"
        "print(experiment_id(open_tracking(), 'shared'))"
    )
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/new.db", "PATH": "/usr/bin:/bin"}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=240)[0].strip() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert answers[0] == answers[1] != ""


def test_a_store_that_cannot_be_opened_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is not a database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/broken.db")
    with pytest.raises(UserError, match=r"broken\.db"):
        open_tracking()


def test_a_run_holds_the_training_set_s_md5_and_the_curve() -> None:
    with training() as run_id:
        log_curve_point(CurvePoint(1, 2.0, 1e-4, 0.5))
        log_curve_point(CurvePoint(2, 1.0, 1e-5, 0.4))
    client = open_tracking()
    digest = hashlib.md5(Path("data/training.parquet").read_bytes()).hexdigest()
    inputs = client.get_run(run_id).inputs.dataset_inputs
    assert [(i.dataset.name, i.dataset.digest) for i in inputs] == [("training.parquet", digest)]
    assert [(m.step, m.value) for m in client.get_metric_history(run_id, "loss")] == [
        (1, 2.0),
        (2, 1.0),
    ]


class OfTheTraining(Exception):
    pass


@pytest.mark.parametrize(
    "fault", [ImportError("no module", name="flash_attn"), OperationalError("x", {}, OfTheTraining())]
)
def test_an_error_of_a_training_is_not_told_as_the_store_s(fault: Exception) -> None:
    with pytest.raises(type(fault)) as caught, training() as run_id:
        raise fault
    assert caught.value is fault
    assert open_tracking().get_run(run_id).info.status == "FAILED"
    with training() as run_id:
        pass
    run = open_tracking().get_run(run_id)
    assert (run.info.status, run.data.params["seed"], run.data.tags["teacher_id"]) == (
        *("FINISHED", "42", make_identity("teacher").id),
    )


@pytest.mark.parametrize("lost", ["metrics", "runs"])
def test_an_error_of_the_store_in_a_training_is_one_line(
    lost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/own.db")
    with pytest.raises(UserError, match=rf"^MLflow store sqlite:.*own.db: .*{lost}") as caught, training():
        with sqlite3.connect(tmp_path / "own.db") as connection:
            connection.execute(f"DROP TABLE {lost}")
        log_curve_point(CurvePoint(1, 2.0, 1e-4, 0.5))
    assert "\n" not in str(caught.value)


def test_a_missing_package_is_the_store_s_fault_only_where_it_looked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"), store_errors():
        importlib.import_module("nowhere_at_all")
    monkeypatch.setitem(sys.modules, "psycopg2", None)  # as if it were not installed
    with pytest.raises(UserError, match="needs the Python package psycopg2, which is not installed"), store_errors():
        import sqlalchemy

        sqlalchemy.create_engine("postgresql+psycopg2://host/db")


def test_files_whose_driver_is_not_installed_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)  # as if it were not installed
    client = open_tracking()
    client.create_registered_model("far-away")
    client.create_model_version("far-away", "s3://bucket/model")
    files = model_files(client, "far-away", "1")
    with pytest.raises(UserError, match=r"the files of far-away version 1 cannot be fetched: .*boto"), files:
        pass
    with pytest.raises(UserError, match="boto"):
        list(ask_model("models:/far-away/1", [{"text": "fine"}]))
