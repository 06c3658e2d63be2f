"""Whether the MLflow server is there, found out before MLflow asks it.

MLflow's client tries each request eight times, over four minutes, in silence; a database it opens ten times, over a
minute and a half, whatever the database says. So a server is looked at, and a database opened, once, with little
patience, whenever the store is opened, and what is asked of a server afterwards is tried again for a quarter of a
minute: one that is restarted is back by then. Whoever sets MLflow's own variables is obeyed.
"""

import os
import socket
from urllib.parse import urlsplit

from compeffdist.credentials import public_address
from compeffdist.environment import THIS_MACHINE, bypass_proxies
from compeffdist.errors import UserError, connection_reason, one_line
from compeffdist.network import (
    REQUESTS,
    address_hint,
    certificate_fault,
    check_environment,
    header_fault,
    host_of,
    is_loopback,
    proxy_variable,
)

CONNECT_SECONDS, ANSWER_SECONDS = 5, 15
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1"}
"""Pauses of 0, 2, 4 and 8 seconds between attempts."""
_NUMBERS = {
    **dict.fromkeys(PATIENCE, int),
    "MLFLOW_HTTP_REQUEST_TIMEOUT": int,
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": float,
}
_CERTIFICATES = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH")
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Of databases that MLflow takes as its store, where the address names none."""


def expect_server(uri: str) -> None:
    """See that the server or database of a store is there; nothing to be seen of a store in files, or of Databricks.
    Raises UserError if it is not, or the environment is such that it cannot be asked."""
    scheme = uri.partition(":")[0].lower()
    if scheme in ("http", "https"):
        _prepare(uri)
        _expect_answer(uri)
    elif scheme.partition("+")[0] in _PORTS:
        _expect_port(uri, _PORTS[scheme.partition("+")[0]])
        _expect_entry(uri)


def _prepare(uri: str) -> None:
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    _check_settings()
    host = host_of(uri)
    if not host:
        known = f"names no server, such as http://127.0.0.1:5000{address_hint(uri)}"
        raise UserError(f"MLFLOW_TRACKING_URI: {public_address(uri)} {known}")
    if is_loopback(host):
        bypass_proxies(*THIS_MACHINE, host)
    check_environment(uri, REQUESTS)


def _check_settings() -> None:
    """MLflow's own variables that it would only stumble over. A secret in one of them is not shown."""
    for name, kind in _NUMBERS.items():
        try:
            kind(os.environ.get(name) or 0)
        except ValueError:
            raise UserError(f"{name}: expected a number, got {one_line(os.environ[name], 40)!r}") from None
    if fault := header_fault(os.environ.get("MLFLOW_TRACKING_TOKEN", "")):
        raise UserError(f"MLFLOW_TRACKING_TOKEN: the token {fault}; set it anew, without quotes and line ends")
    for name in _CERTIFICATES:
        if (path := os.environ.get(name)) and (fault := certificate_fault(name, path)):
            raise UserError(fault)


def _expect_answer(uri: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        # whatever the answer is: a server that refuses is there, and says why when it is asked for something
        http_request(
            get_default_host_creds(uri),
            "/health",
            "GET",
            max_retries=0,
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            raise_on_status=False,
        )
    except (MlflowException, OSError, ValueError) as error:
        through = f" through the proxy that {name} names" if (name := proxy_variable(uri)) else ""
        raise _unreachable(uri, f"{connection_reason(error)}{through}") from None


def _expect_port(uri: str, usual: int) -> None:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or usual
    except ValueError:
        return  # SQLAlchemy says what is wrong with it
    if not host:
        return  # a socket in the file system
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS):
            pass
    except OSError as error:
        raise _unreachable(uri, connection_reason(error)) from None


def _expect_entry(uri: str) -> None:
    """That the database lets one in: a wrong password does not become right by waiting."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        with create_engine(uri, poolclass=NullPool).connect():
            pass
    except (SQLAlchemyError, ImportError, ValueError) as error:
        said = error.orig if isinstance(error, DBAPIError) else error
        raise _unreachable(uri, one_line(said, 200)) from None


def _unreachable(uri: str, why: str) -> UserError:
    return UserError(f"MLflow store {public_address(uri)}: cannot be reached ({why}); see MLFLOW_TRACKING_URI")
