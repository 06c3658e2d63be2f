"""Progress: what is done, how fast, how long it takes, on a terminal and in a log."""

from io import StringIO

import pytest

from compeffdist import progress as module
from compeffdist.progress import Progress


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module.time, "monotonic", made)
    return made


def test_a_log_gets_a_line_now_and_then_with_rate_and_time_left(clock: Clock) -> None:
    stream = StringIO()
    with Progress("rows", 10, stream) as progress:
        clock.now += 5
        progress.advance(1, tokens=50)
        clock.now += 15
        progress.advance(3, tokens=150)
        clock.now += 10
    assert stream.getvalue().splitlines() == [
        "rows: 4/10 · 10 tokens/s · about 0:30 left",
        "rows: 4/10 · 7 tokens/s · took 0:30",
    ]


def test_what_an_earlier_run_did_counts_as_done_and_not_as_fast(clock: Clock) -> None:
    stream = StringIO()
    progress = Progress("steps", 10, stream)
    progress.skip(6)
    clock.now += 20
    progress.advance(2, tokens=100)
    assert stream.getvalue() == "steps: 8/10 · 5 tokens/s · about 0:20 left\n"
