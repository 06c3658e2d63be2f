"""Difficulty-prioritised sampling: which rows are kept, with known inclusion probabilities.

Within a group of size n (an instruction's rows, those of them with one answer, or all rows), rows are ranked by
difficulty, easiest first. Row i of 1..n stands for the slice ((i-1)/n, i/n] of the difficulty order, with midpoint x =
(i - 0.5)/n. `soft` keeps it, independently of all others, with probability F, the family of the official
difficulty_prioritized_sampling.py:

    F(x) = (x/a)^b           for x < a        b = 1/rate - 1, because the integral of F over [0, 1] is
    F(x) = ((1-x)/(1-a))^b   for x >= a       1/(b+1) = rate whatever the peak a; for a = 1: F(x) = x^b

Evaluated at midpoints, F misses the rate in small groups unless b = 1 (n = 3, rate 0.25: 0.71 rows instead of 0.75). So
a row gets the mean of F over its slice instead of F at its midpoint. That sums to rate x n exactly, never exceeds 1,
needs no iteration, and in the paper's setting (rate 0.5, a = 1) is the same number: (i - 0.5)/n.

A row's uniform draw is a hash of the seed and its id. The sample is therefore the same whatever the order of
rows or their layout in shards, and new rows in one instruction leave every other instruction's sample alone.
The hash costs about a microsecond a row; ranking is one sort in Arrow. Nothing here asks what a difficulty is
or whether a row has a response yet: ids, groups and numbers are all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from compeffdist.params import SamplingParams

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Strings: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray
"""Of one row each, in Arrow for many; groups may be dictionary-encoded."""

HASH_BATCH = 65_536
CONTROL = "random difficulty:"
"""Put before ids where difficulty itself is random, so that it says nothing of the draw."""


@dataclass(frozen=True)
class Sample:
    """Decisions on n rows as arrays of length n, in the order the rows were given."""

    rank: Integers
    """1-based in the row's group, easiest first; 0 of a row that was not to be drawn."""
    group_size: Integers
    inclusion_probability: Floats
    draw: Floats
    kept: "NDArray[np.bool_]"


def sample_rows(ids: Strings, groups: Strings, difficulty: Floats, params: SamplingParams, seed: int) -> Sample:
    """Decide on n rows given as columns.

    Args:
        ids: unique; ties in difficulty are ranked by them.
        groups: what rows are ranked among; under scope `global` all are ranked together whatever these are.
        difficulty: (n,), finite, larger is harder.

    `soft` and `random` draw per row. `hard` keeps the hardest rate x n rows of a group, rounded up or down at random
    without bias: one draw per group, shared by its rows, against probabilities 1, the fraction, 0.

    Raises:
        ValueError: if a difficulty is not finite.
    """
    if not np.isfinite(difficulty).all():
        raise ValueError(f"difficulty of {ids[int(np.argmin(np.isfinite(difficulty)))]} is not finite")
    codes, names = (np.zeros(len(ids), np.int64), ["global"]) if params.scope == "global" else _groups(groups)
    rank, size = rank_in_groups(ids, codes, difficulty)
    draw = uniform_draws(names, seed)[codes] if params.method == "hard" else uniform_draws(ids, seed)
    probability = _probability(rank, size, params)
    return Sample(rank, size, probability, draw, draw < probability)


def not_drawn(ids: Strings, seed: int) -> Sample:
    """n rows that are not to be drawn: ranked in no group, kept with probability 0."""
    none, draw = np.zeros(len(ids), np.int64), uniform_draws(ids, seed)
    return Sample(none, none, np.zeros(len(ids)), draw, np.zeros(len(ids), np.bool_))


def _probability(rank: Integers, size: Integers, params: SamplingParams) -> Floats:
    if params.method == "soft":
        return soft_probability(rank, size, params.rate, params.peak)
    if params.method == "hard":
        # hardest first: the last `rate x size` rows, the one on the edge in part
        edge: Floats = np.clip(params.rate * size - (size - rank), 0.0, 1.0)
        return edge
    return np.full(len(rank), params.rate)


def cumulative_probability(x: Floats, rate: float, peak: float) -> Floats:
    """Integral of F from 0 to x, in closed form; `rate` at x = 1."""
    power = 1.0 / rate  # b + 1
    integral: Floats = peak * (np.minimum(x, peak) / peak) ** power
    if peak < 1.0:
        integral = integral + (1.0 - peak) * (1.0 - ((1.0 - np.maximum(x, peak)) / (1.0 - peak)) ** power)
    return rate * integral


def soft_probability(rank: Integers, size: Integers, rate: float, peak: float) -> Floats:
    """Mean of F over the slice ((rank-1)/size, rank/size]: sums to rate x size over a group."""
    upper = cumulative_probability(rank / size, rate, peak)
    lower = cumulative_probability((rank - 1) / size, rate, peak)
    return np.clip(size * (upper - lower), 0.0, 1.0)


def rank_in_groups(ids: Strings, groups: Integers, difficulty: Floats) -> tuple[Integers, Integers]:
    """Every row's 1-based rank in its group (a number from 0), easiest first and ties by id, and its group's size."""
    # large: 2 GiB of ids are 69 million rows
    keys = _whole(_in_arrow(ids).cast(pa.large_string()))
    columns = {"group": groups, "difficulty": difficulty, "id": keys}
    order = pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in columns]).to_numpy()
    sizes = np.bincount(groups, minlength=1)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1) - starts[groups[order]]
    return rank, sizes[groups].astype(np.int64)


def uniform_draws(keys: Strings, seed: int, prefix: str = "") -> Floats:
    """A uniform number in [0, 1) per key, from the hash of prefix and key under `seed`: 53 bits, the same in any order.
    Under another prefix, such as CONTROL, the numbers have nothing to do with those under none."""
    secret = seed.to_bytes(16, "big")
    array = _in_arrow(keys)
    draws = np.empty(len(array))
    for start in range(0, len(array), HASH_BATCH):
        batch = array[start : start + HASH_BATCH].to_pylist()
        digests = b"".join([blake2b((prefix + key).encode(), digest_size=8, key=secret).digest() for key in batch])
        draws[start : start + HASH_BATCH] = np.frombuffer(digests, dtype=">u8") >> np.uint64(11)
    return draws * 2.0**-53


def _groups(groups: Strings) -> tuple[Integers, list[str]]:
    """Each row's group as a number from 0, and the groups' names."""
    array = _in_arrow(groups)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    array = _whole(array)
    return array.indices.to_numpy(), array.dictionary.to_pylist()


def _in_arrow(strings: Strings) -> Any:
    return strings if isinstance(strings, pa.Array | pa.ChunkedArray) else pa.array(strings, pa.string())


def _whole(array: Any) -> Any:
    """One array, of chunks or as it is."""
    return array.combine_chunks() if hasattr(array, "combine_chunks") else array
