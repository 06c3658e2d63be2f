"""Scoring on two Ray nodes, one of which is cut off from the network for a while: what comes out must be what one
process computes, to the last bit.

    python -m tests.executor.two_nodes --cut 60        # as root, on Linux: nodes are network namespaces of this machine

It says how long the cut was, what was computed twice because of it, and how long it all took. Exit code 1 if a score
differs or a replica is left.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compeffdist.difficulty import score_difficulty, spread
from compeffdist.difficulty.shards import ScoreShards
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.records import Triplet
from tests.eventually import eventually
from tests.factories import make_text, make_triplet
from tests.stages import ROOT

NODES = {"a": "10.213.71.1", "b": "10.213.71.2"}
PORT = 6390
MOST_SECONDS = 900.0
BATCHES_BEFORE = 12
"""That came when the cut begins."""
ASKED = ("Is the writer glad, sad or neither?", "What is praised, and by which words?", "How strong is the feeling?")


def triplets(count: int) -> list[Triplet]:
    """Rows of as many lengths as real ones have."""
    made = []
    for number in range(count):
        text = f"Visit {number}: the {'very ' * (number % 37)}quiet room was {('fine', 'cold', 'dear')[number % 3]}."
        prompt = f"{ASKED[number % len(ASKED)]}\n\nInput: {text}"
        made.append(make_triplet(text=make_text(text), prompt=prompt, response=("glad", "sad", "neither")[number % 3]))
    return made


def score(model: Path, scores: Path, count: int, address: str = "") -> list[Any]:
    """All scores as rows, computed here or by a replica on each node."""
    runtime = RuntimeParams(device="cpu", scores=str(scores), token_budget=512)
    if address:
        own = {"executor": "ray", "ray_address": address, "replicas": len(NODES)}
        runtime = runtime.model_copy(update=own)
    scored, rejects = score_difficulty.score_triplets(
        triplets(count), model, DifficultyParams(), runtime, weights="w", system="You judge."
    )
    assert not rejects
    return [one.to_row() for one in scored]


def score_logged(folder: Path, model: Path, count: int, address: str) -> None:
    """The process that is measured: alone, or in the first node with an address, where every batch that comes back is a
    line of a log."""
    import torch

    torch.set_num_threads(1)  # as a replica has: sums run in another order by another number
    name = "spread" if address else "alone"
    put = ScoreShards.put

    def logged(self: ScoreShards, key: str, rows: Any) -> None:
        with (folder / f"{name}.log").open("a") as stream:
            stream.write(f"{key}\n")
        put(self, key, rows)

    ScoreShards.put = logged  # type: ignore[method-assign]
    spread.SHARE_BATCHES = 4  # small ones, so that both nodes have some whenever the cut comes
    (folder / f"{name}.json").write_text(json.dumps(score(model, folder / name, count, address)))


@contextmanager
def two_namespaces() -> Iterator[Mapping[str, str]]:
    """Network namespaces that see each other and nothing else; whatever runs in them ends with the block."""
    mark = secrets.token_hex(3)
    names = {node: f"cdist-{mark}-{node}" for node in NODES}
    try:
        for name in names.values():
            run("ip", "netns", "add", name)
        run("ip", "link", "add", f"c{mark}a", "type", "veth", "peer", "name", f"c{mark}b")
        for node, name in names.items():
            run("ip", "link", "set", f"c{mark}{node}", "netns", name, "name", "wire")
            run("ip", "-n", name, "address", "add", f"{NODES[node]}/24", "dev", "wire")
            for device in ("lo", "wire"):
                run("ip", "-n", name, "link", "set", device, "up")
        yield names
    finally:
        for name in names.values():
            for pid in processes_in(name):
                subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
            eventually(lambda name=name: not processes_in(name))  # type: ignore[misc]
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def run(*command: str) -> str:
    """What a command prints. Raises CalledProcessError."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def processes_in(namespace: str) -> list[int]:
    """Their pids."""
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False).stdout
    return [int(pid) for pid in found.split()]


def replicas_in(namespace: str) -> int:
    """How many replicas that score run there."""
    return sum(
        "ray::Replica" in Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
        for pid in processes_in(namespace)
        if Path(f"/proc/{pid}").exists()
    )


def begin(command: Sequence[str], log: Path, namespace: str = "") -> "subprocess.Popen[bytes]":
    """A process, in a namespace if one is named."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    own = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    with log.open("ab") as stream:
        return subprocess.Popen([*inside, *command], env=os.environ | own, stdout=stream, stderr=stream, cwd=ROOT)


def wait(what: str, until: Callable[[], bool], log: Path, seconds: float = MOST_SECONDS) -> None:
    """Exits, with the end of a log, if it does not come about."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            sys.exit(f"error: {what}: not within {seconds:g} s\n{log.read_text()[-3000:]}")
        time.sleep(0.2)


def cut_off(folder: Path, model: Path, count: int, seconds: float) -> dict[str, Any]:
    """Score alone and on two nodes, one of them cut off; figures of what came of it."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    log, came = folder / "log", folder / "spread.log"
    came.touch()
    own = [sys.executable, "-m", "tests.executor.two_nodes", "--process", str(folder), str(model), str(count)]
    began = time.monotonic()
    ended(begin([*own, ""], log), log)
    alone = time.monotonic() - began
    with two_namespaces() as names:
        address = f"{NODES['a']}:{PORT}"
        start_nodes(names, address, folder / "ray", log)
        began = time.monotonic()
        stage = begin([*own, address], log, names["a"])
        wait("a replica on each node", lambda: all(map(replicas_in, names.values())), log)
        before = batches(came) + BATCHES_BEFORE
        wait("the first batches", lambda: batches(came) >= before or stage.poll() is not None, log)
        run("ip", "-n", names["b"], "link", "set", "wire", "down")
        time.sleep(seconds)
        run("ip", "-n", names["b"], "link", "set", "wire", "up")
        by_then = batches(came)
        ended(stage, log)
        took = time.monotonic() - began
        left = sum(map(replicas_in, names.values()))
    keys = came.read_text().split()
    rows = [(folder / f"{name}.json").read_bytes() for name in ("alone", "spread")]
    return {
        "rows": count,
        "batches": len(set(keys)),
        "batches_that_came_twice": len(keys) - len(set(keys)),
        "batches_before_the_cut": before,
        "batches_by_its_end": by_then,
        "seconds_cut": seconds,
        "seconds": round(took, 1),
        "seconds_alone": round(alone, 1),
        "deaths_told": log.read_text().count("a replica that scores died"),
        "replicas_left": left,
        "same": rows[0] == rows[1],
    }


def start_nodes(names: Mapping[str, str], address: str, place: Path, log: Path) -> None:
    """A Ray node in each namespace, of one CPU: room for one replica."""
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--disable-usage-stats", "--block"]
    head = [f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={place}"]
    begin([*ray, "--head", f"--node-ip-address={NODES['a']}", *head], log, names["a"])
    wait("Ray's head", lambda: "Ray runtime started" in log.read_text(), log, 120)
    begin([*ray, f"--address={address}", f"--node-ip-address={NODES['b']}"], log, names["b"])
    wait("Ray's second node", lambda: log.read_text().count("Ray runtime started") == len(names), log, 120)


def batches(log: Path) -> int:
    """How many came so far."""
    return len(log.read_text().split())


def ended(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Exits if a process fails."""
    wait("the end of scoring", lambda: process.poll() is not None, log)
    if process.returncode:
        sys.exit(f"error: scoring ended with {process.returncode}\n{log.read_text()[-3000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cut", type=float, default=60.0, help="seconds that one node is cut off for")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--model", type=Path, help="folder of a model (default: one made up of two layers)")
    parser.add_argument("--process", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.process:
        place, model, count, address = args.process
        score_logged(Path(place), Path(model), int(count), address)
        return
    folder = Path(tempfile.mkdtemp(prefix="nodes-", dir="/tmp"))  # Ray's sockets want a short path
    try:
        if args.model is None:
            from tests.student.tiny import tiny_model_folder

            args.model = tiny_model_folder(folder / "model")
        found = cut_off(folder, args.model.absolute(), args.rows, args.cut)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=2))
    if not found["same"] or found["replicas_left"]:
        sys.exit("error: scores differ from those of one process, or a replica is left")


if __name__ == "__main__":
    main()
