"""Bytes of memory or disk, and what they are told by."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

Basis = Literal["measured", "estimated", "unknown"]
BASES: tuple[Basis, ...] = ("measured", "estimated", "unknown")
"""The surer first: a sum is as sure as the least sure of its parts."""
GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True)
class Amount:
    """Bytes. Of an unknown amount they are what is known of it, and it may be any more."""

    bytes: float
    basis: Basis

    @classmethod
    def estimated(cls, size: float) -> Self:
        return cls(size, "estimated")

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.bytes + other.bytes, max(self.basis, other.basis, key=BASES.index))

    def __str__(self) -> str:
        """For people: an amount that is not known has no figure."""
        return "unknown" if self.basis == "unknown" else f"{told(self.bytes)} {self.basis}"


UNKNOWN = Amount(0.0, "unknown")
NOTHING = Amount(0.0, "measured")


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum."""
    return sum(amounts, NOTHING)


def largest(amounts: Iterable[Amount]) -> Amount:
    """The largest, as sure as the least sure of all: one that is not known may be larger."""
    given = list(amounts) or [NOTHING]
    least_sure = max((one.basis for one in given), key=BASES.index)
    return Amount(max(one.bytes for one in given), least_sure)


def told(size: float) -> str:
    """As people read it: two digits that count."""
    unit, name = (GIB, "GiB") if size >= 0.995 * GIB else (MIB, "MiB")
    value = size / unit
    return f"{value:.1f} {name}" if value < 10 or unit == GIB else f"{value:.0f} {name}"
