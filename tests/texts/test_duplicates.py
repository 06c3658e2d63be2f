import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compeffdist.texts.duplicates import near_duplicates
from compeffdist.texts.words import word_grams, words


def brute_force(texts: dict[str, str], similarity: float) -> dict[str, str]:
    """The definition, pair by pair."""
    kept: dict[str, set[tuple[str, ...]]] = {}
    dropped: dict[str, str] = {}
    for key in sorted(texts):
        own = word_grams(words(texts[key]))
        match = next(
            (k for k, other in kept.items() if own and len(own & other) / len(own | other) >= similarity),
            None,
        )
        if match is None:
            kept[key] = own
        else:
            dropped[key] = match
    return dropped


@settings(max_examples=300)
@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=14), max_size=25),
    st.sampled_from([0.05, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0]),
)
def test_it_finds_what_comparing_every_pair_finds(texts: list[list[str]], similarity: float) -> None:
    numbered = {f"{place:03}": " ".join(text) for place, text in enumerate(texts)}
    assert near_duplicates(numbered, similarity) == brute_force(numbered, similarity)


@pytest.mark.parametrize("similarity", [0.4, 0.8])
def test_it_finds_what_comparing_every_pair_finds_among_edited_sentences(similarity: float) -> None:
    random.seed(5)
    vocabulary = [f"word{n}" for n in range(300)]
    texts: dict[str, str] = {}
    for place in range(120):
        sentence = random.choices(vocabulary, k=random.randint(3, 60))
        texts[f"{place:03}a"] = " ".join(sentence)
        for _ in range(random.randint(0, 3)):
            sentence[random.randrange(len(sentence))] = random.choice(vocabulary)
        texts[f"{place:03}b"] = " ".join(sentence)
    found = near_duplicates(texts, similarity)
    assert found == brute_force(texts, similarity)
    assert found


def test_the_result_does_not_depend_on_the_order_of_the_texts() -> None:
    texts = {
        "b": "the same long sentence of nine words, really",
        "a": "The same long sentence of nine words really!",
        "c": "an entirely different sentence about something else again",
    }
    assert near_duplicates(texts, 0.8) == {"b": "a"}
    assert near_duplicates(dict(reversed(texts.items())), 0.8) == {"b": "a"}


def test_texts_without_words_resemble_nothing() -> None:
    assert near_duplicates({"a": "!!!", "b": "!!!", "c": "👍"}, 0.5) == {}
    assert near_duplicates({}, 0.5) == {}
