"""Kills a pipeline at random moments inside every stage, and compares what comes out with a run in peace.

    python -m tests.chaos.killing --kills 200 --seed 1 --out chaos.json     # make chaos

Each kill waits until `dvc repro` has begun a stage, then for a random part of the time that the stage took in peace,
every other time also for the next write of what must never be torn, and sends SIGKILL, SIGTERM or SIGINT to dvc, to the
stage, or to all of them. A pass ends when the pipeline has finished; the next begins from nothing. Real weights, real
texts, a real server that answers by schema.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from compeffdist.environment import PRIVATE
from compeffdist.exchange.questions import REPLAYS
from tests.chaos.teacher import Asked, teaching
from tests.pipeline.checkout import BIN, Checkout
from tests.pipeline.test_smoke import engine_processes

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TARGETS = ("dvc", "stage", "all")
RUNNING = re.compile(r"Running stage '([a-z_]+)'")
NOT_COMPARED = ("metrics/", "mlruns", "report/", "data/gates", "models/student", "models/warmup")
"""Outs that tell of the run itself: where answers came from, how long things took, versions of a registry. Folders of
weights are compared by their safetensors."""
WRITTEN = {
    "an artefact": ("data", "metrics", "models", "models/student", "models/warmup"),
    "answers": (".compeffdist",),
    "a checkpoint": (".compeffdist/checkpoints/*", ".compeffdist/checkpoints/*/*"),
    "the registry": ("mlflow.db*", "mlruns/*"),
}
"""What is watched for a write: one of these, or a file in one of these folders, that appears, grows or is replaced."""
CONCURRENCY = 4
ENDS_IN = 30.0
"""Seconds in which every process of a killed run is gone."""


@dataclass
class Report:
    """What came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    """By stage."""
    signals: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    """Kills right after something was seen to change, by what."""
    passes: int = 0
    """Pipelines that finished."""
    failures: list[str] = field(default_factory=list)
    asked_again: int = 0
    """Requests sent to the teacher more than once."""
    in_flight: int = 0
    """At most so many could be in flight at the kills: concurrency times kills in stages that ask. A pass in which more
    are sent again is a failure."""
    seconds_lost: float = 0.0
    """Beyond what the passes took in peace."""

    def to_json(self) -> dict[str, object]:
        """For machines."""
        counts = {"kills": dict(self.kills), "signals": dict(self.signals), "killed": self.kills.total()}
        return {**{name: value for name, value in vars(self).items() if name not in counts}, **counts}


class Pipeline:
    """The smoke profile in a checkout of its own, with the teacher at `url`, up to a stage if one is named."""

    def __init__(self, folder: Path, url: str, until: str = "") -> None:
        self.checkout = Checkout(folder)
        self.folder = folder
        self.command = ["dvc", "repro", *filter(None, [until])]
        self.checkout.run("compeffdist", "profile", "smoke")
        path = folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params["models"]["teacher"] = {"reference": ["api:chaos@test"], "licence": "none"}
        params["teacher"]["engine"] = "openai"
        params["runtime"] |= {"openai_base_url": url, "concurrency": CONCURRENCY, "checkpoint_steps": 1}
        for gate in params["gates"].values():
            gate["action"] = "warn"
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def spread_over(self, replicas: int) -> None:
        """From now on, what can be is computed by replicas that Ray places."""
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params["runtime"] |= {"executor": "ray", "replicas": replicas}
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def start(self) -> subprocess.Popen[str]:
        """`dvc repro` in a session of its own, its lines on a pipe."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environment |= PRIVATE | {"PATH": f"{BIN}:{environment['PATH']}", "PYTHONPATH": str(self.folder / "src")}
        return subprocess.Popen(
            [str(BIN / self.command[0]), *self.command[1:]],
            cwd=self.folder,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run_in_peace(self) -> dict[str, float]:
        """Run to the end; seconds from the beginning of each stage to that of the next."""
        begun: dict[str, float] = {}
        run = self.start()
        lines = []
        for line in run.stdout or ():
            lines.append(line)
            if match := RUNNING.search(line):
                begun[match[1]] = time.monotonic()
        if run.wait():
            raise RuntimeError(f"the run in peace failed:\n{''.join(lines[-40:])}")
        ends = [*list(begun.values())[1:], time.monotonic()]
        return {stage: end - start for (stage, start), end in zip(begun.items(), ends, strict=True)}

    def artefacts(self) -> dict[str, str]:
        """Path -> hash of what a pass made, as far as it must be the same."""
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        outs = {out["path"]: out["md5"] for stage in lock.values() for out in stage.get("outs", ())}
        kept = {path: md5 for path, md5 in outs.items() if not path.startswith(NOT_COMPARED)}
        weights = [path for path in (self.folder / "models").rglob("*.safetensors") if "local" not in path.parts]
        return kept | {str(path.relative_to(self.folder)): self.checkout.md5(str(path)) for path in weights}

    def forget_the_run(self) -> None:
        """Take away everything that a run makes, answers among it; what was fetched stays in its cache."""
        for name in (".dvc/cache", ".dvc/tmp", ".compeffdist", "metrics", "mlruns", "dvc.lock", "mlflow.db"):
            subprocess.run(["rm", "-rf", name], cwd=self.folder, check=True)
        subprocess.run(["git", "clean", "-qfdX", "data", "models", "report"], cwd=self.folder, check=True)


@dataclass(frozen=True)
class Kill:
    """When and how a run is killed."""

    stage: str
    within: float
    """Seconds from its beginning on."""
    longest: float
    """Seconds that a write is then waited for; 0: none is."""
    how: signal.Signals
    target: str

    def __str__(self) -> str:
        after = f"{self.within:.1f} s{' and a write' * bool(self.longest)}"
        return f"{self.stage} after {after}: {self.how.name} to {self.target}"


def kill_once(pipeline: Pipeline, kill: Kill) -> tuple[str | None, str]:
    """Run until the moment of a kill. What was just written there, empty if nothing was waited for or came, None if the
    moment never was; and what went wrong otherwise."""
    run = pipeline.start()
    lines: list[str] = []
    for line in run.stdout or ():
        lines.append(line)
        match = RUNNING.search(line)
        if match and match[1] == kill.stage:
            break
    else:
        code = run.wait()
        return None, "" if code == 0 else f"{kill.stage}: dvc repro ended with {code}: {''.join(lines[-6:])}"
    time.sleep(kill.within)
    written = _next_write(pipeline.folder, kill.longest)
    for pid in _targets(pipeline, run, kill.target):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, kill.how)
    for patience in (20, 100):
        try:
            run.communicate(timeout=patience)
            return written, _left(pipeline, kill)
        except subprocess.TimeoutExpired:
            # dvc itself takes no Ctrl-C while a stage runs: one that finds the stage at its very end is lost
            if kill.how == signal.SIGINT:
                os.killpg(run.pid, signal.SIGINT)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    return written, f"{kill}: dvc goes on for 2 minutes"


def _next_write(folder: Path, longest: float) -> str:
    """Wait until something of WRITTEN changes, and say what; empty if nothing does for so long."""
    limit, before = time.monotonic() + longest, _states(folder)
    while time.monotonic() < limit:
        after = _states(folder)
        if changed := [what for what in WRITTEN if after[what] != before[what]]:
            return changed[0]
        time.sleep(0.001)
    return ""


def _states(folder: Path) -> dict[str, set[tuple[str, int, int]]]:
    return {what: {state for place in places for state in _files(folder, place)} for what, places in WRITTEN.items()}


def _files(folder: Path, place: str) -> Iterator[tuple[str, int, int]]:
    for found in folder.glob(place):
        for path in found.iterdir() if found.is_dir() else [found]:
            with contextlib.suppress(OSError):  # gone since
                state = path.stat()
                yield str(path), state.st_mtime_ns, state.st_size


def _targets(pipeline: Pipeline, run: subprocess.Popen[str], target: str) -> list[int]:
    if target == "dvc":
        return [run.pid]
    of_the_run = [pid for pid in _session(run.pid) if pid != run.pid]
    return of_the_run if target == "stage" else [run.pid, *of_the_run]


def _session(leader: int) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            yield int(process.name)


def _left(pipeline: Pipeline, kill: Kill) -> str:
    """What still runs in the checkout a while after a kill; empty if nothing."""
    limit = time.monotonic() + ENDS_IN
    while left := engine_processes(pipeline.folder):
        if time.monotonic() > limit:
            return f"{kill}: still running: {left[0][:200]}"
        time.sleep(0.1)
    return ""


def chaos(pipeline: Pipeline, asked: Asked, kills: int, seed: int, only: str = "", replicas: int = 0) -> Report:
    """Kill as often as that, stage after stage, through as many passes as it takes; with `replicas`, of a pipeline that
    spreads its work over so many, which the run in peace does not."""
    draw, report = random.Random(seed), Report()
    took = pipeline.run_in_peace()
    expected = pipeline.artefacts()
    if replicas:
        pipeline.spread_over(replicas)
    stages = [stage for stage in took if re.search(only, stage)]
    while sum(report.kills.values()) < kills:
        pipeline.forget_the_run()
        asked.counts.clear()
        began, spent, in_flight = time.monotonic(), sum(report.kills.values()), 0
        for stage in stages:
            if sum(report.kills.values()) >= kills:
                break
            kill = _draw(draw, stage, took[stage])
            written, fault = kill_once(pipeline, kill)
            killed = written is not None
            print(
                f"{sum(report.kills.values()) + killed}/{kills} {kill}{': ' + fault if fault else ''}", file=sys.stderr
            )
            if killed:
                report.kills[stage] += 1
                report.signals[kill.how.name] += 1
                in_flight += CONCURRENCY * (stage in REPLAYS)
            if written:
                report.writes[written] += 1
            if fault:
                report.failures.append(fault)
        faults = _finish(pipeline, expected)
        if asked.asked_again() > in_flight:
            faults.append(f"{asked.asked_again()} requests were sent again, where {in_flight} could be in flight")
        print(f"pass {report.passes + 1} ended: {'; '.join(faults) or 'as in peace'}", file=sys.stderr)
        report.failures += faults
        report.passes += 1
        report.asked_again += asked.asked_again()
        report.in_flight += in_flight
        report.seconds_lost += max(0.0, time.monotonic() - began - sum(took.values()))
        if sum(report.kills.values()) == spent:
            report.failures.append("no stage was reached: nothing was killed in a whole pass")
            break
    return report


def _draw(draw: random.Random, stage: str, took: float) -> Kill:
    how, target = draw.choice(SIGNALS), draw.choice(TARGETS)
    if how == signal.SIGINT:
        target = "all"  # as a terminal sends it: dvc leaves it to the stage
    within = draw.uniform(0.0, took)
    return Kill(stage, within, took - within if draw.random() < 0.5 else 0.0, how, target)


def _finish(pipeline: Pipeline, expected: Mapping[str, str]) -> list[str]:
    done = pipeline.checkout.run(*pipeline.command, check=False)
    if done.returncode:
        return [f"dvc repro ended with {done.returncode}: {(done.stdout + done.stderr)[-600:]}"]
    found = pipeline.artefacts()
    return [f"{path}: other bytes than in peace" for path in sorted(expected) if found.get(path) != expected[path]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", default="", help="stage that the pipeline ends with (default: the last)")
    parser.add_argument("--only", default="", help="stages whose name holds this, a regular expression")
    parser.add_argument("--replicas", type=int, default=0, help="spread over so many by Ray (default: do not)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    # a shell starts what it puts into the background with Ctrl-C ignored, and so would be all that is started here
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder, teaching() as (server, asked):
        pipeline = Pipeline(Path(folder) / "checkout", server.url, args.until)
        report = chaos(pipeline, asked, args.kills, args.seed, args.only, args.replicas)
    told = json.dumps(report.to_json(), indent=2)
    if args.out:
        args.out.write_text(told + "\n")
    print(told)
    raise SystemExit(1 if report.failures else 0)


if __name__ == "__main__":
    main()
