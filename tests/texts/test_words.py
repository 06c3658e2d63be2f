from hypothesis import given
from hypothesis import strategies as st

from compeffdist.texts.words import word_grams, words


def test_words_ignore_case_and_punctuation() -> None:
    assert words("Don't STOP_me, 2nd-hand Straße!") == ["don", "t", "stop", "me", "2nd", "hand", "strasse"]


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_grams_are_every_window_of_five_words_or_the_whole_of_fewer(tokens: list[str]) -> None:
    windows = {tuple(tokens[i : i + 5]) for i in range(len(tokens) - 4)}
    assert word_grams(tokens) == (windows or ({tuple(tokens)} if tokens else set()))
