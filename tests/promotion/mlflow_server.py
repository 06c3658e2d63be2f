"""A real `mlflow server` on 127.0.0.1 that keeps database and artifacts to itself."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.registry.test_serving import free_port, wait_until_up


@dataclass(frozen=True)
class MlflowServer:
    """A server that runs."""

    address: str
    files: Path
    """The folder its artifacts are in."""
    log: Path
    """What it printed."""


@contextmanager
def running_server(folder: Path, store: str, settings: Mapping[str, str] = {}) -> Iterator[MlflowServer]:
    """Serve a store.

    Args:
        folder: for artifacts and the log.
        store: the database's address; given by the environment, since anybody may read a command line.
        settings: further variables of the server's environment.
    """
    port = free_port()
    server = MlflowServer(f"http://127.0.0.1:{port}", folder / "files", folder / "log")
    command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    command += ["--artifacts-destination", str(server.files)]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"MLFLOW_BACKEND_STORE_URI": store, **settings}
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_up(process, port, "health")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=120)
