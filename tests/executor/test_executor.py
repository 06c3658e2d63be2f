"""Replicas that Ray places: what they compute and answer is what one process does, and their deaths lose nothing.

One Ray is started for all of these tests, which takes most of their time.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from compeffdist.difficulty import spread
from compeffdist.difficulty.score_difficulty import score_in_blocks, score_triplets
from compeffdist.difficulty.shards import ScoreShards
from compeffdist.errors import UserError
from compeffdist.executor import session
from compeffdist.executor.session import ray_session
from compeffdist.params import DifficultyParams, RuntimeParams, TeacherParams
from compeffdist.processes import ProcessId, process_id
from compeffdist.records import Reject, ScoredTriplet
from compeffdist.teacher import vllm_supervisor
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.vllm_replicas import VllmReplicas
from compeffdist.teacher.vllm_supervisor import EngineFiles
from tests.eventually import eventually
from tests.factories import make_text, make_triplet
from tests.stages import ROOT
from tests.student.tiny import tiny_model_folder

ASKED = {
    "say how the writer feels: good or bad, and why.": {"great": "positive", "a bore": "negative"},
    "is it good?": {"there": "neutral", "so-so, as ever": "the film was dreadful"},
}
TEXTS = [
    (asks, f"The {thing} was {mood}.", response)
    for asks, moods in ASKED.items()
    for thing in ("film", "book", "play", "song", "meal", "hotel", "phone")
    for mood, response in moods.items()
]
TRIPLETS = [
    make_triplet(text=make_text(text), prompt=f"{asks}\n\n{text}", response=response) for asks, text, response in TEXTS
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a Ray on this machine, which others join as they would any."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in (session.HERE_ALONE | {"RAY_AUTH_TOKEN": session._token()}).items():
            environment.setenv(name, value)
        with session._started(RuntimeParams(replicas=3)) as started:
            assert started.startswith("127.0.0.1:")
            yield started
        assert not replicas_at_work()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("student"))


def of_processes(what: Callable[[psutil.Process], Any]) -> list[Any]:
    """What each process below this one has, but for those that end meanwhile."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found.append(what(process))
    return found


def test_a_ray_that_is_started_here_listens_on_this_machine_alone(address: str) -> None:
    with ray_session(RuntimeParams(executor="ray", ray_address=address)) as ray:
        ray.get(ray.remote(lambda: os.getpid()).remote())  # what Ray begins for the first work listens, too
        opened = [each for all_ in of_processes(lambda process: process.net_connections()) for each in all_]
    sockets = [each for each in opened if each.status == psutil.CONN_LISTEN]
    assert f":{address.partition(':')[2]}" in {f":{each.laddr.port}" for each in sockets}
    assert {each.laddr.ip for each in sockets} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def runtime_of(scores: Path, address: str, replicas: int) -> RuntimeParams:
    return RuntimeParams(
        device="cpu",
        scores=str(scores),
        token_budget=512,
        executor="ray" if replicas else "local",
        ray_address=address,
        replicas=replicas or 1,
    )


def score(folder: Path, scores: Path, address: str, replicas: int) -> tuple[list[ScoredTriplet], list[Reject]]:
    runtime = runtime_of(scores, address, replicas)
    return score_triplets(TRIPLETS, folder, DifficultyParams(ifd=True), runtime, weights="w", system="You judge.")


def replicas_at_work() -> list[int]:
    """Pids of replicas that score."""
    told = of_processes(lambda process: (process.pid, "".join(process.cmdline())))
    return [pid for pid, command in told if command.startswith("ray::Replica")]


def kept(scores: Path) -> dict[str, object]:
    [folder] = scores.iterdir()
    shards = ScoreShards(folder)
    return {key: shards.get(key) for key in shards.batches}


def test_a_replica_scores_to_the_same_last_bit(
    address: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = score(folder, tmp_path / "alone", address, 0)
    monkeypatch.setattr("compeffdist.difficulty.scorer._score_batch", None)  # this process computes none
    assert score(folder, tmp_path / "spread", address, 1) == alone
    assert kept(tmp_path / "spread") == kept(tmp_path / "alone")


def test_a_replica_serves_one_block_after_another(
    address: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [TRIPLETS[: len(TRIPLETS) // 2], TRIPLETS[len(TRIPLETS) // 2 :]]
    begin, begun = spread.Work._start, list[int]()

    def counting(self: spread.Work) -> None:
        begun.append(self.started)
        begin(self)

    def in_blocks(scores: Path, replicas: int) -> list[object]:
        runtime = runtime_of(scores, address, replicas)
        found = score_in_blocks(
            blocks, len(TRIPLETS), folder, DifficultyParams(), runtime, weights="w", system="You judge."
        )
        return list(found)

    monkeypatch.setattr(spread.Work, "_start", counting)
    alone = in_blocks(tmp_path / "alone", 0)
    monkeypatch.setattr("compeffdist.difficulty.scorer._score_batch", None)
    assert in_blocks(tmp_path / "spread", 1) == alone
    assert begun == [0]


def test_two_replicas_score_to_the_same_last_bit_and_one_that_is_killed_loses_nothing(
    address: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = score(folder, tmp_path / "alone", address, 0)
    put, killed = ScoreShards.put, list[int]()

    def put_and_kill(self: ScoreShards, key: str, rows: spread.Figures) -> None:
        put(self, key, rows)
        if not killed:
            killed.append(replicas_at_work()[0])
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(spread, "SHARE_BATCHES", 1)
    monkeypatch.setattr(ScoreShards, "put", put_and_kill)
    assert score(folder, tmp_path / "spread", address, 2) == alone
    assert killed
    assert kept(tmp_path / "spread") == kept(tmp_path / "alone")
    said = capfd.readouterr().err.splitlines()
    assert "a replica that scores died; what it had is computed by others" in said
    assert all(line.startswith(("difficulty", "a replica")) for line in said)  # Ray has nothing to say


def test_a_ray_that_is_not_installed_is_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(session.metadata, "version", lacks)
    monkeypatch.setattr("compeffdist.difficulty.passes.code_versions", dict)
    with pytest.raises(UserError, match=r"ray, which is not installed: pip install '\.\[ray\]'"):
        score(folder, tmp_path / "scores", "", 2)


def test_replicas_that_this_machine_has_no_room_for_are_refused() -> None:
    runtime = RuntimeParams(executor="ray", replicas=3, replica_resources={"GPU": 1.0})
    with pytest.raises(UserError, match="3 want 1 GPU each, and this machine has 2: have fewer"):
        session._check_room({"CPU": 8.0, "GPU": 2.0}, runtime)


def test_a_part_of_a_gpu_is_of_one_gpu() -> None:
    runtime = RuntimeParams(executor="ray", replicas=3, replica_resources={"GPU": 0.6})
    with pytest.raises(UserError, match=r"3 want 0\.6 GPU each, and this machine has 2"):
        session._check_room({"GPU": 2.0}, runtime)
    session._check_room({"GPU": 3.0}, runtime)
    session._check_room({"GPU": 1.5}, runtime.model_copy(update={"replica_resources": {"GPU": 0.5}}))


def test_ray_is_not_imported_where_it_is_not_asked_for() -> None:
    script = (
        "import sys\nfrom compeffdist.difficulty import score_difficulty\n"
        "from compeffdist.teacher import vllm_replicas\nprint('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_is_kept_needs_no_ray(folder: Path, tmp_path: Path) -> None:
    alone = score(folder, tmp_path / "scores", "", 0)
    assert score(folder, tmp_path / "scores", "127.0.0.1:1", 2) == alone


# ---------------------------------------------------------------- asking

SUPERVISE = """
import sys
from pathlib import Path
from compeffdist.teacher.vllm_placing import RaySupervisor
from compeffdist.teacher.vllm_supervisor import EngineFiles
folder, key, idle_seconds, *arguments = sys.argv[1:]
RaySupervisor.module = "tests.executor.stub_vllm"
RaySupervisor(EngineFiles(Path(folder), key), float(idle_seconds), arguments).run()
"""
IDENTITY: Any = SimpleNamespace(dtype="float32")


@dataclass
class Bench:
    """An engine whose servers are stubs, and what they were asked."""

    engine: VllmReplicas
    told: Path
    supervisor: "subprocess.Popen[bytes] | None" = None

    def start(self, files: EngineFiles, arguments: list[str], idle_seconds: int) -> ProcessId:
        """In place of starting the real thing."""
        command = [sys.executable, "-c", SUPERVISE, str(files.folder), files.key, str(idle_seconds), *arguments]
        with files.log.open("wb") as log:
            self.supervisor = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
        found = process_id(self.supervisor.pid)
        assert found is not None
        return found

    def servers(self) -> list[int]:
        """Pids of all that were started."""
        return sorted(int(path.name) for path in self.told.iterdir() if path.name.isdigit())

    def asked(self, pid: int) -> list[str]:
        return (self.told / str(pid)).read_text().split()

    def addresses(self) -> list[str]:
        state = self.engine.files.read_state()
        return state.replicas if state else []


@pytest.fixture
def bench(address: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.chdir(tmp_path)
    told = tmp_path / "told"
    told.mkdir()
    runtime = RuntimeParams(
        executor="ray",
        ray_address=address,
        replicas=2,
        concurrency=2,
        request_timeout_seconds=120.0,
        engine_start_seconds=120,
        engine_arguments=[f"--told={told}"],
    )
    made = Bench(VllmReplicas(IDENTITY, TeacherParams(), runtime, folder), told)
    monkeypatch.setattr(vllm_supervisor, "_start_supervisor", made.start)
    yield made
    if made.supervisor is not None:
        made.supervisor.terminate()
        made.supervisor.wait(60)
    assert eventually(lambda: not any(process_id(pid) for pid in made.servers()), seconds=60.0)


def requests(words: str) -> list[Request]:
    return [Request("You judge.", f"It is {words}.\n\n{number}", 4, 0.0, 1.0, 0) for number in range(24)]


def test_a_server_that_is_killed_is_replaced_and_nothing_that_was_answered_is_asked_again(bench: Bench) -> None:
    answers: dict[int, Answer] = {}
    failures: list[str] = []

    def on_answer(index: int, answer: Answer) -> None:
        answers[index] = answer
        if len(answers) == 6:
            assert eventually(lambda: len(bench.addresses()) == 2, seconds=60.0)
            one, other = bench.servers()
            (bench.told / f"{other}.hold").touch()  # until the third is asked, too
            os.kill(one, signal.SIGKILL)
            assert eventually(lambda: len(bench.servers()) == 3, seconds=60.0)
        if any(bench.asked(pid) for pid in bench.servers()[2:]):
            for hold in bench.told.glob("*.hold"):
                hold.unlink()

    bench.engine.answer(requests("one of two"), on_answer, lambda _, reason: failures.append(reason))
    assert not failures
    assert sorted(answers) == list(range(24))
    assert len({answer.text for answer in answers.values()}) == 24
    times = Counter(asked for pid in bench.servers() for asked in bench.asked(pid))
    assert len(times) == 24
    assert times.total() <= 24 + bench.engine.runtime.concurrency
    assert bench.engine.meter.since().calls == 24
    assert len(bench.servers()) == 3


def test_servers_that_all_died_between_two_stages_are_waited_for(bench: Bench) -> None:
    answers: dict[int, Answer] = {}
    bench.engine.answer(requests("said"), answers.__setitem__, lambda _, reason: pytest.fail(reason))
    assert eventually(lambda: len(bench.addresses()) == 2, seconds=60.0)
    first = bench.servers()
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not bench.addresses(), seconds=60.0)
    answers.clear()
    bench.engine.answer(requests("sung"), answers.__setitem__, lambda _, reason: pytest.fail(reason))
    assert len(answers) == 24
    assert bench.engine.starts == 1 and len(bench.servers()) > len(first)


def test_the_next_stage_asks_the_servers_that_are_there(bench: Bench) -> None:
    for words in ("said", "sung"):
        answers: dict[int, Answer] = {}
        bench.engine.answer(requests(words), answers.__setitem__, lambda _, reason: pytest.fail(reason))
        assert len(answers) == 24
    assert bench.engine.starts == 1
    assert len(bench.servers()) <= 2
