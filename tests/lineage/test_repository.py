"""What git has of a commit, whatever stands in its place."""

import subprocess
from pathlib import Path

import pytest

from compeffdist.lineage.byte_checks import committed_inputs_links
from compeffdist.lineage.repository import Lock, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "two words.txt").write_text("two\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    return Repository(tmp_path)


def test_files_of_commits_are_found(repository: Repository) -> None:
    commit = repository.history.text("rev-parse", "HEAD").strip()
    wanted = [(commit, "two words.txt"), ("HEAD", "dvc.yaml"), (commit, "none.txt"), ("0" * 40, "dvc.yaml")]
    assert list(repository.history.files_at(wanted).values()) == [b"two\n", b"stages: {}\n", None, None]


@pytest.mark.parametrize(
    "commit", ["", "main", "unknown", "HEAD\n", "a\nb", "HEAD\0x", "\ud800", "--batch", "x" * 9000]
)
def test_what_is_no_commit_holds_no_file(repository: Repository, commit: str) -> None:
    assert repository.file_at(commit, "dvc.yaml") is None
    assert repository.file_at("HEAD", f"dvc.yaml{commit}\n") is None
    (link,) = committed_inputs_links(repository, Lock("stages: {}", ("a commit",)), commit)
    assert link.status == "FAIL"
    assert str(link).count("\n") == 0 and "git fetch --all" in str(link)
