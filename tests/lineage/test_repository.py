"""What git has of a commit, whatever stands in its place, and what DVC has of a folder."""

import json
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from compeffdist.canonical import hash_bytes
from compeffdist.lineage.byte_checks import committed_inputs_links, stored_links
from compeffdist.lineage.repository import Item, Lock, Repository


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


def test_a_folder_whose_listing_alone_is_in_the_cache_is_missing_by_the_names_of_its_files(
    repository: Repository,
) -> None:
    Repo.init(str(repository.root), no_scm=True).close()
    held, lost = (hash_bytes(content, "md5") for content in (b"held", b"lost"))
    folder = Item("models/student", f"{hash_bytes(b'listing', 'md5')}.dir")
    listing = [{"md5": md5, "relpath": name} for name, md5 in (("a.json", held), ("b.bin", lost), ("c.bin", held))]
    for md5, content in ((folder.md5, json.dumps(listing).encode()), (held, b"held")):
        repository.object_path(md5).parent.mkdir(parents=True, exist_ok=True)
        repository.object_path(md5).write_bytes(content)
    lock = Lock(
        f"stages: {{train: {{cmd: x, outs: [{{path: {folder.path}, md5: {folder.md5}}}]}}}}", ("a commit",), ("HEAD",)
    )

    def found() -> tuple[str, str]:
        (link,) = stored_links(repository, lock)
        return link.status, link.detail

    told = f"models/student/b.bin ({lost}) is not on this machine; bring it with: dvc fetch --all-commits"
    assert found() == ("FAIL", told)
    (repository.root / "models/student").mkdir(parents=True)
    (repository.root / "models/student/b.bin").write_bytes(b"other")
    assert found() == ("FAIL", told)
    (repository.root / "models/student/b.bin").write_bytes(b"lost")
    assert found() == ("PASS", f"{folder.md5}, in the cache")
    repository.object_path(folder.md5).write_bytes(b"[{")
    assert found()[1].startswith(f"the list of its files, {folder.md5}, was altered")
    repository.object_path(folder.md5).unlink()
    assert found()[1].startswith(f"{folder.md5} is not on this machine")
