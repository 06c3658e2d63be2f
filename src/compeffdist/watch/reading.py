"""Files of a run read while it writes them: again only when they changed; where that fails, as they were."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from compeffdist.errors import UserError, one_line

T = TypeVar("T")
LONGEST = 300
"""Characters of a text that is shown."""
Stamp = tuple[int, int, int] | None


class Reading:
    """What files hold, by a name for each thing that is read."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple[Stamp, ...], object]] = {}
        self._faults: dict[str, str] = {}

    @property
    def faults(self) -> list[str]:
        """What cannot be read now, a line each."""
        return list(self._faults.values())

    def of(self, name: str, paths: Iterable[Path], read: Callable[[], T], otherwise: T) -> T:
        """What `read` gives of files; where it fails what it gave last, `otherwise` if that is nothing."""
        stamps = tuple(map(stamp, paths))  # before it is read: what changes meanwhile is read again
        kept = self._kept.get(name)
        if kept is not None and kept[0] == stamps and name not in self._faults:
            return kept[1]  # type: ignore[return-value]  # a name is always read by the same function
        return self._read(name, stamps, read, otherwise)

    def now(self, name: str, read: Callable[[], T], otherwise: T) -> T:
        """The same of what is put together anew each time."""
        return self._read(name, (), read, otherwise)

    def _read(self, name: str, stamps: tuple[Stamp, ...], read: Callable[[], T], otherwise: T) -> T:
        try:
            value = read()
        except Exception as error:  # a file may go, or be in the midst of being written, and may hold anything
            told = error if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self._faults[name] = one_line(f"{name}: {told}", LONGEST)
            return self._kept[name][1] if name in self._kept else otherwise  # type: ignore[return-value]
        self._faults.pop(name, None)
        self._kept[name] = stamps, value
        return value


def stamp(path: Path) -> Stamp:
    """What changes when a file does; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def clip(text: object) -> str:
    """A text as it is shown: one line, bounded, credentials masked."""
    return one_line(text, LONGEST)
