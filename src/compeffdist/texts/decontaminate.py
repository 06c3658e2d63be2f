"""User texts that hold an evaluation text, or part of one: what a student must not see in distillation.

Four tests, each over lower-case letters and digits only, so that punctuation and spacing hide nothing:

- exact: the two are the same string;
- prefix: one begins with the other, and the shorter is long enough not to be a turn of phrase;
- contained: all words of one stand in the other, in a row, and they are enough not to be a turn of phrase;
- overlap: enough of the word 5-grams of the shorter text stand in the longer one too.

Precision matters as much as recall: an evaluation text such as "great movie" stands in thousands of reviews
and contaminates none of them, so short texts only count when they are nearly all of what they stand in.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from compeffdist.texts.words import GRAM_WORDS, stand_in, word_grams, words

MIN_PREFIX_CHARACTERS = 40
"""Letters and digits the shorter text of a prefix match must have: about nine words."""
MIN_CONTAINED_WORDS = 8
"""Words the shorter text of a containment must have: shorter sentences are said by many."""
MIN_SHARED_GRAMS = 5
"""Shared 5-grams (nine words in a row, if they follow each other) that tie a short text to a longer one."""


def contaminated(texts: Mapping[str, str], evaluation_texts: Mapping[str, str], overlap: float) -> dict[str, str]:
    """The ids of contaminated texts, each with the evaluation text that it holds: `<row id> <test>`.

    Both arguments map ids to texts. `overlap`, in (0, 1], is the share of the 5-grams of the shorter text found in the
    longer one at which the overlap test holds; below MIN_SHARED_GRAMS shared ones it must be reached for the longer
    text too. The work is linear in the words of the texts: they are looked up in an index of the evaluation texts.
    """
    index = _Index(evaluation_texts)
    found: dict[str, str] = {}
    for key, text in texts.items():
        tokens = words(text)
        match = index.exact_or_prefix("".join(tokens)) or index.sharing(tokens, overlap)
        if match:
            found[key] = match
    return found


def compact(text: str) -> str:
    """The letters and digits of a text, case folded: equal for two spellings of one text."""
    return "".join(words(text))


class _Index:
    """The evaluation texts, by what the tests look up. Of several matches the smallest row id is named."""

    def __init__(self, evaluation_texts: Mapping[str, str]) -> None:
        self.tokens = {row_id: words(evaluation_texts[row_id]) for row_id in sorted(evaluation_texts)}
        self.exact: dict[str, str] = {}
        self.openings: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        """First MIN_PREFIX_CHARACTERS -> (row id, compact text): in a prefix match both texts begin with them."""
        self.holders: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        self.sizes: dict[str, int] = {}
        """Distinct 5-grams of each evaluation text."""
        for row_id, tokens in self.tokens.items():
            key = "".join(tokens)
            if not key:  # nothing but emoji or punctuation: nothing to tell it by
                continue
            self.exact.setdefault(key, row_id)
            if len(key) >= MIN_PREFIX_CHARACTERS:
                self.openings[key[:MIN_PREFIX_CHARACTERS]].append((row_id, key))
            # a sequence under five words is one shingle, which the exact test covers
            grams = word_grams(tokens) if len(tokens) >= GRAM_WORDS else set()
            self.sizes[row_id] = len(grams)
            for gram in grams:
                self.holders[gram].append(row_id)

    def exact_or_prefix(self, key: str) -> str:
        """`<row id> <test>` or empty."""
        if key in self.exact:
            return f"{self.exact[key]} exact"
        for row_id, other in self.openings.get(key[:MIN_PREFIX_CHARACTERS], ()):
            if key.startswith(other) or other.startswith(key):
                return f"{row_id} prefix"
        return ""

    def sharing(self, tokens: list[str], overlap: float) -> str:
        """`<row id> contained` or `<row id> overlap=<share of the shorter text>` of the evaluation text that
        shares most 5-grams, or empty."""
        grams = word_grams(tokens)
        shared = Counter(row_id for gram in grams for row_id in self.holders.get(gram, ()))
        for row_id, count in sorted(shared.items(), key=lambda item: (-item[1], item[0])):
            smaller, larger = sorted((len(grams), self.sizes[row_id]))
            if count == smaller and _contained(tokens, self.tokens[row_id]):
                return f"{row_id} contained"
            if count >= overlap * (smaller if count >= MIN_SHARED_GRAMS else larger):
                return f"{row_id} overlap={count / smaller:.2f}"
        return ""


def _contained(some: list[str], other: list[str]) -> bool:
    """Whether all words of the shorter stand in the longer, in a row, and are enough to tell it by."""
    shorter, longer = sorted((some, other), key=len)
    return len(shorter) >= MIN_CONTAINED_WORDS and stand_in(shorter, longer)
