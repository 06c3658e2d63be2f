"""The words and word 5-grams by which texts are compared: for near-duplicates and for contamination.

Case and punctuation do not count. A script without spaces gives one long word, so there only whole sentences
are compared.
"""

import re
from collections.abc import Sequence

GRAM_WORDS = 5
"""Words of a shingle: long enough that two texts on one subject hardly share any by chance."""

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """The runs of letters and digits of `text`, in order, case folded."""
    return _WORD.findall(text.casefold())


def stand_in(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether some words stand among others, in a row."""
    return f" {' '.join(some)} " in f" {' '.join(others)} "


def word_grams(tokens: list[str]) -> set[tuple[str, ...]]:
    """The 5-grams of `tokens`; fewer than five words give one shingle, the whole sequence; no words give none."""
    if len(tokens) < GRAM_WORDS:
        return {tuple(tokens)} if tokens else set()
    return set(zip(*(tokens[start:] for start in range(GRAM_WORDS)), strict=False))
