"""Normalisation of attribute names and the frequency cut."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.instructions.attributes import count_attributes, normalise
from compeffdist.records import Mention
from tests.factories import make_mention, make_text


def mention(text: int, position: int, *names: str, **fields: str) -> Mention:
    return make_mention(make_text(f"text {text}"), *names, position=position, **fields)


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ("tone: partisan", ["tone"]),
        ("use of irony/sarcasm", ["use of irony", "sarcasm"]),
        ("tone/mood: dark", ["tone/mood"]),
        ("humor / wit", ["humor ", " wit"]),
        ("use of slang", ["slang"]),
        ("effective use of humor", ["humor"]),
        ("a//b", ["a", "", "b"]),
        ("call-to-action", ["call-to-action"]),
        ("  Value For Money ", ["value for money"]),
        ("Attribute: Tone", ["tone"]),
        (": odd", [""]),
    ],
)
def test_official_applies_only_the_first_rule_that_fits_and_never_trims_parts(raw: str, names: list[str]) -> None:
    assert normalise(raw, "official") == names


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        ("tone: partisan", ["tone"]),
        ("use of irony/sarcasm", ["irony", "sarcasm"]),
        ("Tone/Mood: dark", ["tone", "mood"]),
        ("irony / use of sarcasm", ["irony", "sarcasm"]),
        ("humor / wit", ["humor", "wit"]),
        ("effective use of humor", ["effective use of humor"]),
        ("misuse of power", ["misuse of power"]),
        ('**"Overall   Sentiment."**', ["overall sentiment"]),
        ("'use of “slang”'", ["slang"]),
        ("a//b/a", ["a", "b"]),
        ("value (money)", ["value (money)"]),
        ("call-to-action", ["call-to-action"]),
        ("- Attribute: Tone", ["tone"]),
        (" / : - ", []),
        ("", []),
    ],
)
def test_chained_applies_every_rule_in_turn(raw: str, names: list[str]) -> None:
    assert normalise(raw, "chained") == names


@given(st.text(alphabet=st.sampled_from("abÉ usefo/:-_'\"“”()İß\t\n*."), max_size=40) | st.text(max_size=40))
def test_chained_names_are_clean_distinct_and_stay_as_they_are(raw: str) -> None:
    names = normalise(raw, "chained")
    assert len(set(names)) == len(names)
    for name in names:
        assert name and name == " ".join(name.split())
        assert ":" not in name and "/" not in name
        assert normalise(name, "chained") == [name]


def test_the_cut_keeps_names_counted_more_often_than_the_bound_and_rejects_the_rest_as_rare() -> None:
    mentions = [mention(i, 0, "tone") for i in range(3)] + [mention(i, 1, "humor") for i in range(2)]
    kept, rare = count_attributes(mentions, more_than=2)
    assert [(a.name, a.count) for a in kept] == [("tone", 3)]
    assert [(r.reason, r.detail) for r in rare] == [("rare", "humor: 2")]


def test_counts_are_occurrences_while_text_count_is_of_distinct_texts() -> None:
    mentions = [
        mention(1, 0, "tone", raw_name="Tone"),
        mention(1, 1, "tone", raw_name="tone: dark"),
        mention(2, 0, "tone", "mood"),
    ]
    kept, _ = count_attributes(mentions, more_than=0)
    tone, mood = kept
    assert (tone.name, tone.count, tone.text_count) == ("tone", 3, 2)
    assert tone.raw_names == ["Tone", "tone/mood", "tone: dark"]
    assert (mood.name, mood.count) == ("mood", 1)


def test_descriptions_are_ranked_by_frequency_then_alphabet_and_cut_at_five() -> None:
    texts = ["b", "b", "a", "c", "c", "g", "f", "e", "d", " ", ""]
    mentions = [mention(i, 0, "tone", description=text) for i, text in enumerate(texts)]
    (tone,), _ = count_attributes(mentions, more_than=0)
    assert tone.descriptions == ["b", "c", "a", "d", "e"]


@given(st.lists(st.sampled_from(["tone", "mood", "humor", "irony"]), max_size=30), st.integers(0, 6), st.randoms())
def test_every_name_is_kept_or_rejected_whatever_the_order(names: list[str], bound: int, rng: random.Random) -> None:
    mentions = [mention(i % 7, i, name, description=f"d{i % 3}") for i, name in enumerate(names)]
    kept, rare = count_attributes(mentions, bound)
    assert len(kept) + len(rare) == len(set(names))
    assert [a.count for a in kept] == sorted((a.count for a in kept), reverse=True)
    assert sum(a.count for a in kept) == sum(names.count(n) for n in set(names) if names.count(n) > bound)
    rng.shuffle(mentions)
    assert count_attributes(mentions, bound) == (kept, rare)
