"""Difficulty-prioritised sampling: which scored triplets are kept, with known inclusion probabilities.

Within a group (an instruction's rows, or all rows) of size n, rows are ranked by difficulty, easiest first.
Row i of 1..n stands for the slice ((i-1)/n, i/n] of the difficulty order, with midpoint x = (i - 0.5)/n.
`soft` keeps it, independently of all others, with probability F, the family of the official
difficulty_prioritized_sampling.py:

    F(x) = (x/a)^b           for x < a        b = 1/rate - 1, because the integral of F over [0, 1] is
    F(x) = ((1-x)/(1-a))^b   for x >= a       1/(b+1) = rate whatever the peak a; for a = 1: F(x) = x^b

Evaluated at midpoints, F misses the rate in small groups unless b = 1 (n = 3, rate 0.25: 0.71 rows instead
of 0.75). So a row gets the mean of F over its slice instead of F at its midpoint. That sums to rate x n
exactly, never exceeds 1, needs no iteration, and in the paper's setting (rate 0.5, a = 1) is the same
number: (i - 0.5)/n.

A row's uniform draw is a hash of the seed and its sample id. The sample is therefore the same whatever the
order of rows or their layout in shards, and new rows in one instruction leave every other instruction's
sample alone. It costs about a microsecond a row; ranking is one sort in Arrow.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.params import SamplingParams
from compeffdist.records import Draw, ScoredTriplet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

STAGE = "sample_triplets"

METRICS: dict[str, Callable[[ScoredTriplet], float]] = {
    "ranking": lambda scored: scored.ranking,
    "perplexity": lambda scored: scored.perplexity,
    "tokens": lambda scored: float(scored.tokens),
}
"""What `sampling.metric` ranks by; larger is harder."""

HASH_BATCH = 65_536


@dataclass(frozen=True)
class Sample:
    """Decisions on n rows as arrays of length n, in the order the rows were given."""

    rank: "Integers"
    """1-based in the row's group, easiest first."""
    group_size: "Integers"
    inclusion_probability: "Floats"
    draw: "Floats"
    kept: "NDArray[np.bool_]"


def draw_sample(scored: Sequence[ScoredTriplet], params: SamplingParams, seed: int) -> list[Draw]:
    """Decide on every scored triplet, in the order given. See `sample_rows`."""
    sample = sample_rows(
        [row.sample_id for row in scored],
        [row.instruction_id for row in scored],
        np.array([METRICS[params.metric](row) for row in scored], dtype=np.float64),
        params,
        seed,
    )
    columns = (sample.rank, sample.group_size, sample.inclusion_probability, sample.draw, sample.kept)
    return [
        Draw(
            sample_id=row.sample_id,
            instruction_id=row.instruction_id,
            difficulty=METRICS[params.metric](row),
            rank=rank,
            group_size=size,
            inclusion_probability=probability,
            draw=draw,
            kept=kept,
        )
        for row, rank, size, probability, draw, kept in zip(
            scored, *(column.tolist() for column in columns), strict=True
        )
    ]


def sample_rows(
    sample_ids: Sequence[str],
    instruction_ids: Sequence[str],
    difficulty: "Floats",
    params: SamplingParams,
    seed: int,
) -> Sample:
    """Decide on n rows given as columns: the core, for millions of rows.

    Args:
        sample_ids: unique; ties in difficulty are ranked by them. Lists or Arrow string arrays.
        instruction_ids: the groups under scope `instruction`.
        difficulty: (n,), finite, larger is harder.

    `soft` and `random` draw per row. `hard` keeps the hardest rate x n rows of a group, rounded up or down at
    random without bias: one draw per group, shared by its rows, against probabilities 1, the fraction, 0.

    Raises:
        ValueError: if a difficulty is not finite.
    """
    if not np.isfinite(difficulty).all():
        raise ValueError(f"difficulty of {sample_ids[int(np.argmin(np.isfinite(difficulty)))]} is not finite")
    groups = instruction_ids if params.scope == "instruction" else ["global"] * len(sample_ids)
    rank, size = rank_in_groups(sample_ids, groups, difficulty)
    if params.method == "soft":
        probability = soft_probability(rank, size, params.rate, params.peak)
    elif params.method == "hard":
        # hardest first: the last `rate x size` rows, the one on the edge in part
        probability = np.clip(params.rate * size - (size - rank), 0.0, 1.0)
    else:
        probability = np.full(len(rank), params.rate)
    draw = uniform_draws(groups if params.method == "hard" else sample_ids, seed)
    return Sample(rank, size, probability, draw, draw < probability)


def inclusion_probability(x: "Floats", rate: float, peak: float) -> "Floats":
    """F(x) for x in (0, 1): the keep probability at a place in the difficulty order (method section 10)."""
    power = 1.0 / rate - 1.0
    falling = (1.0 - x) / (1.0 - peak) if peak < 1.0 else np.ones_like(x)
    result: Floats = np.where(x < peak, x / peak, falling) ** power
    return result


def cumulative_probability(x: "Floats", rate: float, peak: float) -> "Floats":
    """Integral of F from 0 to x, in closed form; `rate` at x = 1."""
    power = 1.0 / rate  # b + 1
    integral: Floats = peak * (np.minimum(x, peak) / peak) ** power
    if peak < 1.0:
        integral = integral + (1.0 - peak) * (1.0 - ((1.0 - np.maximum(x, peak)) / (1.0 - peak)) ** power)
    return rate * integral


def soft_probability(rank: "Integers", size: "Integers", rate: float, peak: float) -> "Floats":
    """Mean of F over the slice ((rank-1)/size, rank/size]: sums to rate x size over a group."""
    upper = cumulative_probability(rank / size, rate, peak)
    lower = cumulative_probability((rank - 1) / size, rate, peak)
    return np.clip(size * (upper - lower), 0.0, 1.0)


def rank_in_groups(
    sample_ids: Sequence[str], groups: Sequence[str], difficulty: "Floats"
) -> "tuple[Integers, Integers]":
    """Every row's 1-based rank in its group, easiest first and ties by sample id, and its group's size."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = pa.array(groups, pa.string()).dictionary_encode().indices
    table = pa.table({"group": codes, "difficulty": difficulty, "id": pa.array(sample_ids, pa.string())})
    keys = [(name, "ascending") for name in table.column_names]
    order = pc.sort_indices(table, sort_keys=keys).to_numpy().astype(np.int64)
    group = codes.to_numpy()
    sizes = np.bincount(group, minlength=1)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - starts[group[order]] + 1
    return rank, sizes[group].astype(np.int64)


def uniform_draws(keys: Sequence[str], seed: int) -> "Floats":
    """A uniform number in [0, 1) per key, from its hash under `seed`: 53 bits, the same in any order."""
    secret = seed.to_bytes(16, "big")
    draws = np.empty(len(keys))
    for start in range(0, len(keys), HASH_BATCH):
        batch = keys[start : start + HASH_BATCH]
        digests = b"".join([blake2b(str(k).encode(), digest_size=8, key=secret).digest() for k in batch])
        draws[start : start + HASH_BATCH] = np.frombuffer(digests, dtype=">u8") >> np.uint64(11)
    return draws * 2.0**-53


def sample_metrics(draws: Sequence[Draw]) -> dict[str, Any]:
    """Counts of a sample, in all and by instruction, for the stage's metrics file."""
    rows = Counter(draw.instruction_id for draw in draws)
    kept = Counter(draw.instruction_id for draw in draws if draw.kept)
    return {
        "rows": len(draws),
        "kept": kept.total(),
        "kept_share": kept.total() / len(draws) if draws else 0.0,
        "expected_kept": sum(draw.inclusion_probability for draw in draws),
        "instructions": len(rows),
        "instructions_represented": len(kept),
        "by_instruction": {key: {"rows": rows[key], "kept": kept[key]} for key in sorted(rows)},
    }
