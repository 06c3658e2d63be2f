"""A short hunt over every target, the same cases each time; `make fuzz` is the long one with others."""

import pytest

from tests.fuzz.hunting import Target, hunt
from tests.fuzz.targets import TARGETS

CASES = 25


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_hostile_input_is_read_right_or_refused_in_one_line(target: Target) -> None:
    assert not hunt(target, CASES).faults
