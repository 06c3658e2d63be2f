"""Progress with rate and time left: a redrawn line on a terminal, now and then a plain line in a log, and whoever else
listens in this process (`listen`), as a stage's note does."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO
from weakref import WeakKeyDictionary

LOG_EVERY_SECONDS = 15.0
APART_SECONDS = 10.0
"""Between any two lines in a log."""
REDRAW_EVERY_SECONDS = 0.2

Listener = Callable[["Progress"], None]
_PART: ContextVar[str] = ContextVar("part", default="")
_listeners: list[Listener] = []
_logged: "WeakKeyDictionary[TextIO, float]" = WeakKeyDictionary()
"""When a line was last written into each log."""


class Progress:
    """Counts finished units of work of a known total and prints rate and time left.

    >>> with Progress("responses", total=3) as progress:  # doctest: +SKIP
    ...     progress.advance(1, tokens=12)
    """

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self.label = f"{label}: {_PART.get()}" if _PART.get() else label
        self.total, self.done, self.tokens, self.before = total, 0, 0, 0
        self.stream = stream if stream is not None else sys.stderr
        self.live = self.stream.isatty()
        self.started = self.printed = time.monotonic()
        self._tell()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._tell()
        if self.live or self._may_log():
            self._print(final=True)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return max(time.monotonic() - self.started, 1e-9)

    def skip(self, units: int = 1) -> None:
        """Add units that were finished by an earlier run: they count as done, not as fast."""
        self.done += units
        self.before += units

    def advance(self, units: int = 1, tokens: int = 0) -> None:
        """Add finished units (and tokens, shown as a rate where there are any)."""
        self.done += units
        self.tokens += tokens
        self._tell()
        now = time.monotonic()
        if now - self.printed >= (REDRAW_EVERY_SECONDS if self.live else LOG_EVERY_SECONDS):
            # of what is about to end, a log gets the last line alone
            left = seconds_left(self.done, self.total, self.before, self.seconds)
            if self.live or (self._may_log() and (left is None or left >= APART_SECONDS)):
                self.printed = now
                self._print()

    def _tell(self) -> None:
        for listener in _listeners:
            listener(self)

    def _may_log(self) -> bool:
        return not 0 <= time.monotonic() - _logged.get(self.stream, -APART_SECONDS) < APART_SECONDS

    def _print(self, final: bool = False) -> None:
        elapsed = self.seconds
        parts = [f"{self.label}: {self.done}/{self.total}"]
        made = self.done - self.before
        if self.tokens:
            parts.append(f"{self.tokens / elapsed:.0f} tokens/s")
        elif made:
            parts.append(f"{rate(made / elapsed)}/s")
        left = seconds_left(self.done, self.total, self.before, elapsed)
        if final:
            parts.append(f"took {clock(elapsed)}")
        elif left is not None:
            parts.append(f"about {clock(left)} left")
        line = " · ".join(parts)
        if self.live:
            # a line that wraps cannot be redrawn
            line = line[: _width(self.stream) - 1]
        else:
            _logged[self.stream] = time.monotonic()
        self.stream.write(f"\r\x1b[2K{line}" + ("\n" if final else "") if self.live else line + "\n")
        self.stream.flush()


@contextmanager
def part(name: str) -> Iterator[None]:
    """What of a work is done meanwhile, such as a task: it stands behind the label of progress that begins in it."""
    token = _PART.set(name)
    try:
        yield
    finally:
        _PART.reset(token)


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Have every progress of this process told when it begins, advances and ends, in whatever thread it does."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def seconds_left(done: int, total: int, before: int, seconds: float) -> float | None:
    """How long the rest takes at the rate so far; None while nothing is done. `before`: units of an earlier run."""
    made = done - before
    return seconds / made * max(total - done, 0) if made > 0 else None


def rate(value: float) -> str:
    """A rate in two digits or all of those before the point."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def clock(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
