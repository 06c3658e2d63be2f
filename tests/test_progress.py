"""Progress: what is done, how fast, how long it takes, on a terminal and in a log."""

from io import StringIO
from itertools import pairwise

import pytest

from compeffdist import progress as module
from compeffdist.progress import Progress, listen, part


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


def test_without_tokens_the_rate_is_that_of_the_work(clock: Clock) -> None:
    stream = StringIO()
    progress = Progress("files", 100, stream)
    clock.now += 20
    progress.advance(5)
    assert stream.getvalue() == "files: 5/100 · 0.25/s · about 6:20 left\n"


def test_lines_of_a_log_are_ten_seconds_apart_whatever_ends_between_them(clock: Clock) -> None:
    stream = Stamped(clock)
    for name in "abcdefgh":  # evaluation tasks, three seconds each
        with part(name), Progress("evaluation of the base", 100, stream) as progress:
            clock.now += 3
            progress.advance(100, tokens=5000)
    with Progress("steps", 95, stream) as progress:
        for _ in range(95):
            clock.now += 1
            progress.advance(1)
    times = [time for time, _ in stream.lines]
    assert len(times) > 6 and min(b - a for a, b in pairwise(times)) >= 10
    assert "took 1:35" in stream.lines[-1][1]  # how long the whole took is not what is left out


class Stamped(StringIO):
    """A log that keeps when each line came."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.lines = clock, list[tuple[float, str]]()

    def write(self, text: str) -> int:
        self.lines.append((self.clock.now, text))
        return len(text)


def test_evaluation_tasks_are_told_by_name(clock: Clock) -> None:
    stream = StringIO()
    with part("sarcasm"), Progress("evaluation of the base", 1, stream) as progress:
        progress.advance(1)
    assert stream.getvalue().startswith("evaluation of the base: sarcasm: 1/1 ")
    assert Progress("other", 1, stream).label == "other"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_on_a_terminal_is_redrawn_and_never_wraps(clock: Clock) -> None:
    stream = Terminal()
    with Progress("x" * 300, 10, stream) as progress:
        clock.now += 1
        progress.advance(1)
    first, last = stream.getvalue().split("\r\x1b[2K")[1:]
    assert len(first) == 79 and "\n" not in first and last.endswith("\n")


def test_whoever_listens_is_told_of_every_step_and_of_none_after(clock: Clock) -> None:
    told: list[tuple[str, int]] = []
    with listen(lambda progress: told.append((progress.label, progress.done))), Progress("a", 2, StringIO()) as work:
        work.advance(1)
    work.advance(1)
    assert told == [("a", 0), ("a", 1), ("a", 1)]
