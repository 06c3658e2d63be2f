"""A benchmark's source files, from the repositories that hold them or from checkouts of these, held to their SHA-256.

Files are read out of one commit, never out of a working tree: a file whose SHA-256 is not known is pinned by it.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from compeffdist.benchmark.sources import Repository, Source
from compeffdist.canonical import hash_bytes
from compeffdist.errors import UserError
from compeffdist.git import Git, run_git

SECONDS = 900.0
"""That a repository may take; its one commit is some tens of megabytes."""

Files = Mapping[tuple[str, str], bytes]
"""(repository, path) -> what is in it."""


def source_files(source: Source, checkouts: Sequence[Path] = (), seconds: float = SECONDS) -> Files:
    """Every file of a benchmark.

    Args:
        checkouts: clones to read from, in place of the network.
        seconds: that fetching one repository may take.

    Raises:
        UserError: as `run_git`; no checkout has a commit, a commit lacks a file, or a file has another SHA-256.
    """
    if shutil.which("git") is None:
        raise UserError("git is not installed: install it; the benchmark's files are read out of git repositories")
    for folder in checkouts:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    found: dict[tuple[str, str], bytes] = {}
    for name, repository in source.repositories.items():
        wanted = {path: sha256 for (owner, path), sha256 in source.files().items() if owner == name}
        held = _held(repository, wanted, checkouts) if checkouts else _fetched(repository, wanted, seconds)
        for path, sha256 in wanted.items():
            content = held[path]
            where = f"{path} in commit {repository.commit[:10]} of {repository.url}"
            if content is None:
                raise UserError(f"{where}: no such file; nothing is written")
            if sha256 is not None and hash_bytes(content) != sha256:
                raise UserError(f"{where}: is not the file that is known (another SHA-256); nothing is written")
            found[name, path] = content
    return found


def _fetched(repository: Repository, paths: Mapping[str, object], seconds: float) -> dict[str, bytes | None]:
    with tempfile.TemporaryDirectory(prefix="compeffdist-") as name:
        folder = Path(name)
        run_git(folder, "init", "--quiet", "--bare", "--template=", ".")
        fetch = ("fetch", "--quiet", "--no-tags", "--depth=1", "--end-of-options", repository.url, repository.commit)
        try:
            run_git(folder, *fetch, timeout=seconds)
        except UserError as error:
            raise UserError(f"{error}; or clone {repository.url} yourself and name the clone with --from") from None
        return _read(folder, repository, paths)


def _held(repository: Repository, paths: Mapping[str, object], checkouts: Sequence[Path]) -> dict[str, bytes | None]:
    for folder in checkouts:
        contents = _read(folder, repository, paths)
        if any(content is not None for content in contents.values()):
            return contents
    raise UserError(
        f"{', '.join(map(str, checkouts))}: no clone with commit {repository.commit[:10]} of {repository.url}; "
        "name one with --from, or leave --from out to fetch all"
    )


def _read(folder: Path, repository: Repository, paths: Mapping[str, object]) -> dict[str, bytes | None]:
    contents = Git(folder).files_at((repository.commit, path) for path in paths)
    return {path: contents[repository.commit, path] for path in paths}
