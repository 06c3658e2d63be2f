"""Progress with an ETA: a redrawn line on a terminal, plain lines every few seconds in a log."""

import sys
import time
from typing import TextIO

LOG_EVERY_SECONDS = 15.0
REDRAW_EVERY_SECONDS = 0.2


class Progress:
    """Counts finished units of work of a known total and prints rate and time left.

    >>> with Progress("responses", total=3) as progress:  # doctest: +SKIP
    ...     progress.advance(1, tokens=12)
    """

    def __init__(self, label: str, total: int, stream: TextIO | None = None) -> None:
        self.label, self.total, self.done, self.tokens, self.before = label, total, 0, 0, 0
        self.stream = stream if stream is not None else sys.stderr
        self.live = self.stream.isatty()
        self.started = self.printed = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._print(final=True)

    def skip(self, units: int = 1) -> None:
        """Add units that were finished by an earlier run: they count as done, not as fast."""
        self.done += units
        self.before += units

    def advance(self, units: int = 1, tokens: int = 0) -> None:
        """Add finished units (and tokens, shown as a rate where there are any)."""
        self.done += units
        self.tokens += tokens
        now = time.monotonic()
        if now - self.printed >= (REDRAW_EVERY_SECONDS if self.live else LOG_EVERY_SECONDS):
            self.printed = now
            self._print()

    def _print(self, final: bool = False) -> None:
        elapsed = max(time.monotonic() - self.started, 1e-9)
        parts = [f"{self.label}: {self.done}/{self.total}"]
        if self.tokens:
            parts.append(f"{self.tokens / elapsed:.0f} tokens/s")
        if final:
            parts.append(f"took {clock(elapsed)}")
        elif made := self.done - self.before:
            parts.append(f"about {clock(elapsed / made * (self.total - self.done))} left")
        line = " · ".join(parts)
        self.stream.write(f"\r\x1b[2K{line}" + ("\n" if final else "") if self.live else line + "\n")
        self.stream.flush()


def clock(seconds: float) -> str:
    """Seconds as `m:ss` or `h:mm:ss`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
