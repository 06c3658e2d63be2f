"""What git and DVC know: the lock of every commit and experiment, and where the bytes that it names are.

A `dvc.lock` ties each artefact to the MD5 of its bytes and to those of what it was made from. Git holds the
lock of every commit and of every DVC experiment (refs/exps), so together they are the history of the data.
The bytes themselves are in the working folder, in DVC's cache, or, for small metrics, in git.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from compeffdist.canonical import hash_bytes
from compeffdist.declaration import CODE
from compeffdist.errors import UserError, one_line
from compeffdist.files import folder_md5, hash_file
from compeffdist.git import Git
from compeffdist.yaml12 import read_yaml

LOCK = "dvc.lock"
WORKSPACE = "working folder"
OBJECTS = ("files", "md5")
"""Where in its cache DVC keeps objects."""
FOLDER_SUFFIX = ".dir"
"""DVC's mark of a folder's hash."""
EXPERIMENTS = "refs/exps"
"""Git's refs of DVC's experiments."""


@dataclass(frozen=True)
class Item:
    """A file or folder that a stage read or wrote, as a lock records it."""

    path: str
    md5: str
    """Of a folder: of the JSON list of its files, with the suffix `.dir`."""
    size: int | None = field(default=None, compare=False)
    """Bytes; None where the lock does not say."""

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(FOLDER_SUFFIX)


@dataclass(frozen=True)
class StageLock:
    """What a stage ran on and made."""

    name: str
    command: str
    deps: tuple[Item, ...]
    params: Mapping[str, Any]
    """Declared key -> value, of params.yaml."""
    outs: tuple[Item, ...]
    code: str
    """Fingerprint of its code; empty of a state in which stages depended on files of code."""


@dataclass(frozen=True)
class Lock:
    """One state of the pipeline's data."""

    text: str
    places: tuple[str, ...]
    """Where this very lock stands: the working folder, commits, experiments; the newest first."""
    commits: tuple[str, ...] = ()
    """Those of the places that git has."""

    @cached_property
    def stages(self) -> dict[str, StageLock]:
        """By name. Raises UserError if the lock cannot be read."""
        try:
            stages = read_yaml(self.text, where := f"{LOCK} of {self.places[0]}")["stages"]
            return {name: _stage(name, value) for name, value in stages.items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{where}: not a lock of DVC: {one_line(error, 120)}") from None

    @cached_property
    def outs(self) -> dict[str, Item]:
        """Every out of every stage, by path."""
        return {out.path: out for stage in self.stages.values() for out in stage.outs}

    @cached_property
    def makers(self) -> dict[str, str]:
        """Path of an out -> name of its stage."""
        return {out.path: name for name, stage in self.stages.items() for out in stage.outs}

    def md5(self, path: str) -> str:
        """The hash of an out, or empty if this lock has none of that path."""
        return self.outs[path].md5 if path in self.outs else ""

    def param(self, key: str) -> Any:
        """The value a stage declared for `key`, or for a section that holds it; None if no stage did."""
        declared = ((name, value) for stage in self.stages.values() for name, value in stage.params.items())
        for name, value in declared:
            if key == name or key.startswith(f"{name}."):
                return value_at(value, *key.removeprefix(name).split(".")[1:])
        return None


def value_at(section: Any, *keys: str) -> Any:
    """What stands under a key within a key of a section, and so on; None if nothing does."""
    for key in keys:
        section = section.get(key) if isinstance(section, dict) else None
    return section


def _stage(name: str, value: Mapping[str, Any]) -> StageLock:
    def items(key: str) -> tuple[Item, ...]:
        return tuple(_item(entry) for entry in value.get(key, ()))

    files = value.get("params", {})
    params = {key: found for file, values in files.items() if file != CODE for key, found in values.items()}
    code = str(files.get(CODE, {}).get(name, ""))
    return StageLock(name, str(value["cmd"]), items("deps"), params, items("outs"), code)


def _item(entry: Mapping[str, Any]) -> Item:
    size = entry.get("size")
    return Item(entry["path"], str(entry.get("md5", "")), size if isinstance(size, int) else None)


class Repository:
    """The checkout in `root`: its locks, its objects, and git's `history` of it."""

    def __init__(self, root: Path = Path()) -> None:
        self.root = Path(root)
        self.history = Git(self.root)
        self._hashes: dict[tuple[str, int, int], str] = {}

    # ------------------------------------------------------------ locks

    def workspace_lock(self) -> Lock:
        """The lock of the working folder. Raises UserError if there is none: nothing has run here; a link that leads
        nowhere; or bytes that are no text."""
        if (text := self._workspace_text()) is None:
            raise UserError(f"{self.root / LOCK}: no such file: nothing was run here yet; run: dvc repro, or git pull")
        return Lock(text, (WORKSPACE,))

    def _workspace_text(self) -> str | None:
        path = self.root / LOCK
        if path.exists():
            try:
                return path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f"{path}: not UTF-8 (byte {error.start}): restore it: git checkout {LOCK}") from None
        if path.is_symlink():
            raise UserError(f"{path}: a link that leads nowhere ({path.readlink()}): bring back what it led to")
        return None

    def locks(self) -> list[Lock]:
        """Every distinct lock: that of the working folder first, then those of git, the newest first. Raises UserError
        if git's history cannot be read, or a lock is a link that leads nowhere or out of it."""
        places: dict[str, list[str]] = {}
        commits: dict[str, list[str]] = {}
        if (here := self._workspace_text()) is not None:
            places[here] = [WORKSPACE]
        experiments = {commit: ref.rsplit("/", 1)[1] for ref, commit in self.history.refs(EXPERIMENTS)}
        dates = dict(self.history.commits_of(LOCK))
        for (commit, _), text in self.history.files_at((commit, LOCK) for commit in dates).items():
            if text:
                when = f"{commit[:10]} of {dates[commit]}"
                named = f"experiment {experiments[commit]} ({when})" if commit in experiments else f"commit {when}"
                content = text.decode("utf-8", "replace")
                places.setdefault(content, []).append(named)
                commits.setdefault(content, []).append(commit)
        return [Lock(text, tuple(found), tuple(commits.get(text, ()))) for text, found in places.items()]

    # ------------------------------------------------------------ bytes

    @cached_property
    def cache(self) -> Path:
        """DVC's cache of objects named by their MD5. Raises UserError if DVC cannot open this folder."""
        from dvc.config import Config
        from dvc.repo import Repo

        try:
            with self._dvc() as repo:
                return Path(repo.cache.local.path)
        except PermissionError:  # opening a repository makes folders in it, which whoever only reads may not
            folder = Path(Repo.find_dvc_dir(str(self.root)))
            configured = Config(str(folder))["cache"].get("dir")
            return folder.joinpath(configured or "cache", *OBJECTS)

    @cached_property
    def state(self) -> Path:
        """Where DVC keeps what it knows of files and folders. Raises UserError if DVC cannot open this folder."""
        from dvc.dirs import site_cache_dir

        with self._dvc() as repo:
            return self.root / site_cache_dir(repo.config["core"].get("site_cache_dir"))

    def remotes(self) -> Iterator[tuple[str, Any]]:
        """(name, object database) of each remote that DVC is configured with. Raises UserError if one cannot be
        reached."""
        with self._dvc() as repo:
            for name in repo.config["remote"]:
                yield name, repo.cloud.get_remote_odb(name)

    @contextmanager
    def _dvc(self) -> Iterator[Any]:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            with Repo(str(self.root)) as repo:
                yield repo
        except DvcException as error:
            raise UserError(f"{self.root.absolute()}: DVC: {one_line(error, 200)}") from None

    def object_path(self, md5: str) -> Path:
        """Where the cache keeps an object, whether it is there or not."""
        return self.cache / md5[:2] / md5[2:]

    def cached_objects(self) -> Iterator[tuple[str, Path]]:
        """(MD5, path) of every object in the cache, sorted."""
        for path in sorted(self.cache.glob("??/*")):
            if path.is_file():
                yield path.parent.name + path.name, path

    def md5_of(self, path: Path) -> str:
        """MD5 of a file's bytes as they are now; hashed once while size and time of change stay the same. Of a folder,
        as DVC computes it."""
        if path.is_dir():
            return folder_md5(path, self.md5_of)
        found = path.stat()
        key = (str(path), found.st_size, found.st_mtime_ns)
        if key not in self._hashes:
            self._hashes[key] = hash_file(path, "md5")
        return self._hashes[key]

    def locate(self, item: Item) -> Path | None:
        """A file with the bytes of `item`: in the working folder if they are still the same, else in the cache."""
        here = self.root / item.path
        if here.is_file() and self.md5_of(here) == item.md5:
            return here
        kept = self.object_path(item.md5)
        return kept if kept.is_file() else None

    def content(self, item: Item, commits: Iterable[str] = ()) -> bytes | None:
        """The bytes of a file, from the working folder, the cache or, of a metric, one of `commits`."""
        found = self.locate(item)
        if found is not None:
            return found.read_bytes()
        kept = self.history.files_at((commit, item.path) for commit in commits).values()
        return next((content for content in kept if content and hash_bytes(content, "md5") == item.md5), None)

    def listing(self, item: Item) -> list[tuple[str, str]] | None:
        """(path within it, MD5) of each file of a folder, from the cache or else from the folder itself. Raises
        UserError if what the cache keeps is no such list."""
        kept = self.object_path(item.md5)
        if kept.is_file():
            try:
                listed = [(entry["relpath"], entry["md5"]) for entry in json.loads(kept.read_bytes())]
                if all(isinstance(part, str) for entry in listed for part in entry):
                    return listed
                raise TypeError("no names and hashes")
            except (ValueError, KeyError, TypeError, RecursionError):
                raise UserError(
                    f"{kept}: not the list of a folder's files ({item.path}): delete it, and run: dvc fetch"
                ) from None
        here = self.root / item.path
        if here.is_dir() and self.md5_of(here) == item.md5:
            return [(path.relative_to(here).as_posix(), self.md5_of(path)) for path in files_in(here)]
        return None

    # ------------------------------------------------------------ git

    @property
    def shallow_hint(self) -> str:
        """How to see the history that a shallow clone lacks, as the end of a message; empty in a whole clone."""
        return "; this clone is shallow: git fetch --unshallow" if self.history.shallow else ""

    def file_at(self, commit: str, path: str) -> bytes | None:
        """A file as a commit holds it, None if it holds none. Raises UserError as `Git.files_at`."""
        return self.history.files_at([(commit, path)])[commit, path]


def files_in(folder: Path) -> list[Path]:
    """The files in a folder and in those below it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
