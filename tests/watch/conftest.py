"""A finished run in miniature to look at, each test in a copy of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.mini_run import MiniRun


@pytest.fixture(scope="module")
def made(base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> MiniRun:
    folder = tmp_path_factory.mktemp("watched")
    run = MiniRun.made(folder / "checkout", f"sqlite:///{folder}/mlflow.db", base_folder)
    params = yaml.safe_load((run.folder / "params.yaml").read_text())
    params["runtime"]["store"] = "answers.sqlite"
    (run.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return run


@pytest.fixture
def run(made: MiniRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MiniRun]:
    """A copy, which is the working folder."""
    shutil.copytree(made.folder, tmp_path / "checkout", symlinks=True)
    monkeypatch.chdir(tmp_path / "checkout")
    yield MiniRun(tmp_path / "checkout", made.uri)
