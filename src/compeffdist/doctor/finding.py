"""A line of what was found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from compeffdist.errors import UserError, one_line

State = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    of: str
    """What it is: `python`, `store`, `model student`, …"""
    state: State
    """`note`: a run goes on, but somebody should know; `fault`: something that is asked for will not work."""
    said: str
    do: str = ""
    """What to do about it."""


def found(of: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a look finds; where it ends in an error, that is the finding: one fault must not hide the others."""
    try:
        yield from look()
    except UserError as error:
        yield Finding(of, "fault", one_line(error))
    except OSError as error:
        yield Finding(of, "fault", one_line(f"{error.filename or 'a file'}: {error.strerror or error}"))
