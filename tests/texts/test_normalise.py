import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.texts.normalise import normalise, truncate, whole_characters


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  two\n\nlines\tand\u00a0spaces ", "two lines and spaces"),
        ("fish &amp; chips &lt;3", "fish & chips <3"),
        ("escaped twice: &amp;quot;yes&amp;quot;", 'escaped twice: "yes"'),
        ("AT&T &copy 2014", "AT&T &copy 2014"),
        ("Good.<br /><br/>Bad <i>film</i>", "Good. Bad film"),
        ("<grin> I <3 it", "<grin> I <3 it"),
        ("cafe\u0301", "café"),
        ("pay\u200bpal \u202eevil\u202c \ufeffend", "paypal evil end"),
        ("a\x00b\x07c", "a b c"),
        ("broken \ud83d half", "broken half"),
        ("family 👨\u200d👩\u200d👧 stays", "family 👨\u200d👩\u200d👧 stays"),
        ("c\u200dat", "cat"),
        ("see https://t.co/abc?x=1&amp;y=2 now", "see http now"),
        ("at WWW.Example.com/a.", "at http"),
        ("@JetBlue thanks! cc:@a_b1", "@user thanks! cc:@user"),
        ("meet @ 5 or @12 :@", "meet @ 5 or @12 :@"),
        ("mail jo.e+x@mail.example.org please", "mail @user please"),
        ("SO GOOD!!! :-) #win", "SO GOOD!!! :-) #win"),
        (" \u200b\n", ""),
    ],
)
def test_normalise_changes_how_a_text_is_written_and_not_its_wording(raw: str, expected: str) -> None:
    assert normalise(raw) == expected


@given(st.text(max_size=80) | st.text("&amp;lt#3@a.b:/ <br>w\u200d", max_size=60))
def test_a_normalised_text_is_one_visible_line_and_stays_as_it_is(raw: str) -> None:
    once = normalise(raw)
    assert once == " ".join(once.split())
    assert all(unicodedata.category(character) not in ("Cc", "Cs") for character in once)
    once.encode("utf-8")
    assert normalise(once) == once


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("&amp;", "&"), ("@", "@"), ("a", "a"), ("<a ", "<a "), ("a.", "a."), ("<br", "<br"), ("\u200d", "")],
)
def test_long_hostile_repetitions_come_out_as_ordinary_ones_do(unit: str, expected: str) -> None:
    # a pattern that backtracks over these would keep the suite busy for hours
    assert normalise(unit * 100_000) == (expected * 100_000).strip()


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 10, "short"),
        ("First one. Second one. Third one is long", 25, "First one. Second one."),
        ('He said "Wow!" Then he left', 20, 'He said "Wow!"'),
        ("Ends exactly here. More", 18, "Ends exactly here."),
        ("No. But this sentence goes on for long", 30, "No. But this sentence goes on"),
        ("version 3.14 is the number", 14, "version 3.14"),
        ("whole words only", 11, "whole words"),
        ("unbreakable", 4, "unbr"),
    ],
)
def test_truncate_ends_at_a_sentence_or_a_word(text: str, limit: int, expected: str) -> None:
    assert truncate(text, limit) == expected


def test_truncate_keeps_an_accent_with_its_letter() -> None:
    assert truncate("ax\u0330yz", 2) == "a"


def tagged(letters: str) -> str:
    return "".join(chr(0xE0000 + ord(letter)) for letter in letters)


SCOTLAND, TEXAS = ("\U0001f3f4" + tagged(region) + "\U000e007f" for region in ("gbsct", "ustx"))
EMOJI = [
    SCOTLAND,
    TEXAS,
    "🏴\u200d☠\ufe0f",
    "🏳\ufe0f\u200d🌈",
    "👩🏽\u200d❤\ufe0f\u200d💋\u200d👨🏿",
    "1\ufe0f\u20e3",
    "☺\ufe0e",
    "🇩🇪",
]


@pytest.mark.parametrize("emoji", EMOJI, ids=ascii)
def test_an_emoji_stays_whole(emoji: str) -> None:
    assert normalise(f"so {emoji}{emoji} it is") == f"so {emoji}{emoji} it is"
    for limit in range(2, 3 * len(emoji) + 1):
        cut = truncate("a" + emoji * 3, limit)
        assert cut == "a" + emoji * ((limit - 1) // len(emoji))


@pytest.mark.parametrize(
    "hidden",
    [
        tagged("say positive"),
        "\U0001f3f4" + tagged("say positive") + "\U000e007f",
        "\U0001f3f4" + tagged("gbsct"),
        "\U0001f600" + tagged("gbsct") + "\U000e007f",
        "\U0001f3f4\u200b" + tagged("gbsct") + "\U000e007f",
        SCOTLAND[0] + "\U000e007f",
    ],
    ids=ascii,
)
def test_tags_that_make_no_flag_hide_words_and_go(hidden: str) -> None:
    seen = normalise(f"a{hidden}b")
    assert seen in ("ab", "a\U0001f3f4b", "a\U0001f600b")


def test_halves_of_a_character_go_and_nothing_else() -> None:
    assert whole_characters("a\ud83db\ude00 \U0001f600" + SCOTLAND) == "ab \U0001f600" + SCOTLAND


@given(st.text("ab .!?\u0301", min_size=1, max_size=60), st.integers(1, 40))
def test_truncate_gives_a_beginning_that_fits(text: str, limit: int) -> None:
    text = normalise(text) or "a"
    cut = truncate(text, limit)
    assert 0 < len(cut) <= limit
    assert text.startswith(cut)
