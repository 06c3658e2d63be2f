"""What identifies a row of a user's file, and the name it goes by: two ids that differ never share a name."""

import re
from decimal import Decimal

from compeffdist.canonical import hash_bytes
from compeffdist.errors import one_line

MAX_ID_CHARACTERS = 200
"""Of a row's own id in its name; a longer one is cut and told apart by a hash."""
ROUNDED_FROM = 2**53
"""From here on floating-point numbers do not tell all whole numbers apart."""

_WRITTEN_FLOAT = re.compile(r"-?\d(\.\d+)?[eE]\+\d{2,3}")
"""How programs write floating-point numbers of more than some 16 digits; no id of another kind looks so."""
_MADE = re.compile(r"line \d+|.* [0-9a-f]{12}", re.DOTALL)
"""What names look like that are not an id as it is."""


def written_id(value: object) -> str:
    """An id as text, character by character: text as it is, a whole number by its digits (3.0, as programs write it
    beside a missing one, is 3; a floating-point number the shortest that reads as it); empty for anything else."""
    if isinstance(value, str):
        return value if value.strip() else ""
    if isinstance(value, float) and value.is_integer():
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        digits = format(value.to_integral_value(), "f")
        return "0" if digits == "-0" else digits
    return str(value) if isinstance(value, int) else ""


def csv_id(field: str) -> str | Decimal:
    """What an id in a CSV file, which has nothing but text, is: text as it is, but 1e+23 the number."""
    return Decimal(field) if _WRITTEN_FLOAT.fullmatch(field.strip()) else field


def row_name(written: str) -> str:
    """One printable line for an id: the id itself where it is one of at most MAX_ID_CHARACTERS, else what is left of it
    and the beginning of a hash of all of it."""
    name = one_line(written, MAX_ID_CHARACTERS)
    if name == written and not _MADE.fullmatch(written):
        return name
    return f"{name} {hash_bytes(written.encode('utf-8', 'surrogatepass'))[:12]}"


def unnamed(number: int) -> str:
    """The name of a row whose id cannot be read, by its number; no id has it."""
    return f"line {number}"


def same_id(one: object, other: object) -> str:
    """What to say of two ids that are the same as text and need not look it: how each is written, and that large
    floating-point numbers are rounded; empty if there is nothing to say."""
    said = ""
    if type(one) is not type(other):
        said = f" ({one_line(repr(one), 60)} and {one_line(repr(other), 60)})"
    if any(_is_rounded(value) for value in (one, other)):
        said += " (floating-point numbers of that size are rounded: let them be written as whole numbers or text)"
    return said


def _is_rounded(value: object) -> bool:
    if isinstance(value, str):
        return _WRITTEN_FLOAT.fullmatch(value.strip()) is not None
    return isinstance(value, float) and abs(value) >= ROUNDED_FROM
