"""The confidence floor: rows whose answer the teacher was least sure of are dropped before any are selected.

Hard rows are wanted, wrong ones are not, and the ranking score does not tell them apart: an answer that surprises the
student may be wrong. How far the teacher's likeliest label is ahead of its second, its margin, does in part
(`study/mistakes.py`), and is paid for already. It is compared among the answers of one instruction only, since
labels of one question are nearer to each other than those of another.
"""

import numpy as np
import pyarrow as pa

from compeffdist.arrays import Booleans, Floats, Integers
from compeffdist.difficulty.sampling import rank_in_groups


def margins(probabilities: pa.ListArray) -> Floats:
    """(n,) from n lists of label probabilities: the largest less the second; NaN for a list of fewer than two, of an
    answer that is written, not chosen."""
    offsets = probabilities.offsets.to_numpy().astype(np.int64)
    starts, sizes = offsets[:-1], np.diff(offsets)
    values = probabilities.values.to_numpy()
    margin = np.full(len(sizes), np.nan)
    for size in np.unique(sizes[sizes >= 2]).tolist():
        rows = np.flatnonzero(sizes == size)
        two = np.partition(values[starts[rows, None] + np.arange(size)], size - 2, axis=1)[:, -2:]
        margin[rows] = two[:, 1] - two[:, 0]
    return margin


def below_floor(ids: pa.Array | pa.ChunkedArray, instructions: Integers, margin: Floats, share: float) -> Booleans:
    """(n,) which rows the floor drops: of each instruction's rows that have a margin the `share` of them, to the
    nearest whole number but never all, whose margins are smallest; ties go by id.

    Args:
        instructions: (n,) each row's as a number from 0.
        margin: (n,), NaN where the labels were not weighed; such rows stay.
        share: 0 to below 1.
    """
    dropped = np.zeros(len(margin), dtype=np.bool_)
    weighed = np.flatnonzero(~np.isnan(margin))
    rank, size = rank_in_groups(ids.take(pa.array(weighed)), instructions[weighed], margin[weighed])
    dropped[weighed] = rank <= np.minimum(np.rint(share * size), size - 1)
    return dropped
