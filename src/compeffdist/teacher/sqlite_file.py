"""SQLite files that several processes write, and faults of theirs in one line.

What is committed is on the disk: each commit flushes the write-ahead log (`synchronous=FULL`). That takes milliseconds;
an answer takes longer to come.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from compeffdist.errors import UserError, told_by_the_machine
from compeffdist.files import make_folder

BUSY_SECONDS = 60.0
UNEXPLAINED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
"""Codes of SQLite's, less their details, by which it does not say what the file system said: permissions, a quota."""
PROBE_BYTES = 1 << 16
ATTEMPTS = 3
"""To look into a file."""


def open_for_writing(path: Path, what: str, prepare: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """A connection to a file, made with its folder if need be; `prepare` brings its tables up to date. Raises UserError
    as `guarded`, with nothing left open."""
    make_folder(path.parent)
    with guarded(path, what):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _log_ahead(connection)
            connection.execute("PRAGMA synchronous=FULL")
            prepare(connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # a full disk makes SQLite roll back on its own
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def guarded(path: Path, what: str, *, writing: bool = True) -> Iterator[None]:
    """Faults of an SQLite file as UserError, in one line that names the file and says `what` it is. What SQLite does
    not explain is looked for by writing beside the file, unless it is not for `writing`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)  # what Python's own module refuses has none
        told = _fault_of_the_folder(path) if writing and code & 0xFF in UNEXPLAINED else ""
        raise UserError(told or f"{path}: {_advice(str(error), what)}") from None
    except UnicodeDecodeError:  # what SQLite says of a damaged file may quote its bytes
        raise UserError(f"{path}: {_advice('malformed', what)}") from None


def _fault_of_the_folder(path: Path) -> str:
    """What keeps a file beside this one from being made and written, in a line; empty if nothing does."""
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp") as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return told_by_the_machine(OSError(error.errno, error.strerror, str(path)))
    return ""


@contextmanager
def looked_into(path: Path, what: str, patience: float = BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
    """A connection that only reads a file, keeps nobody from writing it, and leaves nothing beside it; of a file that
    is copied or was left by a killed writer, what is in its log is read as well. Raises UserError as `guarded`.

    `patience`: seconds to wait for a file that is held."""
    with (
        guarded(path, what, writing=False),
        read_aside(path) as file,
        closing(_opened_to_look(file, file != path, patience)) as found,
    ):
        found.text_factory = lambda told: told.decode(errors="replace")
        yield found


def _opened_to_look(file: Path, is_copy: bool, patience: float) -> sqlite3.Connection:
    attempt = 0
    while True:
        # with a write-ahead log SQLite writes beside a file even to read it, unless it is told not to
        how = "mode=ro&readonly_shm=1" if Path(f"{file}-wal").exists() else "mode=ro&immutable=1"
        address = f"{file.absolute().as_uri()}?{'mode=ro' if is_copy else how}"
        connection = sqlite3.connect(address, uri=True, timeout=patience)
        try:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            return connection
        except sqlite3.OperationalError:  # its last writer has just closed it, or its first opened it
            connection.close()
            attempt += 1
            if attempt == ATTEMPTS:
                raise
        except BaseException:
            connection.close()
            raise
        time.sleep(0.05)


@contextmanager
def read_aside(path: Path) -> Iterator[Path]:
    """Where to read a file so that SQLite leaves nothing new beside it: the file, or while the context lasts a copy.

    A write-ahead log without its index is what copying a file in use leaves. SQLite would make the index; whoever had
    the file open would have made it, so that nobody writes while it is copied."""
    log = Path(f"{path}-wal")
    if not log.exists() or Path(f"{path}-shm").exists():
        yield path
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(log, f"{copy}-wal")
        yield copy


def _log_ahead(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:  # SQLite itself does not wait for another process that switches the same new file
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _advice(message: str, what: str) -> str:
    if "full" in message:
        return f"no space left on the disk for the {what}: free some and run again"
    if "locked" in message:
        return f"another process has held the {what} for over {BUSY_SECONDS:.0f} s"
    if "not a database" in message or "malformed" in message:
        return f"not a readable {what} ({message}); restore it, or name another in runtime.store"
    return f"the {what} cannot be used: {message}"
