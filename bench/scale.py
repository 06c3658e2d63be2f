"""Time and memory of every stage by the number of rows: python -m bench.scale --sizes 10000 100000

For each size a checkout is made in a scratch folder, with real texts, made-up answers and made-up scores
(`tests/made_up_run.py` says how), and each stage of `MEASURED` runs in it as a process of its own, in the order of the
pipeline. A line gives its seconds, its CPU, the most memory that it held, and how much more the seconds are than at
the size before, over how much larger this one is: 1.0 is linear. It ends with an error if a stage fails, or one holds
more than MOST_MEMORY or leaves a page of more than LARGEST_PAGE.

100,000 rows take about 0.6 GB of disk. `--folder` keeps the checkouts. Linux only: peaks are read from /proc.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.stages import ROOT, run_stage

from compeffdist.artefacts import TRIPLETS
from compeffdist.canonical import hash_text
from compeffdist.files import hash_file
from compeffdist.peaks import peak_memory

if TYPE_CHECKING:
    from compeffdist.difficulty.shards import RowFigures
    from compeffdist.student.batching import TokenRow

MOST_MEMORY = 4 << 30
LARGEST_PAGE = 5_000_000
MEASURED = (
    *("check_texts", "pair_texts", "collect_responses", "check_triplets", "score_difficulty", "study_difficulty"),
    *("check_difficulty", "predict_difficulty", "sample_triplets", "check_sample", "collect_sampled"),
    *("check_training_set", "write_report", "audit", "trace"),
)
"""Stages, and two commands on what they made."""
TOOK = Path("took.json")
PREPARED = {
    "check_texts": ["inputs"],
    "collect_responses": ["answers"],
    "score_difficulty": ["warm_up"],
    "check_training_set": ["student"],
    "audit": ["commit"],
}
"""What is made up before a stage."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="pairs of each run, in order")
    parser.add_argument("--words", action="store_true", help="texts made of words, where no corpus can be fetched")
    parser.add_argument("--json", type=Path, help="write every figure, and SHA-256 of what was made, to this file")
    parser.add_argument("--folder", type=Path, help="keep the checkouts here, one a size")
    parser.add_argument("--step", nargs=2, metavar=("STEP", "SIZE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        run_step(args.step[0], int(args.step[1]), not args.words)
        return
    kept = args.folder or Path(tempfile.mkdtemp(prefix="scale-"))
    found: list[dict[str, Any]] = []
    try:
        for size in args.sizes:
            print(f"{size:,} pairs", flush=True)
            found.append(measure((kept / str(size)).absolute(), size, args.words, found[-1] if found else None))
    finally:
        if args.folder is None:
            shutil.rmtree(kept)
        if args.json:
            args.json.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if faults := [fault for run in found for fault in faults_of(run)]:
        sys.exit("error: " + "; ".join(faults))


def measure(folder: Path, size: int, words: bool, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Make a run of a size and measure its stages; lines are printed as they end. Exits where one fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    done: dict[str, Mapping[str, float]] = {}
    for step in steps():
        took = in_process(folder, step, size, words)
        if step in MEASURED:
            done[step] = took
            print(line(step, took, size, before), flush=True)
        else:
            print(f"  ({step} made in {took['seconds']:.0f} s)", flush=True)
    pages = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.glob("report/**/*.html"))}
    largest = max(pages, key=lambda name: pages[name])
    print(f"  largest page: {largest}, {pages[largest] / 1e6:.2f} MB", flush=True)
    return {"size": size, "took": done, "pages": pages, "sha256": hashes(folder)}


def steps() -> list[str]:
    """What is run for a size, in order: what is measured, and what is made up before it."""
    return [step for name in MEASURED for step in (*PREPARED.get(name, ()), name)]


def in_process(folder: Path, step: str, size: int, words: bool) -> Mapping[str, float]:
    """Run a step in a process of its own."""
    command = [sys.executable, "-m", "bench.scale", "--step", step, str(size), *["--words"] * words]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "DVC_NO_ANALYTICS": "true"}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    environment |= {"DVC_SITE_CACHE_DIR": str(folder / "dvc-site")}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"error: {step}, {size:,} pairs in {folder}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "memory": json.loads((folder / TOOK).read_text())}


def line(name: str, took: Mapping[str, float], size: int, before: Mapping[str, Any] | None) -> str:
    growth = ""
    if before:
        former = before["took"][name]
        growth = f"  growth {took['cpu'] / former['cpu'] / (size / before['size']):.2f}"
        growth += f", memory {took['memory'] / former['memory']:.1f} times"
    return f"  {name:20} {took['seconds']:7.1f} s ({took['cpu']:7.1f} s CPU)  {took['memory'] / 2**30:6.2f} GiB{growth}"


def faults_of(run: Mapping[str, Any]) -> list[str]:
    """What is beyond the bounds."""
    faults = [
        f"{name} held {took['memory'] / 2**30:.1f} GiB at {run['size']:,} pairs"
        for name, took in run["took"].items()
        if took["memory"] > MOST_MEMORY
    ]
    return faults + [f"{name} has {size:,} bytes" for name, size in run["pages"].items() if size > LARGEST_PAGE]


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every artefact and page, by path; not of metrics that tell seconds."""
    paths = [*folder.glob("data/**/*"), *folder.glob("report/**/*"), *folder.glob("metrics/gates/*")]
    paths += [folder / f"metrics/{name}.json" for name in ("pair_texts", "score_difficulty", "study_difficulty")]
    return {str(path.relative_to(folder)): hash_file(path) for path in sorted(paths) if path.is_file()}


def run_step(step: str, size: int, corpora: bool) -> None:
    """A stage, a command, or what is made up before one, in the working folder and this process."""
    try:
        if step in MEASURED:
            run_measured(step)
        else:
            from tests import made_up_run  # imports much that a stage does not

            made_up_run.make(step, size, corpora)
    finally:
        TOOK.write_text(json.dumps(peak_memory()))


def run_measured(step: str) -> None:
    """A stage as it is, but for the passes of the scorer's model; or a command."""
    if step == "audit":
        command("audit", "--failures")
    elif step == "trace":
        command("trace", some_triplet())
    elif step in ("score_difficulty", "predict_difficulty"):
        with (
            patch("compeffdist.difficulty.passes.score_rows", figures_of),
            patch("compeffdist.student.base.base_student", lambda given: (None, Path("base"))),
        ):
            run_stage(step)
    else:
        run_stage(step)


def figures_of(model: object, rows: "Sequence[TokenRow]", **_: Any) -> "tuple[list[RowFigures], list[Any]]":
    """In place of `scorer.score_rows`: of each row what a hash of its id says."""
    import numpy as np

    from compeffdist.difficulty.shards import RowFigures

    found = []
    for row in rows:
        chance = np.random.default_rng(int(hash_text(row.id)[:16], 16)).random(len(row.response_ids))
        losses, ranks = -np.log1p(-chance * 0.99), (chance * 40).astype(np.int64)
        found.append(RowFigures(ranks, chance, losses, row.id, tuple(map(float, range(len(row.choices))))))
    return found, []


def some_triplet() -> str:
    """Id of the triplet in the middle of the file."""
    import pyarrow.parquet as pq

    ids = pq.read_table(TRIPLETS, columns=["id"])["id"]
    return str(ids[len(ids) // 2].as_py())


def command(*arguments: str) -> None:
    from compeffdist.cli.main import main as compeffdist

    compeffdist(list(arguments))


if __name__ == "__main__":
    main()
