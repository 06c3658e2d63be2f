"""Reading and writing files: atomic writes, JSON, hashes of files.

Every artefact is written to a temporary file beside its target, flushed and renamed, and the rename is flushed, too: a
killed stage, a full disk or a power cut leaves the former file or none, never half a file, and what was written before
the call returned stays written.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compeffdist.canonical import canonical_json, hash_bytes, indented_json
from compeffdist.environment import NO_HOME
from compeffdist.errors import UserError

CHUNK_BYTES = 1 << 20


def _read_umask() -> int:
    # the only way to read it is to set it, which is not safe once there are threads: hence once, at import
    mask = os.umask(0)
    os.umask(mask)
    return mask


UMASK = _read_umask()


@contextmanager
def atomic_file(target: Path, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it replaces `target` for good, else it is removed. `mode`: its
    permissions, where they are not those that any new file has."""
    make_folder(target.parent)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        # mkstemp makes the file private
        temporary.chmod(0o666 & ~UMASK if mode is None else mode)
        temporary.replace(target)
        _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it that are not there yet, to last through a power cut."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        _flush(place.parent)


def remove_for_good(path: Path) -> None:
    """Remove a file, if it is there, so that it does not come back after a power cut."""
    if path.exists():
        path.unlink(missing_ok=True)
        _flush(path.parent)


def _flush(path: Path) -> None:
    """Make what was written into a file, or done to the names in a folder, last through a power cut; a process that is
    killed needs none of it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot flush a folder
            raise
    finally:
        os.close(handle)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; on success it replaces `target` for good, else it is removed. Killed in
    between, there may be none."""
    make_folder(target.parent)
    made = [Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))]
    temporary = made[0]
    try:
        yield temporary
        temporary.chmod(0o777 & ~UMASK)
        for written in (temporary, *temporary.rglob("*")):
            if not written.is_symlink():
                _flush(written)
        if target.exists():
            # out of the way whole: removing it takes a while, in which one may be killed
            made.append(Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)))
            target.replace(made[1])
        temporary.replace(target)
        _flush(target.parent)
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


_NOT_THERE = "no such file; run the stage that writes it (dvc repro)"


def write_json(target: Path, value: Any) -> None:
    """Write `value` as `indented_json`, atomically."""
    with atomic_file(target) as path:
        path.write_text(indented_json(value), encoding="utf-8")


def write_jsonl(target: Path, rows: Iterable[Any]) -> None:
    """Write one canonical JSON value a line, atomically."""
    with atomic_file(target) as path, path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(canonical_json(row) + "\n")


def read_json(source: Path) -> Any:
    """The value in a JSON artefact. Raises UserError if `source` is missing or not JSON."""
    try:
        return json.loads(source.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{source}: {_NOT_THERE}") from None
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, or a number of thousands of digits
        raise UserError(f"{source}: not valid JSON: {error}") from None


def read_jsonl(source: Path) -> Iterator[Any]:
    """Yield the value of each non-blank line of an artefact. Raises UserError naming the line that is not JSON."""
    try:
        with source.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except (ValueError, RecursionError) as error:
                        raise UserError(f"{source}: line {number} is not valid JSON: {error}") from None
    except FileNotFoundError:
        raise UserError(f"{source}: {_NOT_THERE}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not UTF-8: {error}; run the stage that writes it again") from None


def home_path(written: str | Path) -> Path:
    """A path as people write it, with ~ for a home folder. Raises UserError if there is no such home."""
    try:
        path = Path(written).expanduser()
    except RuntimeError:
        path = None
    if path is None or path.is_relative_to(NO_HOME):
        raise UserError(f"{written}: there is no home folder of that name: set HOME, or write the whole path")
    return path


def refuse_linked_folder(path: Path) -> None:
    """Raises UserError if a relative path leads through a link to a folder: DVC would not see what is in it change."""
    for part in [] if path.is_absolute() else [path, *path.parents]:
        if part.is_symlink() and part.is_dir():
            raise UserError(
                f"{part}: a link to a folder, which DVC does not look into: link its files (cp -rs), or copy"
            )


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Hash of a file's bytes, in hex, read in chunks."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def folder_md5(folder: Path, md5_of: Callable[[Path], str] | None = None) -> str:
    """A folder's hash as DVC computes it: MD5 of the JSON list of its files and their MD5s, and `.dir`."""
    entries = [
        {"md5": md5_of(path) if md5_of else hash_file(path, "md5"), "relpath": path.relative_to(folder).as_posix()}
        for path in folder.rglob("*")
        if path.is_file()
    ]
    listed = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return hash_bytes(listed.encode(), "md5") + ".dir"
