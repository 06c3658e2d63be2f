"""The form of a CSV file, found out from its beginning: its delimiter, spaces behind it, lines above its header."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from compeffdist.texts.lines import BOM

DELIMITERS = ",;\t|"
"""The likelier first."""
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
BEGINNING = 1 << 16
"""Characters, in whole lines, by which a file's spaces are judged."""

_NAMED_DELIMITER = re.compile(r'("?)sep=(\\t|.)\1[,;\t|]*\s*', re.IGNORECASE)
"""The line by which a spreadsheet program names the delimiter before the header: a program that took it for a row
puts it in quotation marks, and delimiters behind it for the fields that it lacks."""


@dataclass(frozen=True)
class CsvForm:
    """How a CSV file is to be read."""

    delimiter: str
    spaced: bool
    """Whether a space follows the delimiter and belongs to it: `id, text` and `1, "a, b"`."""
    above: int
    """Lines above the header."""


def find_form(lines: Iterator[str], wanted: Sequence[str]) -> tuple[CsvForm, Iterator[str]]:
    """The form of a file of which `wanted` columns are read, and its lines from the header on."""
    first = next(lines, "")
    named = _NAMED_DELIMITER.fullmatch(first)
    first = next(lines, "") if named else first
    above = int(named is not None)
    while first and not first.strip():  # above a table, as spreadsheets leave them
        first, above = next(lines, ""), above + 1
    delimiter = find_delimiter(first, wanted, named[2].replace("\\t", "\t") if named else "")
    beginning, size = [first], len(first)
    while size < BEGINNING and (line := next(lines, "")):
        beginning.append(line)
        size += len(line)
    spaced = delimiter != " " and _is_spaced("".join(beginning), delimiter)
    return CsvForm(delimiter, spaced, above), chain(beginning, lines)


def names(header: Sequence[str]) -> list[str]:
    """The names of columns, without white space and marks around them."""
    return [name.strip().strip(BOM).strip() for name in header]


def delimiter_name(delimiter: str) -> str:
    """A delimiter as people call it: one that has no name here as it is, in quotation marks."""
    return _NAMES.get(delimiter, repr(delimiter))


def find_delimiter(header: str, wanted: Sequence[str], named: str = "") -> str:
    """The delimiter of a CSV file by its header: under which all wanted columns are there, else that which the file
    names, else that which makes the most columns; of equal ones the likelier."""

    def columns(delimiter: str) -> list[str]:
        try:
            return names(next(csv.reader([header], delimiter=delimiter, skipinitialspace=delimiter != " "), []))
        except (csv.Error, TypeError, ValueError):  # also a delimiter that csv does not take
            return []

    def likelihood(delimiter: str) -> tuple[bool, bool, int]:
        there = columns(delimiter)
        return set(wanted) <= set(there), bool(there) and delimiter == named, len(there)

    return max(dict.fromkeys((named or DELIMITERS[0], *DELIMITERS)), key=likelihood)


def _is_spaced(beginning: str, delimiter: str) -> bool:
    """Whether all names of the header but the first, or all fields but each row's first, have a space before them.

    Not so where a quotation mark behind a space is part of its field: `"Great" he said`. What follows an open
    quotation mark that the beginning does not close is left out.
    """
    end = rf"[{re.escape(delimiter)}\r\n]|\Z"
    quoted = re.compile(r'"(?:[^"]|"")*+"')
    field = re.compile(rf"( *+)(?:{quoted.pattern}(?={end})|[^{re.escape(delimiter)}\r\n]*+)")
    rows: list[list[bool]] = [[]]
    first, place = True, 0
    while place < len(beginning):
        found = field.match(beginning, place)
        assert found is not None  # it may be empty
        written = beginning[found.end(1) : found.end()]
        if written.startswith('"') and not (len(written) > 1 and quoted.fullmatch(written)):
            if not quoted.match(beginning, found.end(1)):
                break
            if not first and found[1]:
                return False
        if not first and (found[1] or written):
            rows[-1].append(bool(found[1]))
        first = beginning[found.end() : found.end() + 1] != delimiter
        if first and rows[-1]:
            rows.append([])
        place = found.end() + 1
    header, fields = rows[0], [spaced for row in rows[1:] for spaced in row]
    return bool(header) and (all(header) or (bool(fields) and all(fields)))
