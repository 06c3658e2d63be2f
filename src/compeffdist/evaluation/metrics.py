"""Classification metrics over a declared label set: accuracy, macro-F1, confusion.

All are functions of the confusion counts, and are written over leading axes, so that one call scores every
bootstrap resample at once. As in scikit-learn's default, macro-F1 is the mean over the labels that occur, in the
gold rows or among the predictions: a declared label that no row has and nothing was said to be tells nothing of a
system, and one that no row has but something was said to be counts as F1 = 0. So a perfect system has 1. A prediction
outside the set is an error on its gold label and no false alarm on any other.
"""

from collections.abc import Callable, Sequence

import numpy as np

from compeffdist.arrays import Floats, Integers


def macro_f1(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> float:
    """Unweighted mean of the F1 of every label that occurs. Raises ValueError as `confusion`."""
    return float(macro_f1_of(confusion(gold, predicted, labels)))


def confusion(gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> Integers:
    """Confusion counts.

    Returns:
        (C, C + 1): gold label by predicted label, in the order of `labels`; the last column counts
        predictions outside the label set.

    Raises:
        ValueError: no rows, unequal lengths, or a gold label outside the set.
    """
    if not gold or len(gold) != len(predicted):
        raise ValueError(
            f"no rows to evaluate, or not one prediction each: {len(gold)} gold, {len(predicted)} predicted"
        )
    counts = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    np.add.at(counts, (encode_gold(gold, labels), encode_predicted(predicted, labels)), 1)
    return counts


def encode_gold(gold: Sequence[str], labels: Sequence[str]) -> Integers:
    """Indices into `labels`. Raises ValueError for a label outside the set."""
    codes = encode_predicted(gold, labels)
    if (codes == len(labels)).any():
        raise ValueError(f"gold label {gold[int(codes.argmax())]!r} is not one of {', '.join(labels)}")
    return codes


def encode_predicted(predicted: Sequence[str], labels: Sequence[str]) -> Integers:
    """Indices into `labels`; `len(labels)` for a prediction outside the set."""
    places = {label: index for index, label in enumerate(labels)}
    return np.array([places.get(label, len(labels)) for label in predicted], dtype=np.int64)


def accuracy_of(counts: Integers) -> Floats:
    """Accuracy of confusion counts (..., C, C + 1); shape (...)."""
    right = np.diagonal(counts, axis1=-2, axis2=-1).sum(axis=-1)
    return np.asarray(right / counts.sum(axis=(-2, -1)))


def macro_f1_of(counts: Integers) -> Floats:
    """Macro-F1 of confusion counts (..., C, C + 1); shape (...). F1 = 2 TP / (gold + predicted), over the labels
    of which gold + predicted is not 0."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    total = counts.sum(axis=-1) + counts[..., :-1].sum(axis=-2)
    occurring = np.count_nonzero(total, axis=-1)
    return np.asarray((2.0 * right / np.maximum(total, 1)).sum(axis=-1) / occurring)


METRICS: dict[str, Callable[[Integers], Floats]] = {"macro_f1": macro_f1_of, "accuracy": accuracy_of}
"""Metrics by name, as functions of confusion counts."""
