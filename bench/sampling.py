"""Time and memory of sampling from a file of scores: python bench/sampling.py --rows 1000000

Each way runs in a process of its own on the same file, so that the peak is its own. `stage` is all that the pipeline
does: ids checked, triplets with two scores refused, draws written under their ids. The others only decide: they read
the columns they need, check nothing and write nothing. `core` is ours; `pandas` ranks by groupby; `loop` is the
official code's way, records in lists, one `random.random()` each, and left out above two million rows for its memory.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compeffdist.columns import BATCH_ROWS, write_columns
from compeffdist.difficulty.sample_triplets import sample_triplets
from compeffdist.difficulty.sampling import sample_rows
from compeffdist.measures.registry import COLUMNS as MEASURES
from compeffdist.params import SamplingParams
from compeffdist.record_files import arrow_schema, write_records
from compeffdist.records import PredictedDifficulty, ScoredTriplet, content_id

ROWS_PER_INSTRUCTION = 100
MOST_LOOPED = 2_000_000
PARAMS = SamplingParams(rate=0.5)
COLUMNS = ["pair_id", "instruction_id", "ranking"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--way", choices=WAYS, help="run one way on --file and print its figures")
    parser.add_argument("--file", type=Path, help="scored.parquet for --way")
    args = parser.parse_args()
    if args.way:
        start = time.perf_counter()
        kept = WAYS[args.way](args.file)
        seconds, cpu = time.perf_counter() - start, time.process_time()
        print(f"  {args.way:7} {seconds:7.1f} s, {cpu:6.1f} s of CPU  kept {kept:.4f}  peak {peak_gib():6.2f} GiB")
        return
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "scored.parquet"
            write_columns(file, ScoredTriplet, scores(rows), MEASURES)
            print(
                f"{rows} rows, {rows // ROWS_PER_INSTRUCTION} instructions, {file.stat().st_size >> 20} MiB", flush=True
            )
            for way in WAYS:
                if way != "loop" or rows <= MOST_LOOPED:
                    command = [sys.executable, __file__, "--way", way, "--file", str(file)]
                    subprocess.run(command, check=True)


def scores(rows: int) -> Iterator[dict[str, pa.Array]]:
    """Columns of made-up scores, with many ties as short responses have."""
    generator, types = np.random.default_rng(0), arrow_schema(ScoredTriplet, MEASURES)
    instructions = np.array([content_id("instruction", {"n": n}) for n in range(max(1, rows // ROWS_PER_INSTRUCTION))])
    for start in range(0, rows, BATCH_ROWS):
        count = min(BATCH_ROWS, rows - start)
        digits = [bytes(row).hex() for row in generator.integers(0, 256, (count, 12), dtype=np.uint8)]
        ranking = np.where(generator.random(count) < 0.3, 0.0, generator.integers(0, 5000, count) / 5000)
        zeros = pa.array(np.zeros(count))
        yield {
            "triplet_id": pa.array([f"sample_{hexadecimal}" for hexadecimal in digits]),
            "pair_id": pa.array([f"pair_{hexadecimal}" for hexadecimal in digits]),
            "instruction_id": pa.array(instructions[generator.integers(0, len(instructions), count)]),
            "scorer_id": pa.array([content_id("scorer", {})] * count),
            "ranking": pa.array(ranking),
            **{name: zeros.cast(types.field(name).type) for name in MEASURES},
        }


def by_stage(file: Path) -> float:
    predicted = file.with_name("predicted.parquet")
    write_records(predicted, PredictedDifficulty, [])
    triplets, sampled = (file.with_name(f"{name}.parquet") for name in ("triplets", "sampled"))
    return float(sample_triplets(file, predicted, triplets, sampled, PARAMS, seed=0)["kept_share"])


def by_core(file: Path) -> float:
    table = pq.read_table(file, columns=COLUMNS, read_dictionary=["instruction_id"])
    difficulty = table["ranking"].to_numpy()
    return float(sample_rows(table["pair_id"], table["instruction_id"], difficulty, PARAMS, seed=0).kept.mean())


def by_pandas(file: Path) -> float:
    import pandas as pd

    frame = pd.read_parquet(file, columns=COLUMNS).sort_values("pair_id")
    groups = frame.groupby("instruction_id")["ranking"]
    place = (groups.rank(method="first") - 0.5) / groups.transform("size")
    kept = np.random.default_rng(0).random(len(frame)) < place ** (1 / PARAMS.rate - 1)
    return float(kept.mean())


def by_loop(file: Path) -> float:
    groups: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in pq.read_table(file, columns=COLUMNS).to_pylist():
        groups[row["instruction_id"]].append(row)
    power, kept, rows = 1 / PARAMS.rate - 1, 0, 0
    for group in groups.values():
        group.sort(key=lambda row: row["ranking"])
        for place, row in enumerate(group):
            row["kept"] = random.random() < ((place + 0.5) / len(group)) ** power
            kept += bool(row["kept"])
        rows += len(group)
    return kept / rows


WAYS: dict[str, Callable[[Path], float]] = {"stage": by_stage, "core": by_core, "pandas": by_pandas, "loop": by_loop}


def peak_gib() -> float:
    """Largest resident size of this process so far, in GiB (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    main()
