"""Real rows to look at: a few of each decile, chosen by seed, read from the triplets without loading them all."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from compeffdist.arrays import Integers
from compeffdist.columns import BATCH_ROWS
from compeffdist.difficulty.sampling import uniform_draws
from compeffdist.errors import UserError
from compeffdist.record_files import parquet_file
from compeffdist.records import Triplet
from compeffdist.study.measures import DECILES, Scores


def choose_examples(scores: Scores, per_decile: int, seed: int) -> Integers:
    """Places of rows, easiest decile first: in each, those whose draw under `seed` is lowest."""
    draws = uniform_draws(scores.triplet_ids, seed)
    order = np.lexsort((draws, scores.decile))
    counts = np.bincount(scores.decile, minlength=DECILES)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[place < per_decile]


def read_triplets(source: Path, ids: Collection[str]) -> dict[str, Triplet]:
    """Triplets by id, of a file that may be much larger than memory.

    Raises:
        UserError: if the file cannot be read, one is not in it, or does not fit its id.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(list(ids), pa.string())
    found: dict[str, Triplet] = {}
    with parquet_file(source, Triplet) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            for row in batch.filter(pc.is_in(batch["id"], wanted)).to_pylist():
                try:
                    found[row["id"]] = Triplet.from_row(row)
                except ValueError as error:
                    raise UserError(f"{source}: {error}; run the stage that writes it again") from None
    missing = sorted(set(ids) - found.keys())
    if missing:
        raise UserError(f"{source}: {missing[0]} has a score but is not there; scores and triplets are of two runs")
    return found
