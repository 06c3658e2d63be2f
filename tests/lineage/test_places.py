"""Lineage where a checkout may lie: in a subfolder of a repository, in a shallow clone, copied, moved, read-only."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.ledger import Ledger
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.withdrawal_report import plan_lines, purge_lines
from compeffdist.tracking_uri import DEFAULT_URI
from tests.lineage.conftest import MODEL, World
from tests.lineage.test_forget import learnt_text


def carried(world: World, folder: Path, patch: pytest.MonkeyPatch) -> World:
    """The same world in another folder, with its registry in the default place."""
    made = World(folder, DEFAULT_URI)
    patch.setenv("MLFLOW_TRACKING_URI", DEFAULT_URI)
    patch.chdir(folder)
    return made


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
    _forget_stores()


@pytest.fixture
def lone(placed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A checkout of its own with a version registered beside it."""
    world = carried(World(placed, ""), placed, monkeypatch)
    world.commit("ignored")
    world.register(monkeypatch)
    yield world
    _forget_stores()


def _forget_stores() -> None:
    """MLflow keeps what it opened by its address, and the default one is relative."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Models
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs
    from mlflow.tracking._model_registry.utils import _get_store_registry
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    for registry in (_get_store_registry(), _tracking_store_registry):
        registry._get_store_with_resolved_uri.cache_clear()
    for store in (Models, Runs):
        store._engine_map.clear()


def test_a_project_in_a_subfolder_has_its_history(sub_world: World) -> None:
    locks = sub_world.repository.locks()
    assert len(locks) == 1 and len(locks[0].commits) == 1 and locks[0].places[1].startswith("commit ")
    assert sub_world.auditor().audit().failures == []


def test_a_ledger_cut_short_in_a_subfolder_fails_the_audit(sub_world: World) -> None:
    ledger = sub_world.folder / "data/promotions.jsonl"
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
    failures = sub_world.auditor().audit().failures
    assert [(link.check, link.subject) for link in failures] == [("ledger", str(ledger))]


def without_the_text(world: World) -> str:
    """Withdraw a text the version learnt, and leave data without it in the working folder."""
    text = learnt_text(world)
    forgetting = world.forgetting()
    forgetting.apply(forgetting.plan(text.id))
    world.run("dvc", "repro", "-q")
    world.commit("without it")
    return text.id


def test_a_purge_in_a_subfolder_reaches_the_version_that_learnt_the_text(
    sub_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text_id = without_the_text(sub_world)
    plan = sub_world.forgetting().plan(text_id)
    kinds = {holding.kind for holding in plan.holdings}
    assert kinds == {"cache object", "model version"} and plan.unlooked == ()
    sub_world.forgetting().purge(plan)
    assert sub_world.versions == []
    assert not list((sub_world.folder / "mlruns").rglob("model.safetensors"))


def test_of_a_version_whose_data_nothing_has_it_is_not_said_that_it_holds_nothing(
    sub_world: World, tmp_path: Path
) -> None:
    text_id = without_the_text(sub_world)
    sub_world.run("git", "checkout", "-q", "--orphan", "other")
    sub_world.run("git", "branch", "-qD", "master")
    sub_world.commit("without history")
    plan = sub_world.forgetting().plan(text_id)
    assert any(f"models:/{MODEL}/1" in line for line in plan.unlooked)
    lines = [*plan_lines(plan), *purge_lines(plan, plan.holdings)]
    assert any(line.startswith("not looked into: 1 model versions") for line in lines)
    assert not any("nowhere that this machine" in line or line.endswith("held nowhere else") for line in lines)


def test_a_shallow_clone_says_what_it_does_not_see(
    sub_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text_id = without_the_text(sub_world)
    top = sub_world.folder.parent
    sub_world.run("git", "clone", "-q", "--depth", "1", f"file://{top}", str(tmp_path / "shallow"))
    folder = tmp_path / "shallow/sub"
    shutil.copytree(sub_world.folder / "models", folder / "models", dirs_exist_ok=True)
    shutil.copytree(sub_world.folder / ".dvc/cache", folder / ".dvc/cache")
    world = World(folder, "")
    clone = type(sub_world.forgetting())(world.repository, sub_world.versions, world.store, lambda i, s: [])
    assert any("git fetch --unshallow" in line for line in clone.plan(text_id).unlooked)
    with pytest.raises(UserError, match="this clone is shallow: git fetch --unshallow"):
        world_tracer = type(sub_world.tracer())(world.repository, sub_world.versions, sub_world.tracer().known)
        world_tracer.trace(f"models:/{MODEL}/1")


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder, but for caches and what is opened."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "index"
    }


def test_a_purge_in_a_copy_leaves_the_original_alone(
    lone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(lone.folder, tmp_path / "copy", symlinks=True)
    before = files_of(lone.folder)
    _forget_stores()
    copy = carried(lone, tmp_path / "copy", monkeypatch)
    assert [version.elsewhere for version in copy.versions] == [""]
    text_id = without_the_text(copy)
    copy.forgetting().purge(copy.forgetting().plan(text_id))
    assert copy.versions == [] and not list((copy.folder / "mlruns").rglob("model.safetensors"))
    assert copy.register(monkeypatch) in (1, 2)
    assert copy.auditor().audit().failures == []
    assert files_of(lone.folder) == before


def test_a_copy_of_the_database_alone_reads_the_original_s_files_and_touches_none(
    lone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(lone.folder, tmp_path / "copy", symlinks=True, ignore=shutil.ignore_patterns("mlruns"))
    before = files_of(lone.folder)
    _forget_stores()
    copy = carried(lone, tmp_path / "copy", monkeypatch)
    assert copy.auditor().audit().failures == []
    assert copy.versions[0].elsewhere.startswith(str(lone.folder))
    assert copy.register(monkeypatch) == 2  # the same student, but version 1 cannot be added to
    assert len(list((copy.folder / "mlruns").rglob("MLmodel"))) == 1
    text_id = without_the_text(copy)
    plan = copy.forgetting().plan(text_id)
    removed = copy.forgetting().purge(plan)
    assert copy.versions == []
    lines = list(purge_lines(plan, removed))
    assert any(f"left: the files of models:/{MODEL}/1, which are another checkout's" in line for line in lines)
    assert not any("held nowhere" in line for line in lines)
    assert files_of(lone.folder) == before


def test_after_a_move_old_versions_are_found_and_new_ones_lie_in_the_new_place(
    lone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(lone.folder, tmp_path / "moved here, Größe")
    _forget_stores()
    moved = carried(lone, tmp_path / "moved here, Größe", monkeypatch)
    assert moved.auditor().audit().failures == []  # looking finds them before anything is written
    assert moved.register(monkeypatch) == 1  # the same student, found
    without_the_text(moved)
    assert moved.register(monkeypatch) == 2
    assert moved.auditor().audit().failures == []
    assert not lone.folder.exists()
    assert len(list((moved.folder / "mlruns").rglob("MLmodel"))) == 2
    import mlflow

    for number in (1, 2):
        place = mlflow.MlflowClient().get_model_version_download_uri(MODEL, str(number))
        assert place.startswith(moved.folder.as_uri())


def test_without_a_store_here_a_version_registered_elsewhere_is_not_forgotten_about(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compeffdist.lineage.checkout import absent_registry

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    assert absent_registry(Repository(world.folder)) == ""
    registration = world.folder / "metrics/registration.json"
    registration.write_text("{}")
    try:
        assert "there is no sqlite:" in absent_registry(Repository(world.folder))
    finally:
        registration.unlink()
    assert not (tmp_path / "none.db").exists() and not any(tmp_path.iterdir())
