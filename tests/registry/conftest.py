"""A store of its own for each test, and tiny students."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.params import FineTuningParams
from compeffdist.student.training import TrainingRow, fine_tune
from tests.student.tiny import tiny_model_folder


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="session", params=["full", "lora"])
def student_folder(request: pytest.FixtureRequest, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "student"
    settings = FineTuningParams(method=request.param, epochs=2.0, learning_rate=1e-2)
    rows = [TrainingRow(f"sample_{i}", f"the film was great {i}", "positive") for i in range(4)]
    fine_tune(base_folder, rows, settings, base_id="b", seed=1, output=folder, stage="s", device="cpu")
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store for the session: creating its tables takes seconds. Tests use models of their own."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def tracking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: str) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    yield
    import mlflow

    while mlflow.active_run():
        mlflow.end_run()
