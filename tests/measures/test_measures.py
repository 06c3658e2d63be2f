"""Every measure is its formula, has values in its range, and says what it needs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.difficulty.shards import RowFigures
from compeffdist.measures.measure import Observed
from compeffdist.measures.rank_surprisal import RANK_SURPRISAL_RATIO
from compeffdist.measures.registry import COLUMNS, MEASURES, METRICS
from tests.difficulty.oracle import slow_measures

TOKENS = st.tuples(st.integers(0, 300), st.sampled_from([0.001, 0.25, 0.9, 1.0]), st.floats(0.0, 30.0))


def figures(tokens: list[tuple[int, float, float]]) -> RowFigures:
    """Tokens of rank, score if they are no first choice, and loss."""
    ranks, scores, losses = zip(*tokens, strict=True)
    scores = [score if rank else 0.0 for rank, score in zip(ranks, scores, strict=True)]
    return RowFigures(np.array(ranks), np.array(scores), np.array(losses), "row")


@given(response=st.lists(TOKENS, min_size=1, max_size=12), bare=st.lists(TOKENS, min_size=1, max_size=12))
def test_every_measure_is_its_formula_written_out_and_in_its_range(
    response: list[tuple[int, float, float]], bare: list[tuple[int, float, float]]
) -> None:
    seen = figures(response)
    observed = Observed(seen, figures(bare), "a", {"a": -0.5, "b": -0.93})
    for name, expected in slow_measures(seen).items():
        assert MEASURES[name].of(observed) == pytest.approx(expected, rel=1e-9)
    for measure in MEASURES.values():
        value = measure.of(observed)
        assert value is not None and measure.low <= value <= (np.inf if measure.high is None else measure.high)
        assert isinstance(value, int if measure.whole else float)


def test_what_was_not_observed_is_no_value_and_only_then_a_column_may_be_empty() -> None:
    observed = Observed(figures([(2, 0.5, 1.0)]))
    for name, measure in MEASURES.items():
        assert (measure.of(observed) is None) == (measure.needs != "response")
        assert COLUMNS[name] in ((int, float) if measure.needs == "response" else (float | None,))


def test_rank_surprisal_ratio_by_hand() -> None:
    # ranks from 1: 1, 3, and 251, of which 100 count
    assert RANK_SURPRISAL_RATIO.of(Observed(figures([(0, 0.0, 0.5), (2, 0.5, 2.0), (250, 1.0, 7.5)]))) == 104 / 10
    # nothing is to be learnt from what the student is certain of
    assert RANK_SURPRISAL_RATIO.of(Observed(figures([(0, 0.0, 0.0)]))) == pytest.approx(1e12)
    assert RANK_SURPRISAL_RATIO.harder == "low"


def test_no_measure_takes_a_word_that_means_something_else() -> None:
    assert len(set(METRICS)) == len(METRICS)
