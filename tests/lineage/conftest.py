"""One finished miniature run in a real git and DVC repository, with a registered version; copies for those who
break things."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.lineage.audit import Auditor
from compeffdist.lineage.forget import Forgetting
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.trace import Tracer
from compeffdist.lineage.versions import Version, read_versions
from compeffdist.registry.tracking import open_tracking
from compeffdist.teacher.known import KnownAnswers
from compeffdist.tracking_uri import SQLITE
from tests.mini_run import MODEL, MiniRun

__all__ = ["MODEL"]


class World(MiniRun):
    """A run, and what looks into it."""

    @property
    def versions(self) -> list[Version]:
        return read_versions(self.repository, MODEL)

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(self.repository, self.repository.workspace_lock())

    def tracer(self) -> Tracer:
        return Tracer(self.repository, self.versions, KnownAnswers(self.store, []))

    def auditor(self) -> Auditor:
        ledgers = (self.folder / "data/promotions.jsonl", self.folder / "data/withdrawals.jsonl")
        return Auditor(self.repository, self.versions, self.store, self.folder / "cache", ledgers)

    def forgetting(self) -> Forgetting:
        return Forgetting(self.repository, self.versions, self.store, lambda text_id, source: [])


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, base_folder: Path) -> Iterator[World]:
    """Built once; whoever changes anything in it puts it back."""
    folder = tmp_path_factory.mktemp("world")
    made = World.made(folder / "checkout", f"sqlite:///{folder / 'mlflow.db'}", base_folder)
    with pytest.MonkeyPatch.context() as patch:
        made.register(patch)
    yield made


@pytest.fixture
def world(shared: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared.uri)
    monkeypatch.chdir(shared.folder)
    return shared


@pytest.fixture(scope="module")
def shared_proxy(tmp_path_factory: pytest.TempPathFactory, base_folder: Path, empty_registry: Path) -> Iterator[World]:
    """A run in mode proxy, with a registered version."""
    folder = tmp_path_factory.mktemp("proxy")
    shutil.copy(empty_registry, folder / "mlflow.db")
    made = World.made(folder / "checkout", f"{SQLITE}{folder / 'mlflow.db'}", base_folder, proxy=True)
    with pytest.MonkeyPatch.context() as patch:
        made.register(patch)
    yield made


@pytest.fixture
def proxy_world(shared_proxy: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared_proxy.uri)
    monkeypatch.chdir(shared_proxy.folder)
    return shared_proxy


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with its tables made, which takes MLflow seconds."""
    database = tmp_path_factory.mktemp("registry") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        open_tracking()
    return database


@pytest.fixture
def own_world(shared: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy to change at will, its registry too, but for the files of version 1, which are those of all."""
    return copied(shared, tmp_path, Path(shared.uri.removeprefix(SQLITE)), monkeypatch)


@pytest.fixture
def lone_world(shared: World, empty_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy to change at will, registered files and all."""
    made = copied(shared, tmp_path, empty_registry, monkeypatch)
    made.register(monkeypatch)
    return made


def copied(shared: World, folder: Path, registry: Path, patch: pytest.MonkeyPatch) -> World:
    shutil.copytree(shared.folder, folder / "checkout")
    shutil.copy(registry, folder / "mlflow.db")
    made = World(folder / "checkout", f"{SQLITE}{folder / 'mlflow.db'}")
    patch.setenv("MLFLOW_TRACKING_URI", made.uri)
    patch.chdir(made.folder)
    return made
