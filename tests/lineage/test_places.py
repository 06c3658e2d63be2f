"""Lineage where a checkout may lie: in a subfolder of a repository, in a shallow clone, behind links."""

import shutil
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.lineage.withdrawal_report import plan_lines, purge_lines
from tests.lineage.conftest import MODEL, World, without_the_text


def test_a_project_in_a_subfolder_has_its_history(sub_world: World) -> None:
    locks = sub_world.repository.locks()
    assert len(locks) == 1 and len(locks[0].commits) == 1 and locks[0].places[1].startswith("commit ")
    assert sub_world.auditor().audit().failures == []


def test_a_ledger_cut_short_in_a_subfolder_fails_the_audit(sub_world: World) -> None:
    ledger = sub_world.folder / "data/promotions.jsonl"
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
    failures = sub_world.auditor().audit().failures
    assert [(link.check, link.subject) for link in failures] == [("ledger", str(ledger))]


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
