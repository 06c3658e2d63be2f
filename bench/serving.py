"""A served version under many clients: `mlflow models serve` on this machine, asked over HTTP for some minutes.

    python bench/serving.py [--student FOLDER] [--clients 200] [--seconds 300] [--set waiting=32] [--small]

The student is registered in a store of its own, as the stage does it, and served by MLflow's own command. Each client
asks, waits for its answer, and asks again: nine in ten requests are of one text, the others of eight; one in twenty is
wrong (a column that there is not, no JSON, a text too long). Told to come back, a client waits as long as it was told.
Latency is of requests that were answered, from the first byte sent to the last received. Memory is the resident size of
MLflow's processes, looked at each second; its slope is fitted by least squares over the second half. In the end the
server is asked once more. `--set` sets bounds by the environment of the server, as an operator would.

The clients are one process on the same machine and take a core of it while they ask: with little to compute
(`--small`, random weights of two layers), that is what is measured.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from compeffdist.params import RegistryParams, ServingParams
from compeffdist.registry.bounds import VARIABLE, to_file
from compeffdist.registry.questions import Carried

TEXTS = (
    "The battery lasts two days, but the screen scratches easily.",
    "I waited forty minutes for a cold pizza and nobody apologised.",
    "A quiet film that stays with you for weeks.",
    "Delivery was on time.",
)
WRONG = (
    (b'{"dataframe_records": [{"review": "a"}]}', 400),
    (b'{"dataframe_records": [', 400),
    (json.dumps({"dataframe_records": [{"text": "x" * 9000}]}).encode(), 400),
)
LONG_ROWS = 8
WAIT_SECONDS = 180.0
"""For the server to come up; and for one answer."""


@dataclass
class Seen:
    """What the clients saw."""

    kinds: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Of requests that were answered."""
    resident: list[tuple[float, float]] = field(default_factory=list)
    """(seconds from the start, MiB)."""


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
        student = small_student(Path(scratch)) if arguments.small else arguments.student.resolve()
        uri = register(student)
        bounds = {f"{VARIABLE}{key.upper()}": value for key, _, value in (one.partition("=") for one in arguments.set)}
        with served(uri, bounds) as (process, port):
            seen = asyncio.run(load(port, process.pid, arguments))
            report(seen, arguments)
            start = time.perf_counter()
            status = ask_once(port)
            print(f"afterwards: HTTP {status} in {time.perf_counter() - start:.2f} s")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", type=Path, default=Path("models/student"))
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--set", nargs="*", default=[], metavar="BOUND=VALUE", help="of params `serving`")
    parser.add_argument("--small", action="store_true", help="random weights of two layers")
    return parser.parse_args()


def small_student(folder: Path) -> Path:
    """Random weights under the tokenizer of the tests, trained for a step."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.student.tiny import tiny_model_folder

    from compeffdist.domain import domain_here
    from compeffdist.params import FineTuningParams
    from compeffdist.student.training import TrainingRow, fine_tune

    base, student = tiny_model_folder(folder / "base"), folder / "student"
    rows = [TrainingRow(f"sample_{number}", f"the film was great {number}", "positive") for number in range(4)]
    settings, system = FineTuningParams(method="full", epochs=1.0), domain_here().system_prompts.student
    fine_tune(base, rows, settings, base_id="b", seed=1, output=student, stage="s", device="cpu", system=system)
    return student


def register(student: Path) -> str:
    from compeffdist.registry.register import register_student

    settings, carried = RegistryParams(model_name="bench", experiment="bench"), Carried().to_files(0)
    made = register_student(student, student, settings, {}, carried=carried | to_file(ServingParams()))
    return f"models:/{made.model_name}/{made.version}"


@contextmanager
def served(uri: str, bounds: dict[str, str]) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The server, once it answers, and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow starts uvicorn by name
    environment = {**os.environ, **bounds, "PATH": path, "HF_HUB_OFFLINE": "1", "UVICORN_LOG_LEVEL": "warning"}
    process = subprocess.Popen([*command, "--port", str(port)], env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server did not come up")
            time.sleep(1)
        yield process, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


async def load(port: int, pid: int, arguments: argparse.Namespace) -> Seen:
    seen, start = Seen(), time.monotonic()
    watching = asyncio.ensure_future(watch(pid, start, seen))
    clients = (client(port, number, start + arguments.seconds, seen) for number in range(arguments.clients))
    await asyncio.gather(*clients)
    watching.cancel()
    return seen


async def client(port: int, number: int, deadline: float, seen: Seen) -> None:
    draw = random.Random(number)
    while time.monotonic() < deadline:
        expected, body = 200, b""
        if draw.random() < 0.05:
            body, expected = draw.choice(WRONG)
        else:
            count = LONG_ROWS if draw.random() < 0.1 else 1
            rows = [{"text": f"{draw.choice(TEXTS)} {draw.randrange(10_000)}"} for _ in range(count)]
            body = json.dumps({"dataframe_records": rows}).encode()
        start, pause = time.monotonic(), 0.0
        try:
            status, retry_after = await asyncio.wait_for(post(port, body), WAIT_SECONDS)
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            seen.kinds[type(error).__name__] += 1
            pause = 1.0
        else:
            seen.kinds[f"{status}{'' if status in (expected, 503) else f', {expected} expected'}"] += 1
            if status == 200:
                seen.seconds.append(time.monotonic() - start)
            pause = retry_after * draw.uniform(1.0, 1.5)
        await asyncio.sleep(min(pause, max(0.0, deadline - time.monotonic())))


async def post(port: int, body: bytes) -> tuple[int, float]:
    """Status of the answer and its Retry-After, over a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        writer.write(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        await writer.drain()
        answer = await reader.read()
    finally:
        writer.close()
    lines = answer.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    told = (line.partition(":")[2] for line in lines if line.lower().startswith("retry-after:"))
    return int(lines[0].split()[1]), float(next(told, 0))


def ask_once(port: int) -> int:
    body = json.dumps({"dataframe_records": [{"text": TEXTS[0]}]}).encode()
    return asyncio.run(post(port, body))[0]


async def watch(pid: int, start: float, seen: Seen) -> None:
    while True:
        seen.resident.append((time.monotonic() - start, resident_mib(pid)))
        await asyncio.sleep(1)


def resident_mib(group: int) -> float:
    """Of the processes of a session, all together (Linux)."""
    pages = 0
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if folder.name.isdigit() and os.getsid(int(folder.name)) == group:
                pages += int((folder / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def report(seen: Seen, arguments: argparse.Namespace) -> None:
    answered = len(seen.seconds)
    rate = answered / arguments.seconds
    print(f"{arguments.clients} clients, {arguments.seconds:g} s: {answered} answered, {rate:.1f} a second")
    if answered:
        told = (f"p{q} {np.percentile(seen.seconds, q):.2f} s" for q in (50, 90, 99))
        print(f"latency: {', '.join(told)}, longest {max(seen.seconds):.2f} s")
    print("by kind: " + ", ".join(f"{kind}: {count}" for kind, count in sorted(seen.kinds.items())))
    times, sizes = np.array(seen.resident).T
    late = times >= times[-1] / 2
    print(f"memory: {sizes[0]:.0f} MiB at the start, {sizes[-1]:.0f} at the end, {sizes.max():.0f} at most")
    if late.sum() > 3:
        (slope, _), covariance = np.polyfit(times[late], sizes[late], 1, cov=True)
        error = float(np.sqrt(covariance[0, 0]))
        print(f"slope of its second half: {slope * 60:+.2f} ± {error * 60:.2f} MiB a minute, {late.sum()} samples")


if __name__ == "__main__":
    main()
