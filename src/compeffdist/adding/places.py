"""Where a user's file goes: into data/sources/, where DVC sees it change, never over another file."""

import filecmp
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.params import SOURCES


@dataclass(frozen=True)
class Place:
    """A file, and where the pipeline will read it."""

    file: Path
    location: str
    """As params name it: relative to the checkout."""
    is_new: bool
    """Whether it is to be copied there."""

    def to_json(self) -> dict[str, str]:
        """For machines."""
        return {"copied_to": self.location if self.is_new else ""}

    def fill(self) -> None:
        """Copy the file if it is not there. Raises UserError if another came there meanwhile."""
        if not self.is_new:
            return
        target = Path(self.location)
        if target.exists():
            raise UserError(f"{target}: came there meanwhile; run again")
        with atomic_file(target) as temporary:
            shutil.copyfile(self.file, temporary)


def place_of(file: Path) -> Place:
    """Where a file is to lie. Raises UserError if a file of its name, and of other bytes, lies there."""
    folder = Path(SOURCES)
    try:  # as it is written, links not followed: DVC looks through a link to a file
        inside = file.absolute().relative_to(folder.absolute())
    except ValueError:
        inside = None
    if inside is not None and ".." not in inside.parts:
        return Place(file, (folder / inside).as_posix(), is_new=False)
    target = folder / file.name
    if not target.exists() and not target.is_symlink():
        return Place(file, target.as_posix(), is_new=True)
    if target.is_file() and filecmp.cmp(file, target, shallow=False):
        return Place(file, target.as_posix(), is_new=False)
    raise UserError(f"{target}: is another file; it is not overwritten: rename {file}, or remove {target} first")


def name_of(file: Path, given: str | None) -> str:
    """The name of a source or task: the one given, else the file's."""
    return given if given is not None else re.sub(r"[^\w.-]+", "-", file.stem).strip("-.") or "mine"
