"""What references were resolved to on this machine, so that hashing gigabytes happens once.

An entry is trusted while each file's size and modification time are as they were.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from compeffdist.canonical import hash_json
from compeffdist.errors import UserError
from compeffdist.files import hash_file, read_json, write_json
from compeffdist.models.identity import ModelIdentity
from compeffdist.models.references import Reference


@dataclass(frozen=True)
class Stamp:
    """A file as it was when hashed."""

    bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, sha256: str) -> "Stamp":
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, sha256)

    def fits(self, path: Path) -> bool:
        """Same size and time or, where only the time differs, same bytes."""
        if not path.is_file() or path.stat().st_size != self.bytes:
            return False
        return path.stat().st_mtime_ns == self.mtime_ns or hash_file(path) == self.sha256


@dataclass(frozen=True)
class IndexEntry:
    """What a reference was resolved to on this machine, kept in `file`: `cache/models/index/<key>.json`."""

    file: Path
    identity: ModelIdentity
    folder: Path
    stamps: dict[str, Stamp]
    """Of every file the identity covers, by path in `folder`."""

    @staticmethod
    def place(reference: Reference, dtype: str, cache: Path) -> Path:
        """Where the entry of a reference is kept. A relative path counts as the absolute one."""
        key = [reference.scheme, reference.location, reference.revision, reference.member, reference.sha256]
        return cache / "models" / "index" / f"{hash_json([*key, dtype])[:24]}.json"

    @classmethod
    def read(cls, file: Path) -> "IndexEntry | None":
        """None if there is none, or it was written by another version of this library."""
        try:
            value = read_json(file)
            stamps = {name: Stamp(**stamp) for name, stamp in value["stamps"].items()}
            return cls(file, ModelIdentity.from_row(value["identity"]), Path(value["folder"]), stamps)
        except (UserError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self) -> None:
        stamps = {name: vars(stamp) for name, stamp in self.stamps.items()}
        value = {"identity": self.identity.to_row(), "folder": str(self.folder), "stamps": stamps}
        write_json(self.file, value)

    def holds(self) -> bool:
        """Whether every file is as it was hashed. Only files whose time changed are hashed again."""
        if not all(stamp.fits(self.folder / name) for name, stamp in self.stamps.items()):
            return False
        current = {name: Stamp.of(self.folder / name, stamp.sha256) for name, stamp in self.stamps.items()}
        if current != self.stamps:
            replace(self, stamps=current).write()
        return True
