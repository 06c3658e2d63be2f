"""The session's store and a folder of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def tracking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: str) -> Iterator[None]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    yield
    import mlflow

    while mlflow.active_run():
        mlflow.end_run()
