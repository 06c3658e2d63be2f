"""What several rooms' tests share: an MLflow store and tiny students, each made once a session."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fakes import SYSTEM

# a loaded machine is slow, not wrong
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model version that is loaded puts its copy of the code first, for later tests' processes too."""
    monkeypatch.setattr(sys, "path", sys.path.copy())


@pytest.fixture(autouse=True, scope="session")
def _own_dvc_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """DVC keeps what it knows of tests' checkouts with them, not where every user of the machine may write."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("dvc-site")))
        yield


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where that can be, for tests that flush hundreds of times what nobody keeps."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.student.tiny import tiny_model_folder

    return tiny_model_folder(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="session", params=["full", "lora"])
def student_folder(request: pytest.FixtureRequest, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from compeffdist.params import FineTuningParams
    from compeffdist.student.training import TrainingRow, fine_tune

    folder = tmp_path_factory.mktemp(request.param) / "student"
    settings = FineTuningParams(method=request.param, epochs=2.0, learning_rate=1e-2)
    rows = [TrainingRow(f"sample_{i}", f"the film was great {i}", "positive") for i in range(4)]
    fine_tune(base_folder, rows, settings, base_id="b", seed=1, output=folder, stage="s", device="cpu", system=SYSTEM)
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One store for the session: creating its tables takes seconds. Tests use models of their own."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
