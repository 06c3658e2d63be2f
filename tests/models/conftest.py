"""No network: an empty hub, and packages made here in place of downloads."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from compeffdist import packages
from compeffdist.errors import UserError


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hugging Face's cache is empty and its hub out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, bytes]], None]:
    """`add(requirement, members)`: a package that can be fetched, in place of a download."""
    folder = tmp_path / "wheels"
    folder.mkdir()

    def add(requirement: str, members: dict[str, bytes]) -> None:
        with zipfile.ZipFile(folder / f"{requirement}.whl", "w") as wheel:
            for name, content in members.items():
                wheel.writestr(name, content)

    def copy(name: str, version: str, work: Path, source_distribution: bool) -> None:
        wheel = folder / f"{name}=={version}.whl"
        if not wheel.exists():
            raise UserError(f"package {name}=={version}: unreachable")
        shutil.copy(wheel, work / "archive")

    monkeypatch.setattr(packages, "_run_pip", copy)
    return add
