"""Near-duplicate texts: which to drop so that no two kept texts have too many word 5-grams in common.

Exact, not MinHash: candidates come from an inverted index over the rarest shingles of each text (the prefix filter of
set-similarity joins), which provably misses no pair, and every candidate is verified. Most word 5-grams of real texts
occur once, so the index stays small: 20,000 texts take seconds, and about 150 bytes of memory a word.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compeffdist.texts.words import word_grams, words

Ints = NDArray[np.int64]

_ROUNDING = 1e-9
"""Guards the sizes below against a product such as 0.7 * 10 coming out just above a whole number."""


def near_duplicates(texts: Mapping[str, str], similarity: float) -> dict[str, str]:
    """The ids to drop, each with the id of a kept text that it resembles.

    Two texts resemble each other when the Jaccard similarity of their shingle sets (`words.word_grams`) is at
    least `similarity`, in (0, 1]. Texts are taken in the order of their ids and dropped if they resemble one
    kept before, so the result depends on the texts and their ids alone. Texts without words resemble nothing.
    """
    ids = sorted(texts)
    shingles, frequency = _shingles([texts[key] for key in ids])
    postings: dict[int, list[int]] = defaultdict(list)
    dropped: dict[str, str] = {}
    for place, own in enumerate(shingles):
        prefix = own[: len(own) - math.ceil(similarity * len(own) - _ROUNDING) + 1]
        # a shingle of one text only leads to no other
        prefix = prefix[frequency[prefix] > 1]
        match = _first_match(own, prefix, postings, shingles, similarity)
        if match is not None:
            dropped[ids[place]] = ids[match]
            continue
        for shingle in prefix.tolist():
            postings[shingle].append(place)
    return dropped


def _first_match(
    own: Ints, prefix: Ints, postings: Mapping[int, list[int]], shingles: Sequence[Ints], similarity: float
) -> int | None:
    """The first kept text that resembles `own`. Two that do must share a shingle of both their prefixes."""
    candidates = {place for shingle in prefix.tolist() for place in postings.get(shingle, ())}
    for place in sorted(candidates):
        other = shingles[place]
        smaller, larger = sorted((len(own), len(other)))
        if smaller < similarity * larger - _ROUNDING:
            continue
        shared = len(np.intersect1d(own, other, assume_unique=True))
        if shared / (smaller + larger - shared) >= similarity:
            return place
    return None


def _shingles(texts: Sequence[str]) -> tuple[list[Ints], Ints]:
    """The distinct shingles of each text as numbers, rarest first (ties by number), and how many texts hold each. The
    order is one for all texts, which is what the prefix filter rests on."""
    numbers: dict[tuple[str, ...], int] = {}
    held = [
        np.array([numbers.setdefault(gram, len(numbers)) for gram in word_grams(words(text))], np.int64)
        for text in texts
    ]
    frequency = np.bincount(np.concatenate([np.empty(0, np.int64), *held]), minlength=len(numbers))
    return [own[np.lexsort((own, frequency[own]))] for own in held], frequency
