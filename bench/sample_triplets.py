"""Time and memory of sampling a table of scored triplets: python bench/sample_triplets.py --rows 1000000"""

import argparse
import resource
import sys
import time

import numpy as np

from compeffdist.difficulty.sampling import sample_rows
from compeffdist.params import SamplingParams
from compeffdist.records import content_id

ROWS_PER_INSTRUCTION = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    instructions = [content_id("instruction", {"n": n}) for n in range(max(1, rows // ROWS_PER_INSTRUCTION))]
    generator = np.random.default_rng(0)
    ids = [f"sample_{number:024x}" for number in range(rows)]
    groups = [instructions[number] for number in generator.integers(0, len(instructions), rows)]
    difficulty = generator.integers(0, 500, rows) / 500.0  # many ties, as short responses have
    print(f"{rows} rows, {len(instructions)} instructions; table in memory: {peak_gib():.2f} GiB")
    for scope in ("instruction", "global"):
        for method in ("soft", "hard", "random"):
            params = SamplingParams.model_validate({"scope": scope, "method": method, "rate": 0.3})
            start = time.perf_counter()
            kept = sample_rows(ids, groups, difficulty, params, seed=0).kept
            seconds = time.perf_counter() - start
            print(f"  {scope:11} {method:6} {seconds:6.2f} s  kept {kept.mean():.4f}  peak {peak_gib():.2f} GiB")


def peak_gib() -> float:
    """Largest resident size of this process so far, in GiB (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    main()
