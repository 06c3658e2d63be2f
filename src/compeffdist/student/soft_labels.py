"""Targets that say how sure the teacher was: cross-entropy against its label probabilities, beside its answer.

An answer that is one of a set of labels goes through branching nodes of the labels' token trie (`labels`). At each of
them the hard target is the answer's own token. The soft one is

    t_k = (1 - s) * [k is the answer's token] + s * q_k,    q_k = P(labels under child k) / P(labels under the node)

over the node's children k, with P the teacher's calibrated probabilities and s `training.soft_labels`. The loss there
is the cross-entropy of the whole vocabulary's distribution against t; every other token of an answer stays hard. With
logits z, and since t sums to 1 as the hard target does,

    cross-entropy(t) - cross-entropy(hard) = sum_k ([k is the answer's token] - t_k) * z_k
                                           = sum_k s * ([k is the answer's token] - q_k) * z_k

so a soft target is a few weighted logits added to the plain loss, and s = 0 is the plain loss to the bit.
"""

from collections.abc import Mapping, Sequence

from compeffdist.labels import build_trie
from compeffdist.student.packing import Correction


def soft_corrections(
    answer: str, label_tokens: Mapping[str, Sequence[int]], probabilities: Mapping[str, float], end: int, share: float
) -> tuple[Correction, ...]:
    """What a soft target adds to the loss of one row, by place in its response. A node to which the teacher's rounded
    probabilities give nothing stays hard.

    Args:
        answer: one of the labels.
        label_tokens: each label's tokens as a response has them, without `end`, the token that ends it.
        share: of the soft target, s above.
    """
    trie = build_trie(label_tokens, end)
    made: list[Correction] = []
    for number, hard in trie.turns[answer]:
        branch = trie.branches[number]
        masses = [0.0] * len(branch.children)  # the teacher's probability of the labels under each child
        for label, turns in trie.turns.items():
            for place, child in turns:
                if place == number:
                    masses[child] += probabilities[label]
        whole = sum(masses)
        if whole > 0.0:
            weights = [share * (float(child == hard) - mass / whole) for child, mass in enumerate(masses)]
            made += [
                Correction(len(branch.path), token, weight)
                for token, weight in zip(branch.children, weights, strict=True)
                if weight
            ]
    return tuple(made)
