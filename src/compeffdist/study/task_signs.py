"""The signs of tasks, from what a run has of them anyway: nothing is asked of the teacher.

A task has no value of a sign that says nothing of it: only labels are alike, and a value over fewer than LEAST answers
is not told.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from compeffdist.arrays import Floats
from compeffdist.instructions.answers import choices
from compeffdist.records import Demonstration, Instruction, Reject, Task, Triplet
from compeffdist.study.signs import SIGNS

LEAST = 5
"""Answers that a share, an entropy or a mean of a task needs."""
LEAST_SHARED = 8
"""Texts that two questions must both have an answer to, for their answers to be compared."""
MONITORED = "the monitored question"


@dataclass
class Signs:
    """What is known of one task."""

    instruction: Instruction
    rows: int
    """Answers."""
    values: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(SIGNS))
    notes: dict[str, str] = field(default_factory=dict)
    """By sign, what it is about: the two labels, the other task."""


def of_answers(signs: Signs, triplets: Sequence[Triplet]) -> None:
    """Signs of the answers to a task: `second_label`, `entropy`, `largest_answer`."""
    weighed = [one for one in triplets if one.labels]
    if len(weighed) >= LEAST:
        falling = [sorted(zip(one.probabilities, one.labels, strict=True), reverse=True) for one in weighed]
        signs.values["second_label"] = float(np.mean([row[1][0] for row in falling]))
        pairs = Counter(tuple(sorted((row[0][1], row[1][1]))) for row in falling)
        usual = min(pairs, key=lambda pair: (-pairs[pair], pair))
        signs.notes["second_label"] = " / ".join(usual)
    if len(triplets) < LEAST:
        return
    counts = Counter(one.response for one in triplets)
    said, times = min(counts.items(), key=lambda item: (-item[1], item[0]))
    signs.values["largest_answer"] = times / len(triplets)
    signs.notes["largest_answer"] = said
    if possible := len(choices(signs.instruction)):
        shares = np.array(list(counts.values())) / len(triplets)
        signs.values["entropy"] = float(-(shares * np.log(shares)).sum() / math.log(possible)) + 0.0


def of_labels(signs: Signs, vectors: Mapping[str, Floats]) -> None:
    """`label_cosine`, of a closed task; `vectors` are unit vectors by label."""
    labels = signs.instruction.labels
    if len(labels) > 1:
        one, other, cosine = _closest([vectors[label] for label in labels])
        signs.values["label_cosine"] = cosine
        signs.notes["label_cosine"] = f"{labels[one]} / {labels[other]}"


def _closest(vectors: Sequence[Floats]) -> tuple[int, int, float]:
    cosines = np.triu(np.stack(vectors) @ np.stack(vectors).T, 1) + np.tril(np.full((len(vectors),) * 2, -np.inf))
    one, other = divmod(int(cosines.argmax()), len(vectors))
    return one, other, float(cosines[one, other])


def of_demonstrations(signs: Mapping[str, Signs], kept: Sequence[Demonstration], rejects: Sequence[Reject]) -> None:
    """`upheld`: of the demonstrations that were written for an answer and asked about without it, those that went on. A
    task of answers that are not fixed is not asked so.

    Args:
        signs: by task id.
    """
    upheld, doubted = Counter(one.task_id for one in kept), Counter[str]()
    for reject in rejects:
        upheld[reject.record_id] += reject.reason == "over_per_task"
        doubted[reject.record_id] += reject.reason in ("not_upheld", "no_answer")
    for task_id, own in signs.items():
        asked = upheld[task_id] + doubted[task_id]
        if choices(own.instruction) and asked:
            own.values["upheld"] = upheld[task_id] / asked
            own.notes["upheld"] = f"{upheld[task_id]} of {asked}"


def of_neighbours(signs: Sequence[Signs], similarity: Floats) -> None:
    """`task_cosine`, of (n, n) similarities of the tasks, at least two."""
    others = similarity - 2.0 * np.eye(len(signs))
    for place, own in enumerate(signs):
        nearest = int(others[place].argmax())
        own.values["task_cosine"] = float(similarity[place, nearest])
        own.notes["task_cosine"] = signs[nearest].instruction.task_name


def of_overlap(signs: Sequence[Signs], triplets: Mapping[str, Sequence[Triplet]]) -> int:
    """`answer_overlap`, among tasks of fixed answers and with the monitored question; returns how many pairs of such
    tasks have enough texts in common. `triplets` are by instruction."""
    said: dict[str, dict[str, str]] = {}
    of_texts: dict[str, str] = {}
    for own in signs:
        if choices(own.instruction):
            said[own.instruction.id] = {one.text_id: one.response for one in triplets[own.instruction.id]}
            of_texts |= {one.text_id: one.monitored for one in triplets[own.instruction.id] if one.monitored}
    names = {own.instruction.id: own.instruction.task_name for own in signs}
    compared, found = 0, defaultdict[str, list[tuple[float, str]]](list)
    for place, (key, own_answers) in enumerate(said.items()):
        for other, answers in [("", of_texts), *list(said.items())[:place]]:
            shared = sorted(own_answers.keys() & answers.keys())
            if len(shared) < LEAST_SHARED:
                continue
            compared += bool(other)
            if (value := _shared([own_answers[t] for t in shared], [answers[t] for t in shared])) is not None:
                found[key].append((value, names.get(other, MONITORED)))
                if other:
                    found[other].append((value, names[key]))
    for own in signs:
        if own.instruction.id in found:
            own.values["answer_overlap"], own.notes["answer_overlap"] = max(found[own.instruction.id])
    return compared


def _shared(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Mutual information less that of chance, as a share of what is possible; None where one never changes or never
    repeats, of which nothing can be said."""
    if any(len(set(answers)) in (1, len(answers)) for answers in (one, other)):
        return None
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(one, other))


def task_text(task: Task) -> str:
    """What a task is compared by, as when near-duplicates were dropped."""
    return f"{task.name}. {task.description} {' '.join(task.labels)}"
