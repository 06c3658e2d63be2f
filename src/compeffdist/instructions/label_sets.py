"""Which labels, and which sets of them can serve as the answers of a closed task.

A closed task is answered by the likelihood of whole labels (`compeffdist.labels`), so every label must be an answer,
be told from the others by its letters, be no other form of one of them, and not be the beginning of another: whether
"mixed" is followed by "feelings" or by the end of the answer says little about which of the two the teacher means.
"""

import re
from collections.abc import Sequence
from itertools import combinations, permutations, takewhile

from compeffdist.domain import RepeatedBy
from compeffdist.label_spelling import clean_label
from compeffdist.texts.words import words

MOST_LABELS = 8
LABEL_WORDS = 3
"""Words of a label at most, as every prompt that asks for labels says."""

_SEPARATORS = frozenset('/|,;:"<>[]{}=\\')
_NAME = "(label|answer|option|choice|class|category|choose|choosing|select|pick|task|text|word|output|input)(e?s)?"
_PLACEHOLDER = re.compile(
    rf"((the|an?|first|second|third|fixed|allowed) )?{_NAME}( (one|two|three|\w|\d+|{_NAME}))*"
    r"|[a-z]|\d+|n/?a|none of (these|them)|others?|unknown|undefined|null|maybe|not sure"
)
"""What small teachers write where an answer should stand, and ways of giving none."""
STEM_SHARE = 0.75
"""Two labels of which so much of the shorter is a common beginning are forms of one word: purchase, purchasing."""


def is_label(label: str) -> bool:
    """Whether a clean label is an answer of one to LABEL_WORDS words, not a sentence, a list or a word for answers."""
    return (
        bool(words(label))
        and len(label.split()) <= LABEL_WORDS
        and not _SEPARATORS & set(label)
        and not _PLACEHOLDER.fullmatch(label.replace("_", " "))
    )


def label_set(labels: Sequence[str], most: int = MOST_LABELS) -> list[str]:
    """The labels of a closed task, cleaned, in their order; of those with the same letters, the first. Raises
    ValueError, which says what is wrong, if they cannot serve or are more than `most`."""
    spelt: dict[str, str] = {}
    for label in map(clean_label, labels):
        spelt.setdefault("".join(words(label)), label)
    chosen = list(spelt.values())
    for label in chosen:
        if not is_label(label):
            raise ValueError(f"{label!r} is no answer")
    if not 2 <= len(chosen) <= most:
        raise ValueError(f"{len(chosen)} distinct labels")
    for one, other in permutations(spelt, 2):
        if other.startswith(one):
            raise ValueError(f"{spelt[other]!r} begins with {spelt[one]!r}")
    for one, other in combinations([letters for letters, label in spelt.items() if len(words(label)) == 1], 2):
        if _common_beginning(one, other) >= STEM_SHARE * min(len(one), len(other)):
            raise ValueError(f"{spelt[one]!r} and {spelt[other]!r} are forms of one word")
    return chosen


def _common_beginning(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def repeats(labels: Sequence[str], question: RepeatedBy) -> bool:
    """Whether the labels ask the monitored question over again, in whatever degrees."""
    telling = frozenset(question.words)
    spelt = [set(words(label)) for label in labels if label not in question.absent]
    return bool(spelt) and all(telling & said and said <= telling.union(question.beside) for said in spelt)
