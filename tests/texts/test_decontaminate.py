from hypothesis import given
from hypothesis import strategies as st

from compeffdist.texts.decontaminate import MIN_CONTAINED_WORDS, contaminated

SENTENCE = "the battery of this camera lasts for days and the pictures it takes are wonderful"


def verdict(text: str, evaluation: str, overlap: float = 0.5) -> str:
    """The test that found `text` to hold `evaluation`, or empty."""
    found = contaminated({"text": text}, {"row": evaluation}, overlap)
    return found["text"].split()[1].split("=")[0] if found else ""


def test_copies_are_found_whatever_their_case_spacing_and_punctuation() -> None:
    assert verdict("Great  MOVIE!!", "great movie") == "exact"
    assert verdict(SENTENCE.upper().replace(" ", "-"), SENTENCE) == "exact"


def test_a_text_that_begins_with_an_evaluation_text_is_found_and_the_other_way_round() -> None:
    longer = SENTENCE + ", but in the end I sent it back because " + "of this and that " * 20
    assert verdict(longer, SENTENCE) == "prefix"
    assert verdict(SENTENCE, longer) == "prefix"


def test_an_evaluation_text_inside_a_long_text_is_found() -> None:
    around = " ".join(f"word{n}" for n in range(100))
    assert verdict(f"{around}. {SENTENCE}. {around}", SENTENCE) == "contained"


def test_a_lightly_edited_copy_is_found() -> None:
    assert verdict(SENTENCE.replace("wonderful", "so great"), SENTENCE) == "overlap"
    assert verdict("one two three four five six extra", "one two three four five six") == "overlap"


def test_short_evaluation_texts_do_not_flag_longer_ones() -> None:
    review = "Great movie! " + SENTENCE
    assert verdict(review, "great movie") == ""
    assert (
        verdict(
            "This is one of the best movies that I have seen in years and years",
            "this is one of the best movies",
        )
        == ""
    )
    assert (
        verdict(
            "what the hell is wrong with you people, said the man to all of us",
            "america what the hell is wrong with you",
        )
        == ""
    )


def test_texts_that_share_only_turns_of_phrase_are_clean() -> None:
    assert (
        verdict(
            "I have to say that the sound is poor and that the screen broke in a week",
            "I have to say that the service we had tonight was better than expected",
        )
        == ""
    )


def test_the_overlap_is_a_share_of_the_shorter_text() -> None:
    half = " ".join(f"a{n}" for n in range(12)) + " " + " ".join(f"b{n}" for n in range(12))
    other = " ".join(f"a{n}" for n in range(12)) + " " + " ".join(f"c{n}" for n in range(40))
    # 8 of the 20 5-grams of the shorter text are shared
    other = "x " + other
    assert verdict(half, other, overlap=0.4) == "overlap"
    assert verdict(half, other, overlap=0.41) == ""


def test_texts_without_words_contaminate_nothing() -> None:
    assert contaminated({"a": "👍", "b": ""}, {"row": "👍"}, 0.5) == {}


def test_of_several_evaluation_texts_the_best_then_the_first_id_is_named() -> None:
    found = contaminated({"t": SENTENCE}, {"r2": SENTENCE, "r1": SENTENCE, "r0": SENTENCE + " indeed"}, 0.5)
    assert found == {"t": "r1 exact"}


sentences = st.lists(st.lists(st.sampled_from("ab"), max_size=12).map(" ".join), max_size=5)


@given(sentences, sentences)
def test_the_result_does_not_depend_on_order(texts: list[str], rows: list[str]) -> None:
    some, other = ({str(n): text for n, text in enumerate(of)} for of in (texts, rows))
    shuffled = contaminated(dict(reversed(some.items())), dict(reversed(other.items())), 0.5)
    assert contaminated(some, other, 0.5) == shuffled


word = st.text("abcde", min_size=1, max_size=3)


@given(
    st.lists(word, max_size=30),
    st.lists(word, min_size=MIN_CONTAINED_WORDS, max_size=12),
    st.lists(word, max_size=30),
    st.lists(st.lists(word, max_size=15), max_size=3),
)
def test_a_sentence_inside_a_text_is_found_wherever_it_stands_and_whatever_else_is_evaluated(
    before: list[str], sentence: list[str], after: list[str], others: list[list[str]]
) -> None:
    user, evaluated = " ".join([*before, *sentence, *after]), " ".join(sentence)
    rows = {"row": evaluated} | {f"other {n}": " ".join(other) for n, other in enumerate(others)}
    assert contaminated({"t": user}, rows, 1.0)
    assert contaminated({"t": evaluated}, {"row": user}, 1.0)


def test_seven_words_are_a_turn_of_phrase_and_eight_are_a_sentence() -> None:
    filler = " ".join(f"w{n}" for n in range(40))
    seven = "it was not worth the money spent"
    assert verdict(f"{filler} {seven} today {filler}", seven) == ""
    assert verdict(f"{filler} {seven} today {filler}", f"{seven} today") == "contained"
