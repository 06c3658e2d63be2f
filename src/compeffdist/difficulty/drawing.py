"""Scored triplets in, draws out, column by column: a million rows take seconds, ten million a few GiB.

`sampling.py` decides; here the columns it needs are read, checked and written. The file of draws has the rows
of the file of scores, in its order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.columns import BATCH_ROWS, read_columns, write_columns
from compeffdist.difficulty.sampling import Sample, random_difficulty, sample_rows
from compeffdist.errors import UserError
from compeffdist.params import SamplingParams
from compeffdist.records import Draw, ScoredTriplet, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from compeffdist.difficulty.sampling import Floats

STAGE = "sample_triplets"


def sample_triplets(scored: Path, sampled: Path, params: SamplingParams, seed: int) -> dict[str, Any]:
    """Decide on every scored triplet of a file and write the draws; returns counts for the stage's metrics.

    Raises:
        UserError: if `scored` cannot be read, a row of it has no `sampling.metric`, or two rows are of one triplet.
    """
    table = _read(scored, params.metric)
    difficulty = _difficulty(table, scored, params.metric, seed)
    sample = sample_rows(table["sample_id"], table["instruction_id"], difficulty, params, seed)
    write_columns(sampled, Draw, _batches(table, difficulty, sample))
    return sample_metrics(table["instruction_id"], sample)


def _read(scored: Path, metric: str) -> "pa.Table":
    import pyarrow.compute as pc

    wanted = [] if metric == "random" else [metric]
    if not set(wanted) <= set(arrow_schema(ScoredTriplet).names):
        raise UserError(f"{scored}: scores have no {metric}; choose another sampling.metric")
    table = read_columns(scored, ScoredTriplet, ["sample_id", "instruction_id", *wanted], ["instruction_id"])
    if pc.count_distinct(table["sample_id"]).as_py() != len(table):
        counts = pc.value_counts(table["sample_id"])
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"]
        raise UserError(f"{scored}: {twice} has two scores, which cannot be compared; score with one scorer")
    return table


def _difficulty(table: "pa.Table", scored: Path, metric: str, seed: int) -> "Floats":
    """(n,), finite. Raises UserError naming the first row without a value."""
    if metric == "random":
        return random_difficulty(table["sample_id"], seed)
    values: Floats = table[metric].to_numpy().astype(np.float64)  # a missing value is NaN
    holes = np.flatnonzero(~np.isfinite(values))
    if len(holes):
        raise UserError(
            f"{scored}: {len(holes)} of {len(values)} rows have no {metric}, the first that of "
            f"{table['sample_id'][int(holes[0])]}; choose another sampling.metric, or score with it"
        )
    return values


def _batches(table: "pa.Table", difficulty: "Floats", sample: Sample) -> "Iterator[dict[str, pa.Array]]":
    """Draws without their ids, as columns of a few rows at a time."""
    import pyarrow as pa

    for start in range(0, len(table), BATCH_ROWS):
        rows = slice(start, start + BATCH_ROWS)
        ids = table.slice(start, BATCH_ROWS).combine_chunks()
        yield {
            "sample_id": ids["sample_id"].chunk(0),
            "instruction_id": ids["instruction_id"].chunk(0).dictionary_decode(),
            "difficulty": pa.array(difficulty[rows]),
            "rank": pa.array(sample.rank[rows]),
            "group_size": pa.array(sample.group_size[rows]),
            "inclusion_probability": pa.array(sample.inclusion_probability[rows]),
            "draw": pa.array(sample.draw[rows]),
            "kept": pa.array(sample.kept[rows]),
        }


def sample_metrics(instructions: "pa.ChunkedArray", sample: Sample) -> dict[str, Any]:
    """Counts of a sample, in all and by instruction, for the stage's metrics file.

    Args:
        instructions: of each row, dictionary-encoded.
    """
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in instructions.chunks] or [np.empty(0, np.int32)])
    names = instructions.chunk(0).dictionary.to_pylist() if instructions.num_chunks else []
    rows = np.bincount(codes, minlength=len(names)).tolist()
    kept = np.bincount(codes[sample.kept], minlength=len(names)).tolist()
    return {
        "rows": len(codes),
        "kept": sum(kept),
        "kept_share": sum(kept) / len(codes) if len(codes) else 0.0,
        "expected_kept": float(sample.inclusion_probability.sum()),
        "instructions": len(names),
        "instructions_represented": sum(count > 0 for count in kept),
        "by_instruction": {
            name: {"rows": of_it, "kept": kept_of_it}
            for name, of_it, kept_of_it in sorted(zip(names, rows, kept, strict=True))
        },
    }
