"""Answers of tuples: what is read of them, and F1 against slow counts and cases worked by hand."""

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.benchmark.tasks import BenchmarkTask
from compeffdist.benchmark.tuples import TupleAnswer, exact_counts, f1, gold_tuples, graph_counts, read_tuples

PAIRS = BenchmarkTask.model_validate(
    {
        "name": "pairs",
        "family": "F",
        "question": "Which?",
        "fields": [
            {"name": "term", "from_text": True, "may_be_absent": True},
            {"name": "sentiment", "values": ["positive", "negative"]},
        ],
    }
)
TEXT = "The food was good , the waiter was not"


@pytest.mark.parametrize(
    ("answer", "tuples", "invalid", "cut"),
    [
        ("[]", [], 0, False),
        ('[{"term": "food", "sentiment": "positive"}]', [("food", "positive")], 0, False),
        ('[{"sentiment": "positive", "term": "food"}]', [("food", "positive")], 0, False),
        ('[{"term": "NULL", "sentiment": "negative"}]', [("NULL", "negative")], 0, False),
        ('[{"term": "food AND good", "sentiment": "positive"}]', [("food AND good", "positive")], 0, False),
        ('[{"term": "soup", "sentiment": "positive"}]', [], 1, False),
        ('[{"term": "", "sentiment": "positive"}]', [], 1, False),
        ('[{"term": "food", "sentiment": "great"}]', [], 1, False),
        ('[{"term": "food"}]', [], 1, False),
        ('[{"term": ["food"], "sentiment": "positive"}]', [], 1, False),
        ('[{"term": "food", "sentiment": "positive", "why": "good"}, "food", 7]', [], 3, False),
        ('[{"term": "food", "sentiment": "positive"}, {"term": "wai', [("food", "positive")], 0, True),
        ('[{"term": "fo', [], 0, True),
    ],
)
def test_what_is_read(answer: str, tuples: list[tuple[str, str]], invalid: int, cut: bool) -> None:
    assert read_tuples(answer, PAIRS, TEXT) == TupleAnswer(tuples, invalid, readable=True, cut=cut)


@pytest.mark.parametrize("answer", ["", "none", '{"term": "food"}', "7", "}", "[" * 100_000])
def test_what_is_no_list_misses_every_gold_tuple(answer: str) -> None:
    read = read_tuples(answer, PAIRS, TEXT)
    assert not read.tuples and not read.invalid
    assert f1([exact_counts(read, [("food", "positive")])])[0] == 0.0


@given(st.text(max_size=60) | st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps))
def test_nothing_that_a_model_writes_is_an_error(answer: str) -> None:
    read = read_tuples(answer, PAIRS, TEXT)
    assert all(len(parts) == 2 for parts in read.tuples)


PARTS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=5)


@given(st.lists(st.tuples(PARTS, PARTS, st.integers(0, 2)), min_size=1, max_size=6))
def test_micro_f1_is_that_of_plain_counting(
    rows: list[tuple[list[tuple[str, str]], list[tuple[str, str]], int]],
) -> None:
    right = wrong = missed = 0
    counts = []
    for predicted, gold, invalid in rows:
        right += len([one for one in set(predicted) if one in gold])
        wrong += len([one for one in set(predicted) if one not in gold]) + invalid
        missed += len([one for one in set(gold) if one not in predicted])
        counts.append(exact_counts(TupleAnswer(list(predicted), invalid), gold))
    wanted = 2 * right / (2 * right + wrong + missed) if right else 0.0
    assert f1(np.sum(counts, axis=0)) == pytest.approx(wanted)


def test_gold_that_stands_for_no_tuple_is_none() -> None:
    assert gold_tuples([["NULL", "NULL"]]) == []
    assert gold_tuples([["NULL", "positive"]]) == [("NULL", "positive")]


# ---------------------------------------------------------------- sentiment graphs, worked by hand

SENTENCE = "The staff of the hotel was very friendly and helpful"
GOLD = ("NULL", "The staff of the hotel", "very friendly", "positive")


@pytest.mark.parametrize(
    ("predicted", "precision", "recall"),
    [
        (GOLD, 1.0, 1.0),
        # target: 2 of its own 2 tokens, and 2 of gold's 5; expression: 1 of 1, and 1 of 2
        (("NULL", "The staff", "friendly", "positive"), (1 + 1 + 1) / 3, (1 + 2 / 5 + 1 / 2) / 3),
        # target: 5 of 6; expression: 2 of 4, and 2 of 2
        (("NULL", "The staff of the hotel was", "very friendly and helpful", "positive"), (1 + 5 / 6 + 1 / 2) / 3, 1.0),
        (("NULL", "The staff of the hotel", "very friendly", "negative"), 0.0, 0.0),
        (("NULL", "The staff of the hotel", "helpful", "positive"), 0.0, 0.0),
        (("NULL", "NULL", "very friendly", "positive"), 0.0, 0.0),
        (("staff", "The staff of the hotel", "very friendly", "positive"), 0.0, 0.0),
        # the second piece is not gold's: 2 of 3 tokens
        (("NULL", "The staff of the hotel", "very friendly AND helpful", "positive"), (1 + 1 + 2 / 3) / 3, 1.0),
    ],
)
def test_weight_of_one_tuple(predicted: tuple[str, ...], precision: float, recall: float) -> None:
    found, one, reached, gold = graph_counts(TupleAnswer([predicted]), [GOLD], SENTENCE)
    assert (found, one, reached, gold) == (pytest.approx(precision), 1, pytest.approx(recall), 1)


def test_the_best_match_counts_and_an_invalid_tuple_is_predicted_too() -> None:
    other = ("NULL", "The staff", "helpful", "positive")
    predicted = [other, ("NULL", "staff", "friendly and helpful", "positive"), other]
    found, count, reached, gold = graph_counts(TupleAnswer(predicted, invalid=1), [GOLD, other], SENTENCE)
    # first: exact; second: with GOLD (1 + 1 + 1/3) / 3, with the other (1 + 1 + 1/3) / 3
    assert (found, count) == (pytest.approx(1 + 7 / 9), 3)
    # GOLD: of the second, 1/5 and 1/2; the other: exact
    assert (reached, gold) == (pytest.approx((1 + 1 / 5 + 1 / 2) / 3 + 1), 2)


def test_a_part_inside_a_token_covers_the_token() -> None:
    whole, part = ("NULL", "NULL", "friendly", "positive"), ("NULL", "NULL", "riend", "positive")
    assert graph_counts(TupleAnswer([part]), [whole], SENTENCE)[0] == pytest.approx(1.0)


@given(st.data())
def test_graph_f1_is_between_0_and_1_and_1_for_gold_itself(data: st.DataObject) -> None:
    words = SENTENCE.split()
    spans = [" ".join(words[i:j]) for i, j in product(range(8), range(1, 9)) if i < j]
    graphs = st.tuples(st.sampled_from(["NULL", *spans]), st.sampled_from(["NULL", *spans]), st.sampled_from(spans))
    told = data.draw(st.lists(graphs.map(lambda parts: (*parts, "positive")), min_size=1, max_size=4))
    gold = data.draw(st.lists(graphs.map(lambda parts: (*parts, "positive")), min_size=1, max_size=4))
    assert 0.0 <= f1(graph_counts(TupleAnswer(told), gold, SENTENCE)) <= 1.0
    assert f1(graph_counts(TupleAnswer(gold), gold, SENTENCE)) == pytest.approx(1.0)
