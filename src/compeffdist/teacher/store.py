"""The response store: every answer the teacher ever gave, kept by content id in one append-only SQLite file.

It lies outside DVC's outs, because DVC deletes outs before it runs a stage and answers are what costs money. Several
processes may share it: the first answer to a key stays. Each answer is committed and flushed as it comes
(`sqlite_file`), so a killed stage, and a power cut as well, loses only what was in flight. The write-ahead log needs a
local disk: do not put the store on a network file system.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from compeffdist.canonical import canonical_json, hash_json
from compeffdist.errors import UserError, one_line
from compeffdist.files import hash_file, read_json, remove_for_good, write_json
from compeffdist.teacher.requests import Answer
from compeffdist.teacher.sqlite_file import BUSY_SECONDS, guarded, looked_into, open_for_writing, transaction

WHAT = "response store"
KEYS_PER_QUERY = 500

MIGRATIONS = (
    """
    CREATE TABLE answers (
        key TEXT PRIMARY KEY,
        teacher_id TEXT NOT NULL,
        request TEXT NOT NULL,
        answer TEXT NOT NULL,
        engine TEXT NOT NULL,
        created_at TEXT NOT NULL,
        checksum TEXT NOT NULL
    ) STRICT
    """,
)
"""Numbered from 1 by position. Append only: an older store is brought up to date on opening."""


@dataclass(frozen=True)
class StoredAnswer:
    """A row of the store."""

    key: str
    teacher_id: str
    request: str
    """Canonical JSON of the request; empty if the answer was imported from a record, which has no questions."""
    answer: str
    """Canonical JSON of the answer."""
    engine: str
    """Engine that gave it; not part of the key."""
    bought: str = ""
    """When it was bought, in UTC (ISO 8601); empty: when it is put into the store."""

    @property
    def checksum(self) -> str:
        """SHA-256 over what must not change unnoticed."""
        return hash_json([self.key, self.teacher_id, self.request, self.answer])


class ResponseStore:
    """Keyed answers in a SQLite file, made on first use.

    Raises:
        UserError: from every method, if the file is no store, was written by a newer version or was altered, if the
            disk is full, or if another process holds it for longer than a minute.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.connection = open_for_writing(self.path, WHAT, self._migrate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; every answer put is already in it. Whoever empties the write-ahead log seals it; killed
        before that, they leave no seal rather than that of earlier bytes."""
        log = Path(f"{self.path}-wal")
        written = log.exists() and log.stat().st_size > 0
        rows: list[Any] | None = None
        with guarded(self.path, WHAT):
            if written or not seal_path(self.path).exists():
                query = "SELECT key, engine, created_at, checksum FROM answers ORDER BY key"
                rows = self.connection.execute(query).fetchall()
                remove_for_good(seal_path(self.path))
            self.connection.close()
        texts = all(isinstance(value, str) for row in rows or () for value in row)  # else it is damaged: no seal
        if rows is not None and texts and not log.exists():
            seal = {"rows": len(rows), "rows_sha256": hash_json(rows)}
            write_json(seal_path(self.path), seal | {"file_sha256": hash_file(self.path)})

    def put_many(self, rows: Iterable[StoredAnswer], instead_of: Iterable[str] = ()) -> None:
        """Add rows in one transaction; a key that is there already keeps its first answer, but for those named in
        `instead_of`."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = [(r.key, r.teacher_id, r.request, r.answer, r.engine, r.bought or now, r.checksum) for r in rows]
        with guarded(self.path, WHAT), transaction(self.connection):
            self.connection.executemany("DELETE FROM answers WHERE key = ?", [(key,) for key in instead_of])
            self.connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def rows(self, keys: Iterable[str]) -> dict[str, StoredAnswer]:
        """The rows of those keys that are there; each is checked against its checksum."""
        with guarded(self.path, WHAT):
            return {row.key: row for row in _checked_rows(self.connection, self.path, keys)}

    def get_many(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers to those keys that are there. Questions, which are longer, are let go one by one."""
        with guarded(self.path, WHAT):
            return {row.key: self._parse(row) for row in _checked_rows(self.connection, self.path, keys)}

    def keys_holding(self, needle: str) -> list[str]:
        """Keys of the rows whose question or answer holds a string as JSON writes it, sorted."""
        query = (
            "SELECT key FROM answers WHERE instr(request, ?1) OR instr(answer, ?1) "
            "OR instr(request, ?2) OR instr(answer, ?2) ORDER BY key"
        )
        with guarded(self.path, WHAT):
            return [key for (key,) in self.connection.execute(query, json_forms(needle))]

    def delete(self, keys: Iterable[str]) -> None:
        """Remove rows, and their bytes from the file."""
        remove_for_good(seal_path(self.path))  # closing makes a new one
        with guarded(self.path, WHAT):
            self.connection.execute("PRAGMA secure_delete=ON")
            with transaction(self.connection):
                self.connection.executemany("DELETE FROM answers WHERE key = ?", [(key,) for key in keys])
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _parse(self, row: StoredAnswer) -> Answer:
        try:
            return Answer.from_json(row.answer)
        except (ValueError, TypeError):
            raise UserError(f"{self.path}: the answer {row.key} is not one this version can read") from None

    def _migrate(self, connection: sqlite3.Connection) -> None:
        with transaction(connection):
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, applied_at TEXT NOT NULL) STRICT"
            )
            done = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()[0]
            if done > len(MIGRATIONS):
                raise UserError(f"{self.path}: written by a newer version of compeffdist; update this checkout")
            for number, statement in enumerate(MIGRATIONS[done:], done + 1):
                connection.execute(statement)
                connection.execute("INSERT INTO migrations VALUES (?, datetime('now'))", (number,))


def json_forms(needle: str) -> tuple[str, str]:
    """How a string stands in the JSON of a question or answer: as such, and in JSON that is a string there itself, as a
    schema's or a structured answer's is."""
    written = canonical_json(needle)[1:-1]
    return written, canonical_json(written)[1:-1]


def stored_answers(path: Path, keys: Iterable[str]) -> dict[str, StoredAnswer]:
    """Rows of a store that is only looked at: neither brought up to date nor sealed. Raises UserError as the store."""
    with guarded(path, WHAT), closing(_reading(path)) as connection:
        return {row.key: row for row in _checked_rows(connection, path, keys)}


def stored_keys(path: Path) -> set[str]:
    """The keys of a store that is only looked at. Raises UserError as the store."""
    with guarded(path, WHAT), closing(_reading(path)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM answers")}


def answer_count(path: Path) -> int:
    """How many answers are in a store that is only looked at, and nothing is left beside. Raises UserError as the
    store."""
    with looked_into(path, WHAT) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


def latest_answers(path: Path, teacher_id: str, count: int, longest: int, patience: float) -> list[StoredAnswer]:
    """The last answers of a teacher's that were put into a store which is only looked at, the newest first, with the
    time in `bought`; unchecked. One whose question and answer are longer than `longest` characters is passed over.
    Nothing is left beside. Raises UserError as the store; it waits `patience` seconds for one that is held."""
    query = (
        "SELECT key, teacher_id, request, answer, engine, created_at FROM answers WHERE teacher_id = ? "
        "AND length(request) + length(answer) <= ? ORDER BY rowid DESC LIMIT ?"
    )
    with looked_into(path, WHAT, patience) as connection:
        return [StoredAnswer(*map(str, row)) for row in connection.execute(query, (teacher_id, longest, count))]


def stored_rows(path: Path) -> Iterator[tuple[StoredAnswer, bool]]:
    """Every row of a store that is only looked at, and whether it is as stored. Raises UserError as the store."""
    with guarded(path, WHAT), closing(_reading(path)) as connection:
        yield from _rows(connection, "ORDER BY key")


def _reading(path: Path) -> sqlite3.Connection:
    # with a write-ahead log SQLite writes beside the file even to read it, unless it is told that nobody else writes
    alone = not os.access(path.absolute().parent, os.W_OK) and not Path(f"{path}-wal").exists()
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)


def _rows(
    connection: sqlite3.Connection, which: str = "", values: Sequence[str] = ()
) -> Iterator[tuple[StoredAnswer, bool]]:
    columns = "key, teacher_id, request, answer, engine, created_at, checksum"
    for *fields, checksum in connection.execute(f"SELECT {columns} FROM answers {which}", values):
        row = StoredAnswer(*fields)
        # one flipped bit makes bytes of a text
        yield row, all(isinstance(value, str) for value in fields) and row.checksum == checksum


def _checked_rows(connection: sqlite3.Connection, path: Path, keys: Iterable[str]) -> Iterator[StoredAnswer]:
    wanted = list(dict.fromkeys(keys))
    for start in range(0, len(wanted), KEYS_PER_QUERY):
        batch = wanted[start : start + KEYS_PER_QUERY]
        for row, sound in _rows(connection, f"WHERE key IN ({','.join('?' * len(batch))})", batch):
            if not sound:
                raise UserError(
                    f"{path}: the answer {row.key} was altered after it was stored; "
                    "restore the file, or delete that row to ask again"
                )
            yield row


def seal_path(store: Path) -> Path:
    """The file beside a store that says what its bytes are while nobody writes it."""
    return Path(f"{store}.seal")


def store_problems(path: Path) -> list[str]:
    """What is wrong with a store's bytes; nothing if none of them changed since it was last written.

    Bytes outside the rows (SQLite's own structure, free space) carry no checksum, hence the seal: a hash over the whole
    file, written when its last writer leaves. While somebody writes, or after a writer was killed, only the rows are
    checked.
    """
    in_use = Path(f"{path}-wal").exists() and Path(f"{path}-wal").stat().st_size > 0
    sealed = hash_file(path)
    try:
        with closing(_reading(path)) as file:
            problems = [f"SQLite: {line}" for (line,) in file.execute("PRAGMA integrity_check") if line != "ok"]
            altered = (row.key for row, sound in _rows(file) if not sound)
            problems += [f"the answer {key} was altered after it was stored" for key in altered]
    except (sqlite3.DatabaseError, UnicodeDecodeError, TypeError, UnicodeEncodeError) as error:
        return [f"not readable: {one_line(error, 120)}"]
    if in_use or problems:
        return problems
    if not seal_path(path).exists():
        return [f"{seal_path(path).name}: no such file: the store was never closed in order, or its seal was removed"]
    try:
        seal = read_json(seal_path(path))
    except UserError as error:
        return [str(error)]
    if not isinstance(seal, dict) or seal.get("file_sha256") != sealed:
        return ["its bytes are not those that were sealed when it was last written"]
    return []
