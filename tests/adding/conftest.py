"""A checkout without git, in which files are added."""

import shutil
from pathlib import Path

import pytest

from tests.fakes import put_domains
from tests.stages import ROOT


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    put_domains(folder)
    monkeypatch.chdir(folder)
    return folder
