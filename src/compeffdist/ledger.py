"""An append-only ledger: JSON Lines, each line holding the hash of the line before it; meant to be kept in git.

An edited, reordered or removed line breaks the chain and is named. Lines cut off the end leave a shorter chain that
is sound in itself, so whoever needs to see that keeps the last entry's number and hash elsewhere, too.

Appending rewrites the file and renames it into place: a ledger has some hundred lines of a few KB, so that costs
milliseconds, and a killed writer leaves the former file, never half a line.
"""

import dataclasses
import getpass
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compeffdist.canonical import canonical_json, hash_text
from compeffdist.errors import UserError, one_line
from compeffdist.files import atomic_file, make_folder
from compeffdist.git import git_setting

PROMOTIONS = Path("data/promotions.jsonl")
"""The ledger of promotions, in a checkout."""
LOCK_SECONDS = 60
"""How long an append waits for another one to finish."""


@dataclass(frozen=True)
class Entry:
    """One line of a ledger."""

    number: int
    """From 1, without gaps."""
    at: str
    """UTC, ISO 8601, to the second."""
    who: str
    action: str
    body: dict[str, Any]
    previous: str
    """Hash of the entry before; empty for the first."""
    hash: str
    """SHA-256 over the canonical JSON of the other fields."""


class Ledger:
    """The ledger in a file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def entries(self) -> list[Entry]:
        """All entries, the whole chain verified. Raises UserError naming the file and the first line that was edited,
        reordered, or stands after a removed one."""
        return self._verified(self._read())

    def append(self, action: str, body: dict[str, Any]) -> Entry:
        """Add an entry by whoever runs this, now; it is on the disk when this returns. Raises UserError as `entries`,
        or if `body` cannot be JSON, or another process holds the ledger for a minute."""
        from filelock import FileLock, Timeout

        make_folder(self.path.parent)
        try:
            with FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS):
                return self._append(action, body)
        except Timeout:
            raise UserError(f"{self.path}: another process has been writing it for {LOCK_SECONDS} s") from None

    def _append(self, action: str, body: dict[str, Any]) -> Entry:
        written = self._read()
        entries = self._verified(written)
        previous = entries[-1].hash if entries else ""
        entry = Entry(len(entries) + 1, utc_now(), who(), action, body, previous, "")
        try:
            line = _line(dataclasses.replace(entry, hash=_hash(entry)))
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.path}: an entry that cannot be JSON: {error}") from None
        with atomic_file(self.path) as temporary:
            temporary.write_bytes(written + line + b"\n")
        return _parse(line)  # as it will be read: tuples have become lists

    def _read(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def _verified(self, written: bytes) -> list[Entry]:
        entries: list[Entry] = []
        *lines, rest = written.split(b"\n")
        for number, line in enumerate([*lines, rest] if rest else lines, 1):
            fault = _fault(line, number, entries[-1].hash if entries else "")
            if not fault and number > len(lines):
                fault = "does not end in a line feed"
            if fault:
                raise UserError(f"{self.path}: line {number} {fault}; restore the file from git")
            entries.append(_parse(line))
        return entries


def utc_now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def who() -> str:
    """The git user as `Name <email>`, else the user of the operating system. Raises UserError if git's configuration
    cannot be read."""
    name, email = (git_setting(Path(), key) for key in ("user.name", "user.email"))
    if name or email:
        return one_line(f"{name} <{email}>" if name and email else name or email)
    try:
        return one_line(getpass.getuser())
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "unknown"


def _hash(entry: Entry) -> str:
    fields = dataclasses.asdict(entry)
    del fields["hash"]
    return hash_text(canonical_json(fields))


def _line(entry: Entry) -> bytes:
    return canonical_json(dataclasses.asdict(entry)).encode()


def _parse(line: bytes) -> Entry:
    """Raises ValueError or TypeError for what is no entry."""
    return Entry(**json.loads(line))


def _fault(line: bytes, number: int, previous: str) -> str:
    """What is wrong with a line, as the rest of a sentence; empty if nothing is."""
    try:
        entry = _parse(line)
        # the bytes themselves, so that an edit that means the same to JSON is an edit, too
        sound = entry.hash == _hash(entry) and line == _line(entry)
    except (TypeError, ValueError, RecursionError):
        return "is not an entry: it was edited or cut"
    if not sound:
        return "was edited: it does not fit its hash"
    if entry.number != number:
        return f"holds entry {entry.number}: lines were removed or reordered"
    if entry.previous != previous:
        return f"does not follow from line {number - 1}: one of the two was replaced"
    return ""
