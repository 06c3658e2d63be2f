"""One finished miniature run in a real git and DVC repository, with a registered version; copies for those who
break things."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.artefacts import DEMONSTRATIONS, TEXTS, TRIPLETS
from compeffdist.exchange.questions import Questions
from compeffdist.ledger import Ledger
from compeffdist.lineage.audit import Auditor
from compeffdist.lineage.forget import Forgetting
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.trace import Tracer
from compeffdist.lineage.versions import Version, read_versions
from compeffdist.records import Text
from compeffdist.registry.tracking import open_tracking
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import AnswerRecord
from compeffdist.tracking_uri import DEFAULT_URI, SQLITE
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

    def known(self, *records: AnswerRecord) -> KnownAnswers:
        return KnownAnswers(self.store, records)

    def tracer(self) -> Tracer:
        return Tracer(self.repository, self.versions, self.known())

    def auditor(self, *records: AnswerRecord) -> Auditor:
        ledgers = (self.folder / "data/promotions.jsonl", self.folder / "data/withdrawals.jsonl")
        return Auditor(self.repository, self.versions, self.known(*records), self.folder / "cache", ledgers)

    def forgetting(self, versions: list[Version] | None = None) -> Forgetting:
        def questions() -> Questions:
            raise AssertionError("without records nobody asks for questions")

        found = self.versions if versions is None else versions
        return Forgetting(self.repository, found, self.known(), lambda text_id, source: [], questions)


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with its tables made, which takes MLflow seconds."""
    database = tmp_path_factory.mktemp("registry") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        open_tracking()
    return database


def registered(folder: Path, registry: Path, base: Path, proxy: bool = False) -> World:
    """A run with a registered version."""
    shutil.copy(registry, folder / "mlflow.db")
    made = World.made(folder / "checkout", f"{SQLITE}{folder / 'mlflow.db'}", base, proxy=proxy)
    with pytest.MonkeyPatch.context() as patch:
        made.register(patch)
    return made


def entered(made: World, patch: pytest.MonkeyPatch) -> World:
    """A run in whose folder one works."""
    patch.setenv("MLFLOW_TRACKING_URI", made.uri)
    patch.chdir(made.folder)
    return made


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, base_folder: Path, empty_registry: Path) -> World:
    """Built once; whoever changes anything in it puts it back."""
    return registered(tmp_path_factory.mktemp("world"), empty_registry, base_folder)


@pytest.fixture
def world(shared: World, monkeypatch: pytest.MonkeyPatch) -> World:
    return entered(shared, monkeypatch)


@pytest.fixture(scope="module")
def shared_proxy(tmp_path_factory: pytest.TempPathFactory, base_folder: Path, empty_registry: Path) -> World:
    return registered(tmp_path_factory.mktemp("proxy"), empty_registry, base_folder, proxy=True)


@pytest.fixture
def proxy_world(shared_proxy: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A run in mode proxy."""
    return entered(shared_proxy, monkeypatch)


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
    return entered(World(folder / "checkout", f"{SQLITE}{folder / 'mlflow.db'}"), patch)


def carried(world: World, folder: Path, patch: pytest.MonkeyPatch) -> World:
    """The same world in another folder, with its registry in the default place."""
    return entered(World(folder, DEFAULT_URI), patch)


@pytest.fixture
def placed(shared: World, empty_registry: Path, tmp_path: Path) -> Path:
    """A checkout whose registry is to be the default one, beside its data, but for its versions."""
    shutil.copytree(shared.folder, tmp_path / "top/sub")
    shutil.copy(empty_registry, tmp_path / "top/sub/mlflow.db")
    with (tmp_path / "top/sub/.gitignore").open("a") as file:
        file.write("/mlflow.db*\n/mlruns\n")
    return tmp_path / "top/sub"


@pytest.fixture
def sub_world(placed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A checkout in a subfolder of a repository, committed, with a version registered."""
    shutil.rmtree(placed / ".git")
    world = carried(World(placed, ""), placed, monkeypatch)
    ledger = Ledger(placed / "data/promotions.jsonl")
    for number in range(2):
        ledger.append("promote", {"number": number})
    World(placed.parent, "").run("git", "init", "-q")
    world.commit("in a subfolder")
    world.register(monkeypatch)
    yield world
    forget_stores()


@pytest.fixture
def lone(placed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A checkout of its own with a version registered beside it."""
    forget_stores()  # another test may have opened a default one, too
    world = carried(World(placed, ""), placed, monkeypatch)
    world.commit("ignored")
    world.register(monkeypatch)
    yield world
    forget_stores()


def forget_stores() -> None:
    """MLflow keeps what it opened by its address, and the default one is relative."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Models
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs
    from mlflow.tracking._model_registry.utils import _get_store_registry
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    for registry in (_get_store_registry(), _tracking_store_registry):
        registry._get_store_with_resolved_uri.cache_clear()
    for store in (Models, Runs):
        store._engine_map.clear()


def learnt_text(world: World) -> Text:
    """A text the student was trained on, and whose style no demonstration follows."""
    followed = {key for record in world.records(DEMONSTRATIONS) for key in record.reference_text_ids}
    kept = world.snapshot.kept_triplet_ids()
    learnt = {record.text_id for record in world.records(TRIPLETS) if record.id in kept}
    return next(record for record in world.records(TEXTS) if record.id in learnt - followed)


def without_the_text(world: World) -> str:
    """Withdraw a text the version learnt, and leave data without it in the working folder."""
    text = learnt_text(world)
    forgetting = world.forgetting()
    forgetting.apply(forgetting.plan(text.id))
    world.repro()
    world.commit("without it")
    return text.id


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder, but for caches and what is opened."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "index"
    }
