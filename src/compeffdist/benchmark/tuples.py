"""Answers of tuples: read, held against the text, and counted against gold tuples.

A tuple that is not what the task asks for (a part too few, a value outside the set, words that the text does not hold)
stays in the count of what was predicted and matches nothing; so does nothing of an answer that is no JSON, which misses
all gold tuples of its row. An answer that was cut off is read up to its last whole tuple.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from compeffdist.benchmark.tasks import JOINED, BenchmarkTask
from compeffdist.params import ABSENT

Parts = tuple[str, ...]
RowCounts = tuple[float, float, float, float]


@dataclass(frozen=True)
class TupleAnswer:
    """What an answer says."""

    tuples: list[Parts] = field(default_factory=list)
    """Those that are what the task asks for, in order; one that stands twice stands here twice."""
    invalid: int = 0
    """Others."""
    readable: bool = True
    cut: bool = False


def read_tuples(answer: str, task: BenchmarkTask, text: str) -> TupleAnswer:
    """The tuples of an answer to a row with this text."""
    items, cut = read_items(answer)
    if items is None:
        return TupleAnswer(readable=False, cut=cut)
    read = [_tuple(item, task, text) for item in items]
    return TupleAnswer([parts for parts in read if parts], sum(parts is None for parts in read), cut=cut)


def read_items(answer: str) -> tuple[list[Any] | None, bool]:
    """The list that an answer holds, None if none can be read; and whether the answer was cut off."""
    for written, cut in ((answer, False), (answer[: answer.rfind("}") + 1] + "]", True)):
        try:
            value = json.loads(written)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, list):
            return value, cut
    # cut before the first tuple was whole
    return ([], True) if answer.lstrip().startswith("[") else (None, False)


def _tuple(item: Any, task: BenchmarkTask, text: str) -> Parts | None:
    names = [part.name for part in task.fields]
    if not isinstance(item, dict) or sorted(item) != sorted(names):
        return None
    parts = tuple(item[name] for name in names)
    for part, wanted in zip(parts, task.fields, strict=True):
        if not isinstance(part, str):
            return None
        if part == ABSENT and wanted.may_be_absent:
            continue
        if wanted.values and part not in wanted.values:
            return None
        if wanted.from_text and not all(piece.strip() and piece in text for piece in part.split(JOINED)):
            return None
    return parts


def gold_tuples(gold: Sequence[Sequence[str]]) -> list[Parts]:
    """Gold tuples less one that is all `NULL`, which stands for a text without any."""
    return [tuple(parts) for parts in gold if any(part != ABSENT for part in parts)]


def exact_counts(answer: TupleAnswer, gold: Sequence[Parts]) -> RowCounts:
    """(predicted tuples that are gold, predicted, gold tuples that are predicted, gold); each tuple counts once."""
    predicted, wanted = set(answer.tuples), set(gold)
    both = len(predicted & wanted)
    return both, len(predicted) + answer.invalid, both, len(wanted)


def graph_counts(answer: TupleAnswer, gold: Sequence[Parts], text: str) -> RowCounts:
    """(weight of predicted tuples, predicted, weight of gold tuples, gold): sentiment-graph F1 of Barnes et al. 2021.

    A tuple's weight is its best overlap with one of the other side that has the same polarity and shares a token in
    each of holder, target and expression: the mean over the three of the share of its own tokens. Tokens are what
    stands between white space; a part lies where its words first stand in the text.
    """
    predicted = [_graph(parts, text) for parts in dict.fromkeys(answer.tuples)]
    wanted = [_graph(parts, text) for parts in dict.fromkeys(gold)]
    found = sum(max((_overlap(one, other) for other in wanted), default=0.0) for one in predicted)
    reached = sum(max((_overlap(one, other) for other in predicted), default=0.0) for one in wanted)
    return found, len(predicted) + answer.invalid, reached, len(wanted)


@dataclass(frozen=True)
class _Graph:
    spans: tuple[frozenset[int], ...]
    polarity: str


NOWHERE = frozenset({-1})
"""Tokens of a part that the text does not name: two such parts overlap."""


def _graph(parts: Parts, text: str) -> _Graph:
    return _Graph(tuple(_tokens(part, text) for part in parts[:3]), parts[3])


def _tokens(part: str, text: str) -> frozenset[int]:
    """Numbers of the text's tokens that a part covers at least in part."""
    if part == ABSENT:
        return NOWHERE
    covered: set[int] = set()
    for piece in part.split(JOINED):
        start = text.find(piece.strip())
        first = len(text[:start].split()) - (start > 0 and not text[start - 1].isspace())
        covered.update(range(first, first + len(piece.split())))
    return frozenset(covered)


def _overlap(one: _Graph, other: _Graph) -> float:
    shared = [len(mine & theirs) / len(mine) for mine, theirs in zip(one.spans, other.spans, strict=True)]
    return sum(shared) / len(shared) if one.polarity == other.polarity and all(shared) else 0.0


def f1(counts: Any) -> Any:
    """F1 of summed counts (..., 4), of `exact_counts` or `graph_counts`; shape (...). 0 if nothing is right."""
    import numpy as np

    found, predicted, reached, gold = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    precision, recall = found / np.maximum(predicted, 1), reached / np.maximum(gold, 1)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-300)
