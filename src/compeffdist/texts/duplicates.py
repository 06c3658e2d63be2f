"""Near-duplicate texts: which to drop so that no two kept texts have too many word 5-grams in common.

Exact, not MinHash: candidates come from an inverted index over the rarest shingles of each text (the prefix
filter of set-similarity joins), which provably misses no pair, and every candidate is verified. Most word
5-grams of real texts occur once, so the index stays small: 20,000 texts take seconds. Shingles are numbered
with NumPy sorts; that costs about 100 bytes of memory a word.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from compeffdist.texts.words import GRAM_WORDS, words

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
    """The distinct shingles of each text, rarest first (ties by number), and how many texts hold each
    shingle.

    The order is one for all texts, which is what the prefix filter rests on.
    """
    owners, numbers = _numbered([words(text) for text in texts])
    if not len(numbers):
        return [np.empty(0, np.int64) for _ in texts], np.zeros(0, np.int64)
    pairs = np.unique(owners * (numbers.max() + 1) + numbers)
    owners, numbers = np.divmod(pairs, numbers.max() + 1)
    frequency = np.bincount(numbers)
    numbers = numbers[np.lexsort((numbers, frequency[numbers], owners))]
    return np.split(numbers, np.cumsum(np.bincount(owners, minlength=len(texts)))[:-1]), frequency


def _numbered(tokens: Sequence[list[str]]) -> tuple[Ints, Ints]:
    """Text index and shingle number of every shingle occurrence; equal shingles have equal numbers.

    Windows are numbered by pairing the numbers of shorter windows (1 + 1, 2 + 2, 4 + 1 words): exact where a
    hash of five words could collide, and five sorts in place of a dictionary of tuples.
    """
    vocabulary: dict[str, int] = {}
    flat = np.array([vocabulary.setdefault(word, len(vocabulary)) for text in tokens for word in text], np.int64)
    lengths = np.array([len(text) for text in tokens], np.int64)
    twos = _pair(flat[:-1], flat[1:])
    fours = _pair(twos[:-2], twos[2:])
    fives = _pair(fours[:-1], flat[4:])
    owner = np.repeat(np.arange(len(tokens)), lengths)
    # windows that run over the end of their text are not shingles
    inside = owner[: len(fives)] == owner[GRAM_WORDS - 1 :]
    owners, numbers = owner[: len(fives)][inside], fives[inside]

    short: dict[tuple[str, ...], int] = {}
    first = int(fives.max()) + 1 if len(fives) else 0
    places = [place for place, text in enumerate(tokens) if 0 < len(text) < GRAM_WORDS]
    whole = [first + short.setdefault(tuple(tokens[place]), len(short)) for place in places]
    return (
        np.concatenate([owners, np.array(places, np.int64)]),
        np.concatenate([numbers, np.array(whole, np.int64)]),
    )


def _pair(left: Ints, right: Ints) -> Ints:
    """A dense number for each distinct (left, right); the arrays are cut to the shorter."""
    size = min(len(left), len(right))
    if size == 0:
        return np.empty(0, np.int64)
    codes = left[:size] * (int(right.max()) + 1) + right[:size]
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
