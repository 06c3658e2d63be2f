"""Labels that can be answers, and sets of them that can be told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.instructions.label_sets import MOST_LABELS, is_label, label_set, repeats
from compeffdist.label_spelling import clean_label
from compeffdist.texts.words import words
from tests.fakes import SENTIMENT

POLARITY = SENTIMENT.monitored.repeated_by


def test_labels_are_compared_without_case_and_punctuation() -> None:
    assert clean_label(' "Very\n Positive." ') == "very positive"


@pytest.mark.parametrize("label", ["joy", "very calm", "self-pity", "on the fence", "yes", "no", "texting"])
def test_answers_are_labels(label: str) -> None:
    assert is_label(label)


@pytest.mark.parametrize(
    "label",
    [
        *("", "...", "choose", "choose one label", "label 1", "label_2", "option b", "the answer", "a", "3", "maybe"),
        *("yes/no/maybe", "joy, anger", "the writer is sad", "n/a", "unknown", "other"),
    ],
)
def test_sentences_lists_and_words_for_answers_are_not(label: str) -> None:
    assert not is_label(label)


def test_labels_that_differ_by_case_or_punctuation_only_are_one() -> None:
    assert label_set(["Warm.", "cold", "warm!", "luke-warm", "Luke warm"]) == ["warm", "cold", "luke-warm"]


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (["warm", "Warm"], "1 distinct labels"),
        ([f"word{chr(97 + n)}" for n in range(MOST_LABELS + 1)], "9 distinct labels"),
        (["choose", "warm"], "'choose' is no answer"),
        (["mixed", "joy", "mixed feelings"], "'mixed feelings' begins with 'mixed'"),
        (["sadness", "sad"], "'sadness' begins with 'sad'"),
        (["buying", "purchasing", "purchase"], "'purchasing' and 'purchase' are forms of one word"),
    ],
)
def test_a_set_that_cannot_serve_says_why(labels: list[str], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        label_set(labels)


@given(st.lists(st.text("abA .-!/", max_size=5), max_size=5))
def test_of_a_set_that_serves_no_label_begins_another_in_letters(labels: list[str]) -> None:
    try:
        chosen = label_set(labels)
    except ValueError:
        return
    letters = ["".join(words(label)) for label in chosen]
    assert len(chosen) >= 2
    assert not any(a != b and (not a or b.startswith(a)) for a in letters for b in letters)
    assert chosen == label_set(chosen)


@pytest.mark.parametrize(
    "labels",
    [
        ["disappointed", "disapproving"],
        ["low price", "low quality"],
        ["implicit", "implied"],
        ["extremely bad", "extremely sad"],
    ],
)
def test_words_that_merely_begin_alike_stand(labels: list[str]) -> None:
    assert label_set(labels) == labels


def test_polarity_in_any_degree_is_recognised() -> None:
    assert repeats(["very positive", "neutral", "mixed feeling"], POLARITY)
    assert repeats(["good", "bad"], POLARITY)
    assert repeats(["positive", "negative", "none"], POLARITY)
    assert not repeats(["formal", "neutral", "casual"], POLARITY)
    assert not repeats(["emotion", "opinion"], POLARITY)
    assert not repeats(["none"], POLARITY)
    assert not repeats([], POLARITY)
