"""A supervised server is shared while it is needed, and nothing of it is left however its run ends."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.processes import ProcessId, process_id
from compeffdist.teacher import vllm_supervisor
from compeffdist.teacher.vllm_supervisor import Attachment, EngineFiles, ServerState, attach, release_run, telling_line
from tests.eventually import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the vLLM engine is for Linux")

SUPERVISE = """
import sys
from pathlib import Path
from compeffdist.teacher.vllm_supervisor import EngineFiles, Supervisor
folder, key, idle_seconds, *command = sys.argv[1:]
supervisor = Supervisor(EngineFiles(Path(folder), key), float(idle_seconds), [])
supervisor.command = [word.replace("PORT", str(supervisor.state.port)) for word in command]
supervisor.run()
"""


class Bench:
    """Supervisors of stub servers in one folder, and the processes they have."""

    def __init__(self, folder: Path) -> None:
        self.files = EngineFiles(folder / "engines", "vllm_key")
        self.pids = folder / "pids"
        self.command = [sys.executable, "-m", "tests.teacher.stub_server", "PORT", str(self.pids)]
        self.supervisors: list[subprocess.Popen[bytes]] = []

    def start(self, files: EngineFiles, arguments: object, idle_seconds: float) -> ProcessId:
        """In place of starting the real thing."""
        command = [
            sys.executable,
            "-c",
            SUPERVISE,
            str(files.folder),
            files.key,
            str(idle_seconds),
            *self.command,
        ]
        with files.log.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.supervisors.append(process)
        found = process_id(process.pid)
        assert found is not None
        return found

    def attach(self, idle_seconds: int = 600, start_seconds: int = 60) -> Attachment:
        return attach(self.files, [], idle_seconds, start_seconds)

    @property
    def supervisor(self) -> int:
        return self.supervisors[-1].pid

    def server_pids(self) -> list[int]:
        """Server and its worker."""
        return [int(word) for word in self.pids.read_text().split()]

    def gone(self) -> bool:
        return not any(process_id(pid) for pid in (self.supervisor, *self.server_pids()))


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path)
    monkeypatch.setattr(vllm_supervisor, "_start_supervisor", made.start)
    monkeypatch.setattr(vllm_supervisor, "run_process", os.getpid)
    yield made
    for supervisor in made.supervisors:
        supervisor.kill()
        supervisor.wait()


def test_the_second_client_shares_the_server_of_the_first(bench: Bench) -> None:
    first, second = bench.attach(), bench.attach()
    assert (first.started, second.started) == (True, False)
    assert (first.base_url, first.api_key) == (second.base_url, second.api_key)
    assert len(bench.supervisors) == 1


def test_the_key_is_private(bench: Bench) -> None:
    key = bench.attach().api_key
    assert stat.S_IMODE(bench.files.state.stat().st_mode) == 0o600
    for pid in (bench.supervisor, *bench.server_pids()):
        assert key not in Path(f"/proc/{pid}/cmdline").read_text()
    assert key not in bench.files.log.read_text()


def test_it_ends_when_the_last_process_that_holds_a_lease_ends(bench: Bench) -> None:
    bench.attach()
    other = subprocess.Popen(["sleep", "600"])
    bench.files.lease(other.pid)
    me = process_id(os.getpid())
    assert me is not None
    (bench.files.leases / f"{me.pid}.{me.started}").unlink()
    # still held by the other process: let several ticks pass
    assert not eventually(bench.gone, seconds=2.0)
    other.kill()
    other.wait()
    assert eventually(bench.gone)
    assert not bench.files.state.exists()


def test_a_released_server_ends_with_the_stage_and_waits_for_whoever_else_uses_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stage = (subprocess.Popen(["sleep", "600"]) for _ in range(2))
    bench.attach()
    for process in (run, stage):
        bench.files.lease(process.pid)
    monkeypatch.setattr(vllm_supervisor, "run_process", lambda: run.pid)
    me = process_id(os.getpid())
    assert me is not None
    (bench.files.leases / f"{me.pid}.{me.started}").unlink()
    release_run(bench.files.folder)
    assert not eventually(bench.gone, seconds=2.0)
    stage.kill()
    stage.wait()
    assert eventually(bench.gone)
    assert run.poll() is None
    run.kill()
    run.wait()


def test_a_released_server_that_nobody_else_uses_is_gone_on_return(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.Popen(["sleep", "600"])
    bench.attach()
    bench.files.lease(run.pid)
    monkeypatch.setattr(vllm_supervisor, "run_process", lambda: run.pid)
    me = process_id(os.getpid())
    assert me is not None
    (bench.files.leases / f"{me.pid}.{me.started}").unlink()
    release_run(bench.files.folder)
    assert bench.gone()
    run.kill()
    run.wait()


def test_it_ends_when_idle_and_the_next_client_gets_a_new_one(bench: Bench) -> None:
    first = bench.attach(idle_seconds=1)
    assert eventually(bench.gone)
    second = bench.attach()
    assert second.started
    assert second.api_key != first.api_key


def test_use_keeps_it_from_being_idle(bench: Bench) -> None:
    attachment = bench.attach(idle_seconds=2)
    for _ in range(12):
        attachment.touch()
        time.sleep(0.3)
    assert not bench.gone()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ending_the_supervisor_ends_the_server_and_its_worker(bench: Bench, how: signal.Signals) -> None:
    bench.attach()
    os.kill(bench.supervisor, how)
    assert eventually(bench.gone)
    assert bench.attach().started


def test_killing_the_server_ends_its_worker_and_the_supervisor(bench: Bench) -> None:
    bench.attach()
    os.kill(bench.server_pids()[0], signal.SIGKILL)
    assert eventually(bench.gone)
    assert bench.attach().started


def test_a_client_killed_while_the_server_starts_leaves_nothing(bench: Bench) -> None:
    bench.command = [
        sys.executable,
        "-c",
        f"import time; open({str(bench.pids)!r}, 'w').write('1'); time.sleep(600)",
    ]
    client = subprocess.Popen(["sleep", "600"])
    bench.files.folder.mkdir(parents=True)
    bench.files.lease(client.pid)
    supervisor = bench.start(bench.files, [], 600)
    assert eventually(bench.pids.exists)
    client.kill()
    client.wait()
    assert eventually(lambda: not supervisor.alive())


def test_a_client_that_joins_a_failing_start_starts_its_own(bench: Bench) -> None:
    right, bench.command = bench.command, [sys.executable, "-c", "import time; time.sleep(1); raise SystemExit(1)"]
    bench.files.folder.mkdir(parents=True)
    bench.files.lease(os.getpid())
    bench.start(bench.files, [], 600)
    assert eventually(lambda: bench.files.read_state() is not None)
    bench.command = right
    assert bench.attach().started
    assert len(bench.supervisors) == 2


def test_a_server_that_fails_to_start_is_one_clear_line(bench: Bench) -> None:
    bench.command = [sys.executable, "-c", "raise ValueError('no such model: /x')"]
    with pytest.raises(UserError, match=r"ValueError: no such model: /x \(whole log: .*vllm_key.log\)"):
        bench.attach()
    bench.supervisors[-1].wait(30)


def test_a_server_that_takes_too_long_is_ended(bench: Bench) -> None:
    bench.command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(UserError, match="engine_start_seconds"):
        bench.attach(start_seconds=2)
    bench.supervisors[-1].wait(30)


def test_the_state_of_a_dead_supervisor_does_not_count(tmp_path: Path) -> None:
    files = EngineFiles(tmp_path, "k")
    files.write_state(ServerState(ProcessId(os.getpid(), 1), 1234, "key", ready=True))
    assert files.read_state() is None


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", "its log is empty"),
        ("INFO one\nINFO two\n\n", "INFO two"),
        ("x\nOSError: no config\nINFO bye\n", "OSError: no config"),
        ("ValueError: cause\nRuntimeError: Engine failed. See root cause above.\n", "ValueError: cause"),
        ("ValueError: cause\nException: a worker failed. See stack trace for root cause.\n", "ValueError: cause"),
    ],
)
def test_the_telling_line_of_a_log(tmp_path: Path, log: str, line: str) -> None:
    (tmp_path / "log").write_text(log)
    assert telling_line(tmp_path / "log") == line
