"""JSON that people's programs write: numbers keep their digits, and a key that stands twice is told.

Python's reader keeps the last of two values of one key, rounds 9007199254740993.0, and refuses whole numbers of
thousands of digits; here none of that happens to what is read, whatever else the object holds.
"""

import json
import re
from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError, one_line
from compeffdist.texts.lines import read_lines

_WHOLE = re.compile(r"(-?\d+)(?:\.(\d*?)0*)?(?:[eE]\+?(\d{1,3}))?")
"""Digits before the point and after it, and an exponent; whole if it moves the point behind the last digit."""


class _Repeating(dict[str, Any]):
    """An object with keys that stand more than once; the last value of each counts."""

    keys_repeated: Collection[str] = ()


def parse_value(text: str) -> Any:
    """The JSON value in `text`; whole numbers are ints, also 3.0 and 1e23, beyond thousands of digits Decimals. Raises
    ValueError if it is not JSON, in one line that says why."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def repeated_key(value: Any, keys: Collection[str]) -> str | None:
    """The first of `keys` that an object parsed by `parse_value` has more than once, None if there is none."""
    return next((key for key in keys if key in value.keys_repeated), None) if isinstance(value, _Repeating) else None


def read_document(path: Path) -> Any:
    """The value of a JSON file, UTF-8 or UTF-16, with or without a byte-order mark. Raises UserError as `read_lines`,
    and if the file is not JSON."""
    try:
        return parse_value("".join(read_lines(path)))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {one_line(error, 200)}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    repeating = _Repeating(found)
    repeating.keys_repeated = {key for key, times in Counter(key for key, _ in pairs).items() if times > 1}
    return repeating


def _whole(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        return Decimal(digits)


def _number(digits: str) -> int | Decimal | float:
    if whole := _WHOLE.fullmatch(digits):
        fraction, exponent = whole[2] or "", int(whole[3] or 0)
        if len(fraction) <= exponent:
            return _whole(whole[1] + fraction.ljust(exponent, "0"))
    return float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole, parse_float=_number)
