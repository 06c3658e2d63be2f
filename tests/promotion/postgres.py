"""A PostgreSQL of a test's own on 127.0.0.1, by the programs of this machine (Debian: apt-get install postgresql).

It asks for a password that holds what ends one in an address, keeps its data in a folder of its own, and ends with the
test. PostgreSQL refuses to run as root: there it is run as the user that its package made.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.registry.test_serving import free_port

USER = "keeper"
PASSWORD = "pa/ss@wo:rd#1%2F"
START_SECONDS = 60
PACKAGED = Path("/usr/lib/postgresql")
"""Where Debian's packages keep the programs of each version, which lie on no PATH."""


@dataclass(frozen=True)
class Postgres:
    """A server, and what it is reached by."""

    port: int
    process: "subprocess.Popen[bytes]"

    def address(self, password: str = PASSWORD) -> str:
        return f"postgresql://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """As an administrator does it; connections are cut."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=START_SECONDS)


def programs() -> Path:
    """The folder of PostgreSQL's programs; skips the test that asks where there are none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(PACKAGED.glob("*/bin"))
    if not folders or not (folders[-1] / "postgres").exists():
        pytest.skip("no PostgreSQL on this machine (Debian: apt-get install postgresql)")
    return folders[-1]


def somebody_else() -> dict[str, Any]:
    """What starts a program as another user, if this is root."""
    if os.geteuid() != 0:
        return {}
    try:
        named = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    return {"user": named.pw_uid, "group": named.pw_gid, "extra_groups": []}


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Skips the test that asks where it cannot be run."""
    own = programs()
    other = somebody_else()
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders let nobody else in
        folder, port = Path(place), free_port()
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            os.chown(path, other.get("user", -1), other.get("group", -1))
        asked = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", str(folder / "password")]
        made = [own / "initdb", "--pgdata", folder / "data", *asked, "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        subprocess.run(made, cwd=folder, stdout=subprocess.DEVNULL, check=True, **other)
        settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
        options = [word for setting in settings for word in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            started = [own / "postgres", "-D", folder / "data", *options]
            process = subprocess.Popen(started, cwd=folder, stdout=log, stderr=log, **other)
        server = Postgres(port, process)
        try:
            _wait_until_up(server, own, folder / "log")
            yield server
        finally:
            server.stop()


def _wait_until_up(server: Postgres, own: Path, log: Path) -> None:
    asked = [own / "pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(server.port)]
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run(asked, check=False).returncode:
        assert server.process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "PostgreSQL did not come up"
        time.sleep(0.1)
