"""Which MLflow store is meant, and whether it can be used: what would stop a run at its end is said at its start."""

import importlib.util
import os
import re
import shlex
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import url2pathname

from compeffdist.credentials import public_address
from compeffdist.errors import UserError

VARIABLE = "MLFLOW_TRACKING_URI"
SCHEME = "models:/"
"""How a reference to a registered version begins."""
CHAMPION = "champion"
"""Alias of the version in use."""
DEFAULT_URI = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
_IN_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(.+)", re.IGNORECASE | re.DOTALL)
_NO_FILE = re.compile(r"sqlite(?:\+\w+)?:(?://)?(?:/?|/(?:file)?::memory:|/:memory:)", re.IGNORECASE)
HTTP = ("http://", "https://")
DRIVERS = {"postgresql": "psycopg", "mysql": "MySQLdb", "mssql": "pyodbc"}
"""By kind of database, the module by which SQLAlchemy reaches it where the address names none (`mysql+pymysql://`)."""
PACKAGES = {"psycopg2": "psycopg2-binary", "psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient"}
"""Modules that come in packages of another name."""


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI or the default store."""
    return os.environ.get(VARIABLE, "").strip() or DEFAULT_URI


def shown_uri() -> str:
    """The store's address as it may be printed."""
    return public_address(tracking_uri())


def database() -> Path | None:
    """The database file of an SQLite store, absolute and without `..`, however its address is written; none if the
    store is another."""
    found = _IN_SQLITE.fullmatch(tracking_uri())
    if found is None or _is_in_memory(tracking_uri()):
        return None
    named, _, query = found[1].partition("?")
    if named.startswith("file:") and "uri" in parse_qs(query):  # as SQLite itself takes addresses of files
        named = url2pathname(urlsplit(named).path)
    path = Path(re.sub("^/+", "/", named)).absolute()
    return Path(os.path.realpath(path.parent)) / path.name if ".." in path.parts else path


def is_bare_database() -> bool:
    """Whether the store is a database server's, with no MLflow server before it that would keep files for all."""
    return tracking_uri().partition("://")[0].partition("+")[0] in DRIVERS


def _is_in_memory(uri: str) -> bool:
    named, _, query = uri.partition("?")
    return bool(_NO_FILE.fullmatch(named)) or "memory" in parse_qs(query).get("mode", [])


def check_tracking_uri() -> None:
    """Whether the store can be used from here, as far as that is seen without asking it.

    Raises:
        UserError: its driver is not installed, its folder has a name that MLflow reads otherwise, the address has a
            password that cannot be told from the rest of it, or the store is in memory, or in files that are not named
            as a database.
    """
    uri = tracking_uri()
    _check_kind(uri)
    if uri.startswith(HTTP):
        _check_authority(uri)
    if (path := database()) is not None:
        folder = path.parent
        if (read := unquote(str(folder))) != str(folder):
            raise UserError(
                f"{folder}: MLflow takes this folder's name for an encoded one and looks for files in {read}: rename "
                f"it, or set {VARIABLE} to a store elsewhere (sqlite:////absolute/path/mlflow.db)"
            )
    elif "://" in uri and (missing := missing_driver(uri)):
        raise UserError(
            f"{VARIABLE} {shown_uri()}: needs the Python package {PACKAGES.get(missing, missing)}, which is not "
            f"installed: pip install {PACKAGES.get(missing, missing)!r}"
        )
    elif is_bare_database():
        _check_authority(uri)


def missing_driver(uri: str) -> str:
    """The module that a database of this address is reached by, if it is not installed; else empty."""
    kind, _, driver = uri.partition("://")[0].partition("+")
    module = {"mysqldb": "MySQLdb", "psycopg2cffi": "psycopg2cffi"}.get(driver, driver) or DRIVERS.get(kind, "")
    if kind not in DRIVERS or not module:
        return ""
    return "" if importlib.util.find_spec(module) else module


def _check_kind(uri: str) -> None:
    """A store is told from a copy of it by where its database lies; others are not, and MLflow gives plain files up."""
    advice = f"use {SQLITE}PATH, such as {DEFAULT_URI}"
    if _is_in_memory(uri):
        raise UserError(f"{VARIABLE} {shown_uri()}: a store in memory ends with each stage; {advice}")
    if uri.lower().startswith("sqlite") and database() is None:
        raise UserError(f"{VARIABLE} {shown_uri()}: names no database file; {advice}")
    kind, _, rest = uri.partition(":")
    if kind == "file" or not (rest or kind.startswith("databricks")):
        folder = Path(url2pathname(urlsplit(uri).path) if kind == "file" else uri)
        raise UserError(
            f"{VARIABLE} {shown_uri()}: a store in plain files, which is not supported; {advice}; what is there is "
            f"taken over by: {migration(folder, DEFAULT_URI)}"
        )


def migration(folder: Path, target: str) -> str:
    """MLflow's command that makes a new database, an SQLite address, of a store in plain files."""
    return f"mlflow migrate-filestore --source {shlex.quote(str(folder))} --target {shlex.quote(target)}"


def _check_authority(uri: str) -> None:
    authority = re.split("[/?#]", uri.partition("://")[2], maxsplit=1)[0]
    user = uri.partition("://")[2].rpartition("@")[0]
    if user and (not authority.startswith(f"{user}@") or "@" in user):
        raise UserError(
            f"{VARIABLE} {shown_uri()}: user name or password has a character that ends one in an address ('/', '@', "
            "'?', '#', ':'): write it as %2F, %40, %3F, %23, %3A"
            + (", or set MLFLOW_TRACKING_USERNAME and _PASSWORD" if uri.startswith(HTTP) else "")
        )
