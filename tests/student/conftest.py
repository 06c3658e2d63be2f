"""A tiny model folder, made once a session."""

from pathlib import Path

import pytest

from tests.student.tiny import tiny_model_folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("tiny") / "model")
