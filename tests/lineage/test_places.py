"""Lineage where a checkout may lie: in a subfolder of a repository, in a shallow clone, copied, moved, read-only."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import yaml

from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.ledger import Ledger
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.withdrawal_report import plan_lines, purge_lines
from compeffdist.registry.tracking import open_tracking
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


@pytest.mark.parametrize("path", ["data/texts.parquet", "data/training.parquet", "data/pairs.parquet"])
def test_what_was_made_of_a_text_is_not_ruled_out_by_an_artefact_that_is_not_here(path: str, sub_world: World) -> None:
    """What leads from the text to the version that learnt it, or the texts themselves, are gone from the cache."""
    lost = sub_world.repository.object_path(sub_world.repository.workspace_lock().md5(path))
    text_id = without_the_text(sub_world)
    lost.unlink()
    plan = sub_world.forgetting().plan(text_id)
    told = f"models:/{MODEL}/1: the texts" if path == "data/texts.parquet" else f"has the text, but {path}"
    lines = [*plan_lines(plan), *purge_lines(plan, plan.holdings)]
    assert any(line.startswith("not looked into: ") and told in line for line in lines)
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
    clone = world.forgetting(sub_world.versions)
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


def test_a_copy_that_shares_the_original_s_files_by_a_link_leaves_them(
    lone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(lone.folder, tmp_path / "copy", symlinks=True, ignore=shutil.ignore_patterns("mlruns"))
    (tmp_path / "copy/mlruns").symlink_to(lone.folder / "mlruns")
    before = files_of(lone.folder)
    _forget_stores()
    copy = carried(lone, tmp_path / "copy", monkeypatch)
    assert [bool(version.elsewhere) for version in copy.versions] == [True]
    text_id = without_the_text(copy)
    copy.forgetting().purge(copy.forgetting().plan(text_id))
    assert copy.versions == []
    assert files_of(lone.folder) == before


@pytest.mark.parametrize(
    ("address", "first_is_gone"), [("sqlite:///./mine.db", False), ("sqlite:///../second/mine.db", True)]
)
def test_a_copy_of_a_copy_whose_database_has_another_name_leaves_both_originals(
    lone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, first_is_gone: bool
) -> None:
    without = shutil.ignore_patterns("mlruns")
    shutil.copytree(lone.folder, tmp_path / "first", symlinks=True, ignore=without)
    before = files_of(lone.folder)
    _forget_stores()
    first = carried(lone, tmp_path / "first", monkeypatch)
    assert first.register(monkeypatch) == 2  # written through: the database is its own from now on
    shutil.copytree(first.folder, tmp_path / "second", symlinks=True, ignore=without)
    if first_is_gone:
        shutil.rmtree(first.folder)
    files_of_first = files_of(first.folder)
    (tmp_path / "second/mlflow.db").rename(tmp_path / "second/mine.db")
    _forget_stores()
    monkeypatch.chdir(tmp_path / "second")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    second = World(tmp_path / "second", address)
    assert [bool(version.elsewhere) for version in second.versions] == [True, True]
    if not first_is_gone:
        assert second.register(monkeypatch) == 3
    text_id = without_the_text(second)
    second.forgetting().purge(second.forgetting().plan(text_id))
    assert second.versions == []
    assert files_of(lone.folder) == before and files_of(first.folder) == files_of_first


def test_a_database_beside_the_files_is_their_store_s_whatever_it_is_called(
    lone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in a store of older days says what it is a copy of."""
    with closing(sqlite3.connect(lone.folder / "mlflow.db")) as connection, connection:
        connection.execute("DELETE FROM experiment_tags")
    shutil.copytree(lone.folder, tmp_path / "copy", symlinks=True, ignore=shutil.ignore_patterns("mlruns"))
    (lone.folder / "mlflow.db").rename(lone.folder / "runs.sqlite")
    _forget_stores()
    copy = carried(lone, tmp_path / "copy", monkeypatch)
    assert [bool(version.elsewhere) for version in copy.versions] == [True]
    monkeypatch.chdir(lone.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.sqlite")
    (lone.folder / "backup.db").write_bytes((lone.folder / "runs.sqlite").read_bytes())
    _forget_stores()
    assert [version.elsewhere for version in lone.versions] == [""]


@pytest.mark.parametrize("command", ["history", "trace", "audit", "forget", "predict", "promote", "results"])
def test_a_damaged_database_is_one_line_and_stays_as_it_is(
    lone: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    database = lone.folder / "mlflow.db"
    whole = database.read_bytes()
    arguments = {
        "predict": ["--text", "fine", "--model", f"models:/{MODEL}/1"],
        "trace": [learnt_text(lone).id],
        "forget": [learnt_text(lone).id, "--dry-run"],
        "promote": ["1", "--to", "champion"],
    }
    damaged = {
        "cut off": whole[: len(whole) // 2],
        "no database": b"nothing of the kind" * 100,
        "pages lost": whole[:4096] + b"\xff" * (len(whole) - 4096),
    }
    for content in damaged.values():
        database.write_bytes(content)
        _forget_stores()
        with suppress(SystemExit):
            main([command, *arguments.get(command, [])])
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert command == "results" or [line for line in said.splitlines() if "mlflow.db: " in line]
        assert database.read_bytes() == content


def test_files_that_lie_on_another_disk_behind_a_link_are_this_store_s(
    lone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(lone.folder / "mlruns", tmp_path / "disk")
    (lone.folder / "mlruns").symlink_to(tmp_path / "disk")
    assert [version.elsewhere for version in lone.versions] == [""]


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


# ---------------------------------------------------------------- a lock that is a link


def test_a_lock_that_is_a_link_is_followed_in_the_folder_and_in_git(lone: World) -> None:
    lock = lone.folder / "dvc.lock"
    before = [one.text for one in lone.repository.locks()]
    (lone.folder / "locks").mkdir()
    lock.rename(lone.folder / "locks/mine.lock")
    lock.symlink_to("locks/mine.lock")
    lone.commit("the lock is a link")
    assert [one.text for one in lone.repository.locks()] == before
    assert len(lone.repository.locks()[0].commits) == len(set(lone.repository.locks()[0].commits)) >= 2
    audit = lone.auditor().audit()
    assert audit.passed, audit.failures
    assert lone.auditor().version_audit(lone.versions[0]).passed


def test_a_lock_that_leads_out_of_the_repository_is_told(lone: World, tmp_path: Path) -> None:
    lock = lone.folder / "dvc.lock"
    lock.rename(tmp_path / "outside.lock")
    lock.symlink_to(tmp_path / "outside.lock")
    assert lone.auditor().audit().passed  # nothing of it is committed
    lone.commit("out of sight")
    with pytest.raises(UserError, match=r"^git: dvc.lock of commit \w{10} is a link that leads to .*/outside.lock: "):
        lone.auditor().audit()
    (tmp_path / "outside.lock").unlink()
    with pytest.raises(UserError, match=r"dvc.lock: a link that leads nowhere \(.*outside.lock\)"):
        lone.repository.workspace_lock()
    with pytest.raises(UserError, match="a link that leads nowhere"):
        lone.repository.locks()


# ---------------------------------------------------------------- what may only be read


def limited(world: World, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command by a process that obeys permissions, which root's do not."""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if os.geteuid() == 0 else []
    if bound and shutil.which("setpriv") is None:
        pytest.skip("setpriv is needed to run as somebody who obeys permissions")
    command = [*bound, sys.executable, "-m", "compeffdist.cli.main", *arguments]
    return subprocess.run(
        command, cwd=world.folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def read_only(lone: World) -> Iterator[World]:
    params = yaml.safe_load((lone.folder / "params.yaml").read_text())
    params["registry"]["model_name"] = MODEL
    params["runtime"] |= {"store": str(lone.store), "device": "cpu"}
    (lone.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    shutil.rmtree(lone.folder / ".dvc/tmp")  # as in a clone that nobody has run anything in
    paths = [lone.folder, *lone.folder.rglob("*")]
    modes = {path: path.lstat().st_mode for path in paths if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    yield lone
    for path, mode in modes.items():
        path.chmod(mode)


def test_a_checkout_that_may_only_be_read_answers(read_only: World) -> None:
    before = files_of(read_only.folder)
    text = learnt_text(read_only)
    traced = limited(read_only, "trace", text.id)
    assert f"models:/{MODEL}/1" in traced.stdout, traced.stderr
    audited = limited(read_only, "audit")
    assert (audited.returncode, "0 are broken" in audited.stdout) == (0, True), audited.stdout + audited.stderr
    history = limited(read_only, "history", "--json")
    assert json.loads(history.stdout)["problem"] == "" and history.stderr == ""
    asked = limited(read_only, "predict", "--model", f"models:/{MODEL}/1", "--text", "fine", "--json")
    assert set(json.loads(asked.stdout)["probabilities"]) == {"negative", "neutral", "positive"}, asked.stderr
    assert files_of(read_only.folder) == before


def test_what_would_write_into_what_may_only_be_read_is_one_line(read_only: World) -> None:
    before = files_of(read_only.folder)
    text_id = learnt_text(read_only).id
    for arguments in (
        ("promote", "1", "--to", "champion", "--override", "to try it"),
        ("rollback", "--reason", "to try it"),
        ("unlock", "key"),
        ("forget", text_id, "--purge"),
    ):
        done = limited(read_only, *arguments)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ") and str(read_only.folder) in done.stderr
    assert files_of(read_only.folder) == before


def test_what_a_crash_left_in_a_registry_that_may_only_be_read_is_said(
    lone: World, read_only: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command of whoever may write carries it out."""
    (read_only.folder / "data").chmod(0o755)
    (read_only.folder / "mlflow.db").chmod(0o644)
    read_only.folder.chmod(0o755)
    client = open_tracking()
    client.set_registered_model_tag(MODEL, "registry_id", "r")
    body = {"registry": "r", "model": MODEL, "from": None, "to": 1, "override": "", "failed": []}
    Ledger(read_only.folder / "data/promotions.jsonl").append("promote", body)
    for path in ("data", "mlflow.db", "."):
        (read_only.folder / path).chmod(0o555)
    history = limited(read_only, "history")
    assert history.returncode == 0 and "1 is not carried out" not in history.stdout
    assert "what entry 1 says is not carried out to the end" in history.stderr
    assert "promote" in history.stdout and "readonly" in history.stderr.replace("read-only", "readonly")


@pytest.mark.parametrize("command", ["predict", "history", "trace", "audit", "results", "forget"])
def test_a_question_to_a_registry_that_is_not_there_makes_none(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    arguments = {
        "predict": ["--text", "fine"],
        "trace": [learnt_text(world).id],
        "forget": [learnt_text(world).id, "--dry-run"],
    }
    with suppress(SystemExit):
        main([command, *arguments.get(command, [])])
    assert "Traceback" not in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
