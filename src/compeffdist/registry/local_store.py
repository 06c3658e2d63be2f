"""A store in an SQLite file keeps its files beside it, in `mlruns`, wherever the two are copied or moved to.

MLflow writes absolute paths into its database: after a copy they lead into the original, after a move nowhere. Here a
path is read by where it lies within `mlruns`. Whoever only asks finds the files beside the database (`located`);
whoever writes first puts the paths right in it (`repair_paths`), so that MLflow's own commands find them, too. What is
not beside the database although it should be is another checkout's: it may be read, and is neither written nor removed.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from compeffdist.errors import UserError, one_line
from compeffdist.tracking_uri import SQLITE, database, migration

FOLDER = "mlruns"
COLUMNS = {
    "runs": ("run_uuid", "artifact_uri"),
    "logged_models": ("model_id", "artifact_location"),
    "model_versions": ("rowid", "storage_location"),
    "experiments": ("experiment_id", "artifact_location"),
}
"""Table -> its key, and the column that holds a place."""
OWNER, COPIED = "compeffdist.database", "compeffdist.copied_from"
"""Tags of an experiment: the database file that it was last written through, and those which that is a copy of, a line
each: of a copy of a copy both."""
SQLITE_MARK = b"SQLite format 3\0"
"""How a file of SQLite begins."""
RUN = re.compile("[0-9a-f]{32}")
"""How MLflow names a run."""
BUSY_SECONDS = 20


def local_path(uri: str) -> Path | None:
    """The path that a place of MLflow's names, none if it is elsewhere than in files."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    return Path(url2pathname(parts.path) if parts.scheme else uri)


def located(uri: str) -> Path | None:
    """Where files that a store names lie now; none if they are behind a server. They need not be there."""
    path = local_path(uri)
    if path is None or (store := database()) is None:
        return path
    own = _own_place(path, store)
    return own if own is not None and own.exists() else path


def belongs_elsewhere(uri: str) -> Path | None:
    """The path of files that are another checkout's, so that this one must not touch them; else none.

    An experiment may have been given a folder of its own: what is in it is this store's unless that is a copy. A copy
    may also share the original's `mlruns`, by a link or as its neighbour: what is in there is the original's.
    Raises UserError if the database cannot be read.
    """
    store, path = database(), located(uri)
    if store is None or path is None:
        return None
    originals = [original for original in _named_originals(store) if _is_other(original, store)]
    theirs = originals and (
        not _inside(path, store) or any(_inside(original.parent / FOLDER, store) for original in originals)
    )
    beside = (_is_beside_another(place, store) for place in (path, Path(os.path.realpath(path))))
    return path if theirs or any(beside) else None


def _named_originals(store: Path) -> list[Path]:
    """The databases that this one is, or was once, a copy of, itself among them; they need not be there any more."""
    with _opened(store, "ro") as connection:
        rows = connection.execute("SELECT value FROM experiment_tags WHERE key IN (?, ?)", (OWNER, COPIED)).fetchall()
    return list(dict.fromkeys(Path(line) for (value,) in rows for line in str(value).splitlines()))


def repair_paths(store: Path) -> None:
    """Make a store's paths lead to the files beside it, where they are there; call before anything is written. Raises
    UserError if the database cannot be changed."""
    with _opened(store, "rw") as connection:
        for table, (key, column) in COLUMNS.items():
            changed = list(_changes(connection, store, table, key, column))
            connection.executemany(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", changed)


def _changes(
    connection: sqlite3.Connection, store: Path, table: str, key: str, column: str
) -> Iterator[tuple[str, str | int]]:
    """(new place, key) of the rows whose place is not what it should be."""
    for name, uri in connection.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"):
        path = local_path(uri)
        own = _own_place(path, store) if path is not None and not _inside(path, store) else None
        if own is None or path is None:
            continue
        theirs = False
        if table == "experiments":  # where new runs are written: never into another checkout
            owner = _owner(connection, name)
            theirs = _is_beside_another(path, store) if owner is None else not _is_same(owner, store)
        if theirs or own.exists() or not path.exists():
            yield own.as_uri() if uri.startswith("file:") else str(own), name


def _owner(connection: sqlite3.Connection, experiment: int | str) -> Path | None:
    found = connection.execute(
        "SELECT value FROM experiment_tags WHERE key = ? AND experiment_id = ?", (OWNER, experiment)
    ).fetchone()
    return Path(found[0]) if found else None


def claim(store: Path, experiment: str, place: str) -> None:
    """Note that an experiment, which keeps its files in `place`, is written through this database. Raises UserError if
    that is a folder of its own, and this database is a copy of the one that its files belong to."""
    path, originals = local_path(place), [path for path in _named_originals(store) if not _is_same(path, store)]
    with _opened(store, "rw") as connection:
        owner = _owner(connection, experiment)
        original = owner if owner is not None and _is_other(owner, store) else None
        if original and path is not None and not _inside(path, store):
            raise UserError(
                f"{store} is a copy of {original}, whose runs are kept in {path}: choose another registry.experiment, "
                "or another MLFLOW_TRACKING_URI"
            )
        tags = {OWNER: str(store)} | ({COPIED: "\n".join(map(str, originals))} if original else {})
        if owner != store:
            connection.executemany(
                "INSERT OR REPLACE INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)",
                [(key, value, experiment) for key, value in tags.items()],
            )


def former_store() -> tuple[str, str] | None:
    """What lies in plain files beside the database, as MLflow kept it before it had one, and the command that takes it
    over; none where nothing does, or that was done. Raises UserError if the database cannot be read.

    The command makes a new database and replaces one that is there: what is in this one already has to stay.
    """
    if (store := database()) is None:
        return None
    folder = store.parent / FOLDER
    named = (path.parent.name for path in folder.glob("[0-9]*/*/meta.yaml"))
    run = next((name for name in named if RUN.fullmatch(name)), "")  # not a folder of our own runs' files
    if not run:
        return None
    target = store
    if store.exists():
        with _opened(store, "ro") as connection:
            if connection.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run,)).fetchone():
                return None
        target = store.with_name("former.db")
    return (
        f"{folder}: runs that MLflow kept in plain files, which are not read here",
        migration(folder, f"{SQLITE}{target}"),
    )


def home_uri(store: Path) -> str:
    """Where a new experiment keeps its files."""
    return (store.parent / FOLDER).as_uri()


def _own_place(path: Path, store: Path) -> Path | None:
    """Where a path within some `mlruns` would lie beside this database; none if it lies within none."""
    parts = path.parts
    if FOLDER not in parts:
        return None
    last = len(parts) - 1 - parts[::-1].index(FOLDER)
    return store.parent.joinpath(FOLDER, *parts[last + 1 :])


def _is_beside_another(path: Path, store: Path) -> bool:
    """Whether a path lies within the `mlruns` of another folder in which there is a database, whatever it is called."""
    before, found, _ = str(path).rpartition(f"/{FOLDER}")
    folder = Path(before or "/")
    try:
        if not found or not folder.is_dir() or folder.samefile(store.parent):
            return False
        return any(_is_other(beside, store) and _is_sqlite(beside) for beside in folder.iterdir())
    except OSError:  # whose it is cannot be seen: not this store's, at least
        return True


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE_MARK)) == SQLITE_MARK


def _inside(path: Path, store: Path) -> bool:
    """Whether a path lies beside the database, links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(store.parent / FOLDER))


def _is_other(owner: Path, store: Path) -> bool:
    """Whether a database is there, as far as may be seen, and is not this one."""
    try:
        return owner.is_file() and not _is_same(owner, store)
    except OSError:
        return True


def _is_same(owner: Path, store: Path) -> bool:
    return owner == store or (owner.is_file() and store.is_file() and owner.samefile(store))


@contextmanager
def _opened(store: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """The database, read or (`rw`) changed in one transaction. Raises UserError if that cannot be done."""
    try:
        opened = sqlite3.connect(f"{store.as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS)
        with closing(opened) as connection, connection:
            yield connection
    except sqlite3.Error as error:
        done = "its paths cannot be made to lead here" if mode == "rw" else "it cannot be read"
        raise UserError(f"{store}: {done}: {one_line(error, 200)}") from None
