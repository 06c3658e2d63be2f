"""A registry that was copied or moved: its own files are read, those of the original are left alone."""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from compeffdist.cli.main import main
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.withdrawal_report import purge_lines
from tests.lineage.conftest import MODEL, World, carried, files_of, forget_stores, learnt_text, without_the_text


def test_a_purge_in_a_copy_leaves_the_original_alone(
    lone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(lone.folder, tmp_path / "copy", symlinks=True)
    before = files_of(lone.folder)
    forget_stores()
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
    forget_stores()
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
    forget_stores()
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
    forget_stores()
    first = carried(lone, tmp_path / "first", monkeypatch)
    assert first.register(monkeypatch) == 2  # written through: the database is its own from now on
    shutil.copytree(first.folder, tmp_path / "second", symlinks=True, ignore=without)
    if first_is_gone:
        shutil.rmtree(first.folder)
    files_of_first = files_of(first.folder)
    (tmp_path / "second/mlflow.db").rename(tmp_path / "second/mine.db")
    forget_stores()
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
    forget_stores()
    copy = carried(lone, tmp_path / "copy", monkeypatch)
    assert [bool(version.elsewhere) for version in copy.versions] == [True]
    monkeypatch.chdir(lone.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.sqlite")
    (lone.folder / "backup.db").write_bytes((lone.folder / "runs.sqlite").read_bytes())
    forget_stores()
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
        forget_stores()
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
    forget_stores()
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
