"""Which few stand for all: facility location over similarities, greedily.

A choice S of tasks is worth the sum over all tasks of the largest similarity to one in S. That is monotone and
submodular for similarities of at least 0, so that taking the best one at a time is worth at least 1 - 1/e of the best
choice of that size (Nemhauser et al. 1978). Prefixes of one order serve every size.
"""

import numpy as np

from compeffdist.arrays import Floats, Integers


def representatives(similarity: Floats, count: int) -> list[int]:
    """The first `count` of the greedy order (all, if there are fewer); of equal gains, the first place.

    Args:
        similarity: (n, n), at least 0 and 1 on the diagonal; [i, j] is how well j stands for i.
    """
    covered = np.zeros(len(similarity))
    chosen: list[int] = []
    waiting = np.ones(len(similarity), dtype=bool)
    for _ in range(min(count, len(similarity))):
        gains = np.maximum(similarity - covered[:, None], 0.0).sum(axis=0)
        best = int(np.argmax(np.where(waiting, gains, -1.0)))
        chosen.append(best)
        waiting[best] = False
        covered = np.maximum(covered, similarity[:, best])
    return chosen


def coverage(similarity: Floats, chosen: Integers | list[int]) -> float:
    """The mean over all of the largest similarity to one that was chosen (at least one)."""
    return float(similarity[:, chosen].max(axis=1).mean())


def stands_for(similarity: Floats, chosen: list[int]) -> list[int]:
    """(n,) for each task the one of `chosen` that is most like it, a chosen one for itself."""
    nearest = np.array(chosen)[similarity[:, chosen].argmax(axis=1)]
    nearest[chosen] = chosen
    return [int(one) for one in nearest]
