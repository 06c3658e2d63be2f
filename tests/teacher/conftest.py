"""Models for the tests of engines: a tiny random one, and a real one for those marked `engine`."""

import os
from pathlib import Path

import pytest
import yaml

from compeffdist.models import cache_folder, model_folder, resolve_model
from compeffdist.params import ModelParams, RuntimeParams
from tests.student.tiny import tiny_model_folder

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer model with a chat template."""
    return tiny_model_folder(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """COMPEFFDIST_TEST_MODEL, else the student of the base profile, fetched if it is not in the cache."""
    if folder := os.environ.get("COMPEFFDIST_TEST_MODEL"):
        return Path(folder)
    raw = yaml.safe_load((REPOSITORY / "profiles/base.yaml").read_text(encoding="utf-8"))
    cache = cache_folder(RuntimeParams().cache)
    return model_folder(resolve_model("student", ModelParams(**raw["models"]["student"]), cache), cache)
