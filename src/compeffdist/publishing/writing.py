"""Where an export goes: a folder or file that is there whole or not at all, and never takes another thing's place."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist import __version__
from compeffdist.canonical import indented_json
from compeffdist.errors import UserError, one_line
from compeffdist.files import atomic_file, atomic_folder, hash_file, make_folder, read_json
from compeffdist.publishing.finished import FinishedRun

MANIFEST = "export.json"
"""Of an exported folder: what it is an export of, and the SHA-256 of each of its files."""


@dataclass(frozen=True)
class Export:
    """What came of an export."""

    kind: str
    """`dataset`, `model`, `bom` or `lineage`."""
    place: Path
    commit: str
    """Of the run that was exported."""
    figures: dict[str, int]
    """How much of what is in it."""
    notes: tuple[str, ...] = ()
    """Lines on what a reader should know."""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {**vars(self), "place": str(self.place), "notes": list(self.notes)}


@contextmanager
def export_folder(target: Path, kind: str, run: FinishedRun, force: bool) -> Iterator[Path]:
    """Yield an empty folder, which takes the place of `target`, with a manifest, once the block is done. Raises
    UserError as `refuse_folder`, or if there can be no folder for it."""
    refuse_folder(target, kind, force)
    _make_room(target)
    with atomic_folder(target) as folder:
        yield folder
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        manifest = {
            "kind": kind,
            "by": f"compeffdist {__version__}",
            "commit": run.commit,
            "dvc_lock_sha256": run.lock_sha256,
            "files": {path.relative_to(folder).as_posix(): hash_file(path) for path in paths},
        }
        (folder / MANIFEST).write_text(indented_json(manifest), encoding="utf-8")


def refuse_folder(target: Path, kind: str, force: bool) -> None:
    """Raises UserError if something is at `target` already, but for an empty folder; with `force`, but for an export of
    this kind that is as it was written."""
    name = one_line(target, 200)
    if (target.is_symlink() and target.is_dir()) or os.path.ismount(target):
        raise UserError(f"{name}: a link or a mount point, whose place nothing can take; name a folder in it")
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise UserError(f"{name}: a file or a broken link, not a folder; name another one")
    if not any(target.iterdir()):
        return
    if not force:
        raise UserError(f"{name}: there already; name another folder, or write it anew: --force")
    if strange := _strange(target, kind):
        raise UserError(
            f"{name}: holds what no export of a {kind} wrote ({one_line(strange, 200)}), and is not replaced; name "
            "another folder"
        )


def _strange(folder: Path, kind: str) -> str:
    """Something in a folder that is not as an export of this kind wrote it; empty if there is nothing."""
    try:
        manifest = read_json(folder / MANIFEST)
    except (UserError, OSError):
        return f"it has no {MANIFEST}"
    files = manifest.get("files") if isinstance(manifest, dict) and manifest.get("kind") == kind else None
    if not isinstance(files, dict):
        return f"its {MANIFEST} says so"
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            return f"{inside}: neither a file nor a folder"
        if path.is_file() and inside not in (*files, MANIFEST):
            return inside
        if path.is_file() and inside != MANIFEST and hash_file(path) != files[inside]:
            return f"{inside} was changed"
    return ""


@contextmanager
def export_file(target: Path, force: bool, is_export: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield a file beside `target`, which takes its place once the block is done. Raises UserError as `refuse_file`, or
    if there can be no folder for it."""
    refuse_file(target, force, is_export)
    _make_room(target)
    with atomic_file(target) as path:
        yield path


def refuse_file(target: Path, force: bool, is_export: Callable[[Path], bool]) -> None:
    """Raises UserError if something is at `target` already; with `force`, but for a file that `is_export`."""
    name = one_line(target, 200)
    if target.is_dir():
        raise UserError(f"{name}: a folder; name a file in it")
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise UserError(f"{name}: there already; name another file, or write it anew: --force")
    if target.is_symlink() or not target.is_file() or not is_export(target):
        raise UserError(f"{name}: not what such an export wrote, and is not replaced; name another file")


def _make_room(target: Path) -> None:
    try:
        make_folder(target.parent)
    except OSError as error:
        raise UserError(
            f"{one_line(target.parent, 200)}: cannot be made: {error.strerror}; name another place"
        ) from None
