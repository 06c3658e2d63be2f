"""One run of the asking stages, shared; whoever changes anything works on a copy."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exchange.world import Checkout, Engine, checkout, enter, never
from tests.models.conftest import no_hub, package_index

__all__ = ["no_hub", "package_index"]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    with checkout(tmp_path_factory.mktemp("exchange") / "checkout") as made:
        pass
    yield made


@pytest.fixture
def ran(shared: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A copy of the run to change at will, in which nothing can be bought."""
    shutil.copytree(shared.folder, tmp_path / "checkout")
    enter(monkeypatch, tmp_path / "checkout")
    monkeypatch.setattr("compeffdist.teacher.asking.open_engine", never)
    return Checkout(tmp_path / "checkout", Engine())
