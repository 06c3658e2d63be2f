"""Programs run on a disk that is watched: every state that a power cut may leave is made, or the disk runs full.

    done = Disk(tmp_path).run(script)            # in a process of its own; the shim disk.c writes down what it does
    done.left(cut, draw, tmp_path / "after")     # a folder as it may be found after the power went at operation `cut`
    for end in Disk(tmp_path).fill(script): ...  # ended by a disk that ran full at each of its operations in turn

What POSIX promises is all that is taken for granted. What was written into a file, and how long the file is, is sure
once that file was synced; until then each write is there, in part, as other bytes, or not at all, whatever its order.
What happened to the names in a folder is sure once the folder was synced; until then it is there up to some operation.
Operations that SQLite's own shared memory makes by mapping are not seen; it is made anew after a cut.
"""

import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tests.shims import compiled
from tests.stages import ROOT

HEADER = struct.Struct("=7Q")
ACKNOWLEDGED = "acknowledged-"
"""A folder of this name and a word is how a script says what it was told to be kept; it is not made after a cut."""
TELL = f"""
import os, sys
from compeffdist.errors import run_guarded
FOLDER = os.environ["DISK_ROOT"]
def acknowledge(word):
    os.mkdir(f"{{FOLDER}}/{ACKNOWLEDGED}{{word}}")
"""
"""The beginning of every script; its `behaviour` is run as a command's is."""
FILL = """
import ctypes
shim, root, number, step = ctypes.CDLL(None), FOLDER, 0, int(os.environ["DISK_STEP"])
def acknowledge(word):
    print(word, flush=True)
while True:
    number += step
    FOLDER = f"{root}/{number}"
    os.mkdir(FOLDER)
    if not (child := os.fork()):
        for stream, name in ((1, "acknowledged"), (2, "said")):
            os.dup2(os.open(f"{root}.{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
        shim.disk_full_at(number)
        try:
            run_guarded(behaviour)
        except SystemExit as stop:
            os._exit(stop.code)
        os._exit(0 if shim.disk_operations() >= number else 77)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 77:
        break
    print(code, flush=True)
"""
"""The end of a script that is run again and again, the disk being full at a later operation each time."""
SECTOR = 512


class Draw(Protocol):
    """What decides how much of what is not sure is there."""

    def names(self, waiting: int) -> int:
        """How many of a folder's operations that wait for a sync are there."""
        ...

    def written(self, wanted: bytes) -> bytes | None:
        """What is there of a write that waits for a sync; None if nothing, not even a longer file."""
        ...


class Nothing:
    """A cut that takes all that was not synced."""

    def names(self, waiting: int) -> int:
        return 0

    def written(self, wanted: bytes) -> bytes | None:
        return None


class Everything:
    """A cut that takes nothing, as the end of a process does."""

    def names(self, waiting: int) -> int:
        return waiting

    def written(self, wanted: bytes) -> bytes | None:
        return wanted


class Names:
    """A cut that takes contents, but no names: a file that was renamed into place is empty."""

    def names(self, waiting: int) -> int:
        return waiting

    def written(self, wanted: bytes) -> bytes | None:
        return None


@dataclass
class Chance:
    """A cut that leaves anything."""

    random: random.Random

    def names(self, waiting: int) -> int:
        return self.random.randint(0, waiting)

    def written(self, wanted: bytes) -> bytes | None:
        how = self.random.choice(("all", "nothing", "begun", "torn", "other"))
        if how == "begun":
            return wanted[: self.random.randint(0, len(wanted))]
        if how == "torn":  # some of its sectors
            parts = [wanted[at : at + SECTOR] for at in range(0, len(wanted), SECTOR)]
            return b"".join(self.random.choice((part, bytes(len(part)))) for part in parts)
        if how == "other":
            return self.random.randbytes(len(wanted))
        return wanted if how == "all" else None


CERTAIN = (Nothing(), Everything(), Names())


@dataclass(frozen=True)
class Operation:
    """One record of the shim's."""

    kind: str
    inode: int
    folder: int
    offset: int
    name: str
    second: str
    written: bytes


@dataclass
class _File:
    """What happened to a file; `sure` of its operations were synced."""

    operations: list[Operation] = field(default_factory=list)
    sure: int = 0

    def bytes(self, draw: Draw) -> bytes:
        content = bytearray()
        for number, operation in enumerate(self.operations):
            certain = number < self.sure
            if operation.kind == "t":
                if certain or draw.names(1):
                    del content[operation.offset :]
                    content.extend(bytes(operation.offset - len(content)))
                continue
            written = operation.written if certain else draw.written(operation.written)
            if written is not None:
                content.extend(bytes(max(0, operation.offset - len(content))))
                content[operation.offset : operation.offset + len(written)] = written
        return bytes(content)


@dataclass
class _Folder:
    """What happened to the names in a folder: (operation, what it is about); `sure` of them were synced."""

    operations: list[tuple[Operation, "_File | _Folder | None"]] = field(default_factory=list)
    sure: int = 0

    def write(self, folder: Path, draw: Draw) -> None:
        folder.mkdir()
        kept: dict[str, _File | _Folder] = {}
        there = self.sure + draw.names(len(self.operations) - self.sure)
        for operation, about in self.operations[:there]:
            if operation.kind == "r":
                kept[operation.second] = kept.pop(operation.name)
            elif about is None:
                kept.pop(operation.name, None)
            else:
                kept[operation.name] = about
        for name, about in kept.items():
            if isinstance(about, _Folder):
                about.write(folder / name, draw)
            else:
                (folder / name).write_bytes(about.bytes(draw))


@dataclass(frozen=True)
class Done:
    """What a script did on the disk."""

    log: Path
    root: int
    """Inode of the folder."""

    @cached_property
    def operations(self) -> Sequence[Operation]:
        """What it did, in order."""
        return list(_records(self.log.read_bytes()))

    def acknowledged(self, cut: int) -> list[str]:
        """The words that the script said before operation `cut`."""
        names = [operation.name for operation in self.operations[:cut] if operation.kind == "d"]
        return [name.removeprefix(ACKNOWLEDGED) for name in names if name.startswith(ACKNOWLEDGED)]

    def left(self, cut: int, draw: Draw, folder: Path) -> None:
        """Make `folder` as it may be found after the power went before operation `cut`."""
        root = _Folder()
        known: dict[int, _File | _Folder] = {self.root: root}
        for operation in self.operations[:cut]:
            if operation.name.startswith(ACKNOWLEDGED):
                continue
            about = known.get(operation.inode)
            if operation.kind in "cd":
                about = known[operation.inode] = _File() if operation.kind == "c" else _Folder()
            if operation.kind in "cdrux":
                parent = known[operation.folder]
                assert isinstance(parent, _Folder)
                parent.operations.append((operation, about if operation.kind in "cdr" else None))
                assert operation.kind != "r" or operation.offset == operation.folder, "moved to another folder"
            elif operation.kind == "s":
                assert about is not None
                about.sure = len(about.operations)
            else:
                assert isinstance(about, _File)
                about.operations.append(operation)
        shutil.rmtree(folder, ignore_errors=True)
        root.write(folder, draw)


@dataclass(frozen=True)
class Full:
    """How a script ended whose disk ran full."""

    folder: Path
    code: int
    said: str
    """On standard error."""
    acknowledged: list[str]


def _records(log: bytes) -> Iterator[Operation]:
    at = 0
    while at < len(log):
        kind, inode, folder, offset, *lengths = HEADER.unpack_from(log, at)
        at += HEADER.size
        parts = []
        for length in lengths:
            parts.append(log[at : at + length])
            at += length
        yield Operation(chr(kind), inode, folder, offset, os.fsdecode(parts[0]), os.fsdecode(parts[1]), parts[2])


class Disk:
    """Where scripts are run and watched."""

    def __init__(self, place: Path) -> None:
        self.place = place.resolve()
        self.shim = compiled(Path(__file__).with_name("disk.c"), self.place)

    def run(self, script: str, many: int) -> Done:
        """Run a script of `scenarios.py` that keeps so many things, and watch it."""
        folder, log = self.place / "watched", self.place / "watched.log"
        self._run(folder, f"{script}\nrun_guarded(behaviour)\n", many, DISK_LOG=str(log))
        return Done(log, folder.stat().st_ino)

    def fill(self, script: str, many: int, step: int = 1, **variables: str) -> Iterator["Full"]:
        """Run it to its end once for each `step`-th of its operations on the disk, which finds the disk full."""
        folder = self.place / "full"
        codes = self._run(folder, script + FILL, many, DISK_STEP=str(step), **variables).split()
        for place, code in enumerate(codes, 1):
            number = place * step
            said, words = (Path(f"{folder}.{number}.{name}").read_text() for name in ("said", "acknowledged"))
            yield Full(folder / str(number), int(code), said, words.split())

    def _run(self, folder: Path, script: str, many: int, **variables: str) -> str:
        folder.mkdir()
        known = {"DISK_ROOT": str(folder), "LD_PRELOAD": str(self.shim), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-B", "-c", TELL + script, str(many)],
            env=os.environ | known | variables,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
