"""One vLLM server for a whole run: started on demand, shared by its stages, gone when the run is.

A server takes a minute to start, so it must outlive the stage that needed it first; and it holds gigabytes, so it must
not outlive the run, however that ends. A supervisor process of its own session starts the server and ends it when

- every process with a lease is gone: each stage leases for itself and for the `dvc` or `make` it runs under;
- no request came for `idle_seconds`: the stages that train need the memory;
- it is told to (TERM). Killed outright, it takes the server with it (see vllm_server).

Clients and supervisor meet in a folder: `KEY.json` says where the server is (it holds its API key: mode 0600),
`KEY.leases/` has one file a lease whose modification time is the last use, `KEY.lock` orders coming and going.

    python -m compeffdist.teacher.vllm_supervisor FOLDER KEY IDLE_SECONDS SERVER_ARGUMENT…

Where the first argument says that Ray places servers (`PLACED`), there are several of them (`vllm_placing`).
"""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from compeffdist.credentials import KEY_VARIABLE
from compeffdist.errors import UserError, one_line, run_guarded
from compeffdist.processes import ProcessId, process_id, run_process
from compeffdist.teacher.vllm_server import PARENT_VARIABLE

HOST = "127.0.0.1"
TICK_SECONDS = 0.5
GRACE_SECONDS = 10.0
PATIENCE = {"VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600"}
"""vLLM ends an engine whose step takes longer than 300 seconds, as on a busy machine, or one that slept."""
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20)}
"""Loading frees each layer's weights once they are packed; blocks this large then go back to the system at once."""
PLACED = "--placed-by-ray="
"""Begins the supervisor's argument that has the params for it, as JSON; no server's."""
PRELOAD = "LD_PRELOAD"
LIBRARIES = (
    # pip install intel-openmp
    (Path(sys.prefix) / "lib", "libiomp5.so"),
    # Debian's libtcmalloc-minimal4, on either architecture
    (Path("/usr/lib/x86_64-linux-gnu"), "libtcmalloc_minimal.so.4"),
    (Path("/usr/lib/aarch64-linux-gnu"), "libtcmalloc_minimal.so.4"),
)
"""(folder, file) of an OpenMP runtime with cheaper barriers and an allocator that does not fall back on the kernel for
each step's buffers: vLLM on a CPU asks for both in its log. Measured with a 1.5B teacher on two cores: 1, 8 and 32
requests in flight went from 0.8, 12 and 30 generated tokens/s to 1.8, 20 and 33. Neither changes what is computed,
neither is needed, and neither can be loaded once vLLM runs."""


@dataclass(frozen=True)
class ServerState:
    """Where a supervised server is. Not ready: still loading."""

    supervisor: ProcessId
    port: int
    api_key: str
    ready: bool
    replicas: list[str] = field(default_factory=list)
    """Addresses of servers that Ray placed, in place of the one at `port`; others as some die."""


@dataclass(frozen=True)
class EngineFiles:
    """The files through which the clients and the supervisor of one server meet."""

    folder: Path
    key: str
    """Names the server: model and settings."""

    @property
    def log(self) -> Path:
        """Output of supervisor and server since its last start."""
        return self.folder / f"{self.key}.log"

    @property
    def state(self) -> Path:
        """JSON of ServerState, private to the user."""
        return self.folder / f"{self.key}.json"

    @property
    def leases(self) -> Path:
        """Folder of leases, named PID.STARTED."""
        return self.folder / f"{self.key}.leases"

    def lock(self, timeout: float = -1) -> FileLock:
        """Held while attaching (start included) and while deciding to leave."""
        return FileLock(self.folder / f"{self.key}.lock", timeout=timeout)

    def read_state(self) -> ServerState | None:
        """The state of a live supervisor's server, else None."""
        try:
            value = json.loads(self.state.read_text())
        except (FileNotFoundError, ValueError):
            return None
        state = ServerState(ProcessId(*value.pop("supervisor")), **value)
        return state if state.supervisor.alive() else None

    def write_state(self, state: ServerState) -> None:
        """Replace the state; readable by the user only."""
        temporary = self.state.with_suffix(f".{os.getpid()}.tmp")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(asdict(state), stream)
        temporary.replace(self.state)

    def lease(self, pid: int) -> None:
        """Note that the process uses the server, now. No effect if it is gone."""
        if process := process_id(pid):
            self.leases.mkdir(parents=True, exist_ok=True)
            (self.leases / f"{process.pid}.{process.started}").touch()

    def last_use(self) -> float | None:
        """Time of the last use by a lease whose process lives; None if there is none. Drops the others."""
        times = []
        for path in self.leases.glob("*.*"):
            if ProcessId(*map(int, path.name.split("."))).alive():
                times.append(path.stat().st_mtime)
            else:
                path.unlink(missing_ok=True)
        return max(times, default=None)


# ---------------------------------------------------------------- client


@dataclass(frozen=True)
class Attachment:
    """A server this process may use while it lives."""

    files: EngineFiles
    base_url: str
    api_key: str
    started: bool
    """Whether it was started for this attachment."""

    def touch(self) -> None:
        """Say that the server is in use."""
        self.files.lease(os.getpid())


def attach(files: EngineFiles, arguments: Sequence[str], idle_seconds: int, start_seconds: int) -> Attachment:
    """Find or start the server for `files.key`, and hold it for this process and its run. Raises UserError if it does
    not start within `start_seconds`, with the last telling line of its log."""
    if sys.platform != "linux":
        raise UserError("teacher.engine vllm needs Linux; set it to transformers or openai")
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with files.lock(timeout=start_seconds + GRACE_SECONDS):
            for pid in {os.getpid(), run_process()}:
                files.lease(pid)
            joined = files.read_state()
            ready = _await_ready(files, joined.supervisor, start_seconds) if joined else None
            started = ready is None
            if ready is None:
                supervisor = _start_supervisor(files, arguments, idle_seconds)
                ready = _await_ready(files, supervisor, start_seconds)
    except Timeout:
        place = files.lock().lock_file
        raise UserError(f"{place}: another process is starting the vLLM server and does not end") from None
    if ready is None:
        raise UserError(f"the vLLM server did not start: {telling_line(files.log)} (whole log: {files.log})")
    return Attachment(files, f"http://{HOST}:{ready.port}/v1", ready.api_key, started)


def release_run(folder: Path) -> None:
    """Give up the run's leases on all servers of `folder`: each ends when the last stage that uses it does. For stages
    that need the memory: returns once the servers that nobody else uses are gone."""
    if not (run := process_id(run_process())):
        return
    for lease in folder.glob(f"*.leases/{run.pid}.{run.started}"):
        lease.unlink(missing_ok=True)
    deadline = time.monotonic() + 2 * GRACE_SECONDS
    for path in folder.glob("*.json"):
        files = EngineFiles(folder, path.stem)
        state = files.read_state()
        while state and state.supervisor.alive() and files.last_use() is None and time.monotonic() < deadline:
            time.sleep(TICK_SECONDS)


def _start_supervisor(files: EngineFiles, arguments: Sequence[str], idle_seconds: int) -> ProcessId:
    print(f"starting the vLLM server (log: {files.log})", file=sys.stderr)
    command = [sys.executable, "-m", __name__, str(files.folder), files.key, str(idle_seconds), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(KEY_VARIABLE)}
    with files.log.open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _CHILDREN.append(process)
    # a process that ended at once has no start time any more; it is then reported as not started
    return process_id(process.pid) or ProcessId(process.pid, -1)


_CHILDREN: list[subprocess.Popen[bytes]] = []
"""Supervisors this process started, kept so that Python does not warn about dropping a live child."""


def _await_ready(files: EngineFiles, supervisor: ProcessId, start_seconds: int) -> ServerState | None:
    """The state of the supervisor's server once it is ready; None if the supervisor ends before."""
    deadline = time.monotonic() + start_seconds
    while supervisor.alive():
        state = files.read_state()
        if state and state.supervisor == supervisor and state.ready:
            return state
        if time.monotonic() > deadline:
            os.kill(supervisor.pid, signal.SIGTERM)
            raise UserError(
                f"the vLLM server was not ready within runtime.engine_start_seconds ({start_seconds}); see {files.log}"
            )
        time.sleep(TICK_SECONDS)
    return None


def telling_line(log: Path) -> str:
    """The line of a log most likely to say what went wrong: the last error that is not merely passed on."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b\w*(Error|Exception|error): \S", line)]
    causes = [line for line in errors if not re.search("See (root cause|stack trace)", line)]
    return one_line((causes or errors or lines or ["its log is empty"])[-1], 300)


# ---------------------------------------------------------------- supervisor


class Supervisor:
    """Starts the server and ends it when nobody needs it any more."""

    def __init__(self, files: EngineFiles, idle_seconds: float, arguments: Sequence[str]) -> None:
        self.files, self.idle_seconds, self.told_to_end = files, idle_seconds, False
        itself = process_id(os.getpid())
        assert itself is not None
        self.state = ServerState(itself, free_port(), secrets.token_urlsafe(32), ready=False)
        self.last_use: float | None = None
        self.quiet_seconds = 0.0
        self.command = [sys.executable, "-m", "compeffdist.teacher.vllm_server", "--host", HOST]
        self.command += ["--port", str(self.state.port), *arguments]

    def run(self) -> None:
        """Until the server ends or is no longer needed."""
        self._heed_term()
        self.files.write_state(self.state)
        with tempfile.TemporaryDirectory(prefix="compeffdist-") as sockets:  # vLLM leaves its sockets lying about
            server = start_server(self.command, self.state.api_key, sockets, os.environ)
            try:
                self._watch(server)
            finally:
                self._remove_state()
                end_group(server)

    def _watch(self, server: "subprocess.Popen[bytes]") -> None:
        """Return when the server has ended or is unneeded."""
        while server.poll() is None and not self.told_to_end:
            if not self.state.ready and answers(self.state.port):
                self.state = replace(self.state, ready=True)
                self.files.write_state(self.state)
            if self._unneeded() and self._leave():
                return
            time.sleep(TICK_SECONDS)

    def _unneeded(self) -> bool:
        """Nobody holds a lease, or the server is ready and was not used for long enough. Quiet is counted in ticks, not
        by the clock: a machine that slept was not idle."""
        used = self.files.last_use()
        quiet = used == self.last_use and self.state.ready
        self.last_use, self.quiet_seconds = used, self.quiet_seconds + TICK_SECONDS if quiet else 0.0
        return used is None or self.quiet_seconds > self.idle_seconds

    def _leave(self) -> bool:
        """Withdraw the state, unless a client came meanwhile."""
        if not self.state.ready:
            return True  # the client that waits for us holds the lock, and nobody else can be waiting
        with self.files.lock():
            if not self._unneeded():
                return False
            self._remove_state()
            return True

    def _remove_state(self) -> None:
        state = self.files.read_state()
        if state and state.supervisor == self.state.supervisor:
            self.files.state.unlink(missing_ok=True)

    def _heed_term(self) -> None:
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, *_: object) -> None:
        self.told_to_end = True


def start_server(
    command: Sequence[str], api_key: str, sockets: str, known: Mapping[str, str], log: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """A vLLM server that ends with the thread that starts it.

    Args:
        sockets: a folder for what it leaves lying about.
        known: environment variables.
        log: where its output goes; None: where this process's own does.
    """
    own = {"VLLM_API_KEY": api_key, PARENT_VARIABLE: str(os.getpid()), "VLLM_RPC_BASE_PATH": sockets}
    environment = PATIENCE | dict(known) | MEMORY | preloading(known) | own
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def preloading(environment: Mapping[str, str], libraries: Sequence[tuple[Path, str]] = LIBRARIES) -> dict[str, str]:
    """The variable that has the dynamic linker load those of the libraries that are installed; empty if none is. What
    the user preloads stays, and comes first; a library named there, in whatever folder, is not named again."""
    given = environment.get(PRELOAD, "").replace(":", " ").split()
    named = {Path(path).name for path in given}
    found = [str(folder / name) for folder, name in libraries if name not in named and (folder / name).is_file()]
    return {PRELOAD: ":".join([*given, *found])} if given or found else {}


def end_group(server: "subprocess.Popen[bytes]") -> None:
    """End a server and all that it started."""
    for stop in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, stop)
            server.wait(GRACE_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def answers(port: int, host: str = HOST) -> bool:
    """Whether a server there is ready."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(f"http://{host}:{port}/health", timeout=5).close()
        return True
    except (OSError, ValueError):
        return False


def free_port(host: str = HOST) -> int:
    """One that nobody listens on there."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def main() -> None:
    """Run as the supervisor of one server, or of those that Ray places."""
    folder, key, idle_seconds, *arguments = sys.argv[1:]
    files, idle = EngineFiles(Path(folder), key), float(idle_seconds)
    if not arguments[0].startswith(PLACED):
        Supervisor(files, idle, arguments).run()
        return
    from compeffdist.teacher.vllm_placing import RaySupervisor

    run_guarded(RaySupervisor(files, idle, arguments).run)


if __name__ == "__main__":
    main()
