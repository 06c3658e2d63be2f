"""What a fuzz target is, and how cases are tried on it.

A target reads hostile input by one function of the product. Whatever the input, that gives a value that is right, which
the target's oracle decides, or refuses in a UserError that names the file. Anything else is a fault: another exception,
a wrong value, no end within LONGEST seconds, a file written outside the case's folder.
"""

import contextlib
import io
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from compeffdist.errors import UserError, one_line, run_guarded

LONGEST = 10.0
"""Seconds of computing that a case may take."""
WAITS = 180.0
"""Seconds that it may take whatever it does: a loaded machine is slow, not wrong."""
TIMERS = ((signal.ITIMER_PROF, signal.SIGPROF, LONGEST), (signal.ITIMER_REAL, signal.SIGALRM, WAITS))

T = TypeVar("T")


class Hangs(BaseException):
    """A case takes too long; no handler of exceptions is to swallow it."""


@dataclass(frozen=True)
class Target:
    """Something that reads hostile input."""

    name: str
    cases: st.SearchStrategy[Any]
    check: Callable[[Any, Path], None]
    """Tries a case in an empty folder; raises on a fault."""
    share: float = 1.0
    """Of the cases asked for: less where one is slow."""


@dataclass
class Found:
    """What came of trying a target."""

    target: str
    tried: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    """Each with its smallest case."""

    def __str__(self) -> str:
        rate = self.tried / self.seconds if self.seconds else 0.0
        return f"{self.target:<28}{self.tried:>9} cases {rate:>9.1f}/s {len(self.faults):>4} faults"


REFUSED: Any = object()
"""What `refused_or` gives for input that was refused."""


def refused_or(read: Callable[[], T], *names: object) -> T | Any:
    """The value that is read, or REFUSED if it is refused in one line that holds one of `names`."""
    try:
        return read()
    except UserError as error:
        line = one_line(error)
        assert not names or any(str(name) in line for name in names), f"names no file or record: {line!r}"
        return REFUSED
    except Exception as error:
        if not _is_told(error):
            raise
        return REFUSED


def _is_told(error: Exception) -> bool:
    """Whether a command would tell an error in one line: a fault of the machine or of a path."""

    def fail() -> None:
        raise error

    with contextlib.redirect_stderr(io.StringIO()):
        try:
            run_guarded(fail)
        except SystemExit:
            return True
        except Exception:
            return False
    return False


def hunt(target: Target, cases: int, seed: int | None = None, found: Found | None = None) -> Found:
    """Try `cases` cases, the same ones for a seed, always the same ones without; ends at the first fault, of which the
    smallest case is kept."""
    found = found or Found(target.name)
    last: list[Any] = [None]

    def tried(case: Any) -> None:
        last[0] = case
        found.tried += 1
        try_case(target, case)

    test = settings(
        max_examples=max(1, round(cases * target.share)),
        derandomize=seed is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )(hypothesis.given(target.cases)(tried))
    began = time.monotonic()
    try:
        (hypothesis.seed(seed)(test) if seed is not None else test)()
    except Exception as error:
        found.faults.append(f"{type(error).__name__}: {one_line(error, 300)}\n    case: {last[0]!r}"[:4000])
    except Hangs:
        found.faults.append(f"no end within {LONGEST:.0f} s of computing\n    case: {last[0]!r}"[:4000])
    found.seconds += time.monotonic() - began
    return found


def try_case(target: Target, case: Any) -> None:
    """Try one case. Raises on a fault."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name) / "inside" / "case"
        folder.mkdir(parents=True)
        with _bounded(), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings(action="ignore"):
            target.check(case, folder)
        beside = sorted(path.name for path in (*Path(name).iterdir(), *folder.parent.iterdir()))
        assert beside == ["case", "inside"], f"written outside its folder: {beside}"


@contextmanager
def _bounded() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hangs

    former = {number: signal.signal(number, ring) for _, number, _ in TIMERS}
    for timer, _, seconds in TIMERS:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, number, _ in TIMERS:
            signal.setitimer(timer, 0)
            signal.signal(number, former[number])
