"""Intervals in the tables of every command."""

from compeffdist.evaluation.cells import interval_cell


def test_an_interval_is_told_in_points() -> None:
    interval = {"estimate": 0.6123, "low": 0.5789, "high": 0.6}
    assert interval_cell(interval) == "61.2 [57.9, 60.0]"
    assert interval_cell(interval, 0) == "61 [58, 60]"
    assert interval_cell(None) == "-"
