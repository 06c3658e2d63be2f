"""What is read of git: right wherever the project lies and whatever the user configured; a failure is no emptiness."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.git import Git, NoRepository, git_setting
from compeffdist.ledger import who
from compeffdist.registry.register import NO_COMMIT, git_commit

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")


def git(folder: Path, *arguments: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_INDEX_FILE")}
    done = subprocess.run(
        ["git", *IDENTITY, *arguments], cwd=folder, env=clean, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str = "a commit") -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "top"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return folder


@pytest.fixture
def project(top: Path) -> Path:
    """In a subfolder whose name git would quote, with two commits of a file."""
    folder = top / "Größe *[1]" / "sub"
    folder.mkdir(parents=True)
    for text in ("one", "two"):
        (folder / "dvc.lock").write_text(text)
        commit(top)
    return folder


def contents(history: Git, path: str = "dvc.lock") -> list[bytes | None]:
    commits = [name for name, _ in history.commits_of(path)]
    return list(history.files_at((name, path) for name in commits).values())


def test_a_project_in_a_subfolder_has_its_history(top: Path, project: Path) -> None:
    (top / "dvc.lock").write_text("another project's")
    head = commit(top)
    history = Git(project)
    assert history.head() == head
    assert contents(history) == [b"two", b"one"]
    assert history.files_at([("HEAD", "dvc.lock"), ("HEAD", "../../dvc.lock"), ("HEAD", "../../../x")]) == {
        ("HEAD", "dvc.lock"): b"two",
        ("HEAD", "../../dvc.lock"): b"another project's",
        ("HEAD", "../../../x"): None,
    }


def test_a_link_has_the_history_of_what_it_leads_to(top: Path, project: Path) -> None:
    (project / "locks").mkdir()
    (project / "dvc.lock").rename(project / "locks/one.lock")
    (top / "two.lock").write_text("five")
    for target, texts in (("locks/one.lock", ["three", "four"]), ("../../two.lock", ["six"])):
        (project / "dvc.lock").unlink(missing_ok=True)
        (project / "dvc.lock").symlink_to(target)
        commit(top)  # with what was there
        for text in texts:
            (project / target).write_text(text)
            commit(top)
    assert contents(Git(project)) == [
        *(text.encode() for text in ("six", "five", "four", "three", "two", "two", "one")),
    ]
    chain = project / "chain.lock"
    chain.symlink_to("dvc.lock")
    commit(top)
    assert Git(project).files_at([("HEAD", "chain.lock"), ("HEAD", "none.lock"), ("HEAD", "locks")]) == {
        ("HEAD", "chain.lock"): b"six",
        ("HEAD", "none.lock"): None,
        ("HEAD", "locks"): None,
    }
    assert contents(Git(project), "chain.lock")[0] == b"six"


@pytest.mark.parametrize("target", ["/nowhere/dvc.lock", "../../../dvc.lock", "none.lock", "dvc.lock", "file/x"])
def test_a_link_that_leads_out_of_the_repository_is_not_taken_for_a_file_or_none(project: Path, target: str) -> None:
    (project / "file").write_text("a file")
    (project / "dvc.lock").unlink()
    (project / "dvc.lock").symlink_to(target)
    head = commit(project)
    with pytest.raises(UserError, match=rf"^git: dvc.lock of commit {head[:10]} is a link that leads to .* not known"):
        contents(Git(project))
    assert Git(project).files_at([("HEAD", "file")]) == {("HEAD", "file"): b"a file"}


def test_only_changes_of_the_project_make_it_dirty(top: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (top / "other.txt").write_text("a")
    head = commit(top)
    monkeypatch.chdir(project)
    (top / "other.txt").write_text("b")
    assert git_commit() == head
    (project / "dvc.lock").write_text("three")
    assert git_commit() == f"{head}-dirty"


CONFIGURED = {
    "log.showSignature": "true",
    "color.ui": "always",
    "core.quotePath": "true",
    "log.date": "relative",
    "log.follow": "true",
    "log.decorate": "full",
    "format.pretty": "fuller",
    "diff.external": "false",
    "core.pager": "false",
    "pager.log": "true",
    "core.fsmonitor": "/bin/false",
    "alias.rev-list": "!false",
    "alias.log": "!false",
    "i18n.logOutputEncoding": "UTF-16",
    "status.relativePaths": "false",
    "status.branch": "true",
    "status.showUntrackedFiles": "all",
}


def test_what_a_user_configures_changes_nothing_that_is_read(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    git(project, "config", "gpg.format", "ssh")
    git(project, "config", "user.signingKey", f"{key}.pub")
    (project / "dvc.lock").write_text("signed")
    git(project, "commit", "-qa", "-S", "-m", "signed")
    monkeypatch.chdir(project)
    plain = list(Git(project).commits_of("dvc.lock")), list(Git(project).refs("refs")), git_commit()
    for name, value in CONFIGURED.items():
        git(project, "config", name, value)
    (project / "untracked").touch()
    assert (list(Git(project).commits_of("dvc.lock")), list(Git(project).refs("refs")), git_commit()) == plain
    assert len(plain[0]) == 3 and contents(Git(project)) == [b"signed", b"two", b"one"]


def test_what_a_hook_sets_does_not_lead_elsewhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git(project, "rev-parse", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    for name, value in {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_INDEX_FILE": other / "index",
        "GIT_PREFIX": "elsewhere/",
        "GIT_OBJECT_DIRECTORY": other / ".git/objects",
        "GIT_CONFIG": other / "none",
        "GIT_ICASE_PATHSPECS": "1",
        "GIT_TRACE": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(project)
    assert git_commit() == head and contents(Git(project)) == [b"two", b"one"]


def test_without_a_repository_or_a_commit_there_is_no_commit(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert git_commit() == NO_COMMIT
    with pytest.raises(NoRepository, match="in no git repository"):
        list(Git(tmp_path).commits_of("dvc.lock"))
    monkeypatch.chdir(top)
    assert git_commit() == NO_COMMIT
    assert contents(Git(top)) == [] and Git(top).files_at([("HEAD", "a")]) == {("HEAD", "a"): None}


def test_a_repository_of_somebody_else_is_one_line_with_the_command(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for ask in (git_commit, lambda: contents(Git(project)), lambda: Git(project).files_at([("HEAD", "dvc.lock")])):
        with pytest.raises(UserError, match=r"git config --global --add safe\.directory") as stop:
            ask()
        assert not isinstance(stop.value, NoRepository) and "\n" not in str(stop.value)


def test_git_that_is_not_installed_is_told_from_a_folder_outside_of_git(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("LOGNAME", "ada")
    with pytest.raises(UserError, match=r"git is not installed, but .*is a git repository") as stop:
        Git(project).head()
    assert not isinstance(stop.value, NoRepository)
    monkeypatch.chdir(tmp_path)
    assert git_commit() == NO_COMMIT and who() == "ada"


def test_a_folder_whose_files_git_cannot_be_asked_for_is_one_line(top: Path) -> None:
    (top / "a\nb").mkdir()
    (top / "a\nb/dvc.lock").write_text("stages: {}\n")
    commit(top)
    with pytest.raises(UserError, match="rename it"):
        Git(top / "a\nb").files_at([("HEAD", "dvc.lock")])


def test_what_is_damaged_is_not_taken_for_empty(top: Path, project: Path) -> None:
    blob = git(project, "rev-parse", "HEAD:./dvc.lock")
    (top / f".git/objects/{blob[:2]}/{blob[2:]}").unlink()
    with pytest.raises(UserError, match=r"dvc\.lock of commit HEAD cannot be read"):
        Git(project).files_at([("HEAD", "dvc.lock")])
    assert Git(project).files_at([("HEAD", "none"), ("0" * 40, "dvc.lock")]) == {
        ("HEAD", "none"): None,
        ("0" * 40, "dvc.lock"): None,
    }


@pytest.mark.parametrize("content", ["", "0" * 39 + "1\n", "nonsense\n"])
def test_a_branch_that_cannot_be_read_is_not_taken_for_one_without_commits(
    top: Path, project: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / ".git/refs/heads/main").write_text(content)
    monkeypatch.chdir(project)
    for ask in (git_commit, lambda: contents(Git(project)), lambda: Git(project).files_at([("HEAD", "dvc.lock")])):
        with pytest.raises(UserError, match="git"):
            ask()


def test_a_repository_that_git_does_not_recognise_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(UserError, match=r"although .* is there") as stop:
        Git(tmp_path).head()
    assert not isinstance(stop.value, NoRepository)
    shutil.rmtree(tmp_path / ".git")
    (tmp_path / ".git").write_text("gitdir: /nowhere/.git/worktrees/x\n")
    with pytest.raises(UserError) as stop:
        Git(tmp_path).head()
    assert not isinstance(stop.value, NoRepository)


def test_a_shallow_clone_says_so(top: Path, project: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{top}", "shallow")
    history = Git(tmp_path / "shallow" / project.relative_to(top))
    assert history.shallow and not Git(project).shallow
    assert contents(history) == [b"two"]


def test_a_worktree_of_a_bare_repository(top: Path, project: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(top), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "-q", str(tmp_path / "tree"), "main")
    history = Git(tmp_path / "tree" / project.relative_to(top))
    assert contents(history) == [b"two", b"one"] and not history.changed()
    with pytest.raises(UserError, match="work tree"):
        Git(tmp_path / "bare.git").changed()


def test_a_configuration_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[user\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    with pytest.raises(UserError, match="git config failed"):
        git_setting(tmp_path, "user.name")
