"""The cells of one column of a CSV file, changed where they stand: every other byte of the file stays as it was.

What a file says is read by `texts.tables`, which finds out delimiter and encoding. Here it is found where each cell
lies in the bytes. Delimiters, quotation marks and ends of lines are ASCII in every encoding that is read. So bytes are
taken as Latin-1, which gives any of them back as it was, and UTF-16 as what it is; what is found is then held against
what was read, and a file in which the two differ is not written to.
"""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from compeffdist.texts.csv_form import CsvForm, find_form, names


@dataclass(frozen=True)
class Codec:
    """A way to take bytes as text, and to give them back."""

    name: str
    mark: str
    """What a byte-order mark is then."""
    line: re.Pattern[str]
    """A line with its end, as `texts.lines` parts them."""


_WIDE_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)|[^\r\n]++\Z")
CODECS = (
    Codec("latin-1", codecs.BOM_UTF8.decode("latin-1"), re.compile(r"[^\n]*+\n|[^\n]++\Z")),
    Codec("utf-16-le", "\ufeff", _WIDE_LINE),
    Codec("utf-16-be", "\ufeff", _WIDE_LINE),
)


@dataclass
class ColumnCells:
    """A file as what stands around the cells of a column, and these."""

    codec: str
    form: CsvForm
    around: list[str]
    """One more than cells."""
    cells: list[str]
    """As they are written, quotation marks included; empty where a row ends before the column."""
    lacking: list[int]
    """Delimiters that a row lacks before the column, as spreadsheets leave out empty cells at its end."""
    first: list[str] = field(init=False)
    """The cells as they were."""

    def __post_init__(self) -> None:
        self.first = [*self.cells]

    def put(self, place: int, value: str) -> None:
        """Write a value into the cell of a row; an empty one that was empty at first is as it was."""
        if not value and not _value(self.first[place]).strip():
            self.cells[place] = self.first[place]
            return
        delimiter = self.form.delimiter
        quoted = self.cells[place].startswith('"') or re.search(rf'["\r\n{re.escape(delimiter)}]', value)
        doubled = value.replace('"', '""')
        written = f'"{doubled}"' if quoted else value
        if value:
            missing = delimiter * self.lacking[place]
            # a file whose delimiters have spaces behind them is told by there being one behind each
            bare = self.form.spaced and (self.around[place] + missing).endswith(delimiter)
            written = f"{missing}{' ' if bare else ''}{written}"
        self.cells[place] = written

    def content(self) -> bytes:
        """The file."""
        parts = [part for pair in zip(self.around, [*self.cells, ""], strict=True) for part in pair]
        return "".join(parts).encode(self.codec, "surrogatepass")


def find_cells(
    content: bytes, rows: Sequence[Mapping[str, str]], wanted: Sequence[str], column: str
) -> ColumnCells | None:
    """The cells of a column.

    Args:
        content: a CSV file.
        rows: the fields that `read_rows` read of it, by column.
        wanted: the columns that it was asked for, `column` among them; their names are ASCII.

    Returns:
        None if these are not the rows of this content.
    """
    marked = {codecs.BOM_UTF16_LE: CODECS[1:2], codecs.BOM_UTF16_BE: CODECS[2:]}
    for codec in marked.get(content[:2], CODECS):
        try:
            text = content.decode(codec.name, "surrogatepass")
        except UnicodeDecodeError:
            continue
        if found := _find(text, codec, rows, wanted, column):
            return found
    return None


def _find(
    text: str, codec: Codec, rows: Sequence[Mapping[str, str]], wanted: Sequence[str], column: str
) -> ColumnCells | None:
    lines = [found[0] for found in codec.line.finditer(text)]
    form, _ = find_form((line.removeprefix(codec.mark) for line in lines), wanted)
    records = _records(text, sum(map(len, islice(lines, form.above))), form, codec.mark)
    header = names([_ascii(_value(text[start:end])) for start, end in next(records, [])])
    held = {name: header.index(name) for name in header if header.count(name) == 1}
    if column not in held:
        return None
    around, cells, lacking, ended = list[str](), list[str](), list[int](), 0
    for spans in records:
        values = [_value(text[start:end]) for start, end in spans]
        if len(values) > 1 and not any(values):
            continue  # as `read_rows` does
        values += [""] * (len(header) - len(values))
        if len(cells) == len(rows) or not _same(values, rows[len(cells)], held):
            return None
        place, last = held[column], spans[-1][1]
        start, end = spans[place] if place < len(spans) else (last, last)
        around.append(text[ended:start])
        cells.append(text[start:end])
        lacking.append(max(0, place + 1 - len(spans)))
        ended = end
    return ColumnCells(codec.name, form, [*around, text[ended:]], cells, lacking) if len(cells) == len(rows) else None


def _same(values: Sequence[str], row: Mapping[str, str], places: Mapping[str, int]) -> bool:
    """Whether a row was read as it is found, as far as its bytes mean the same in all encodings."""
    return all(_ascii(values[place]) == _ascii(row[name]) for name, place in places.items() if name in row)


def _records(text: str, start: int, form: CsvForm, mark: str) -> Iterator[list[tuple[int, int]]]:
    """Where the fields of each row lie, as `csv` parts them; ends where text follows a quotation mark that closes."""
    spaces = " *+" if form.spaced else ""
    one = re.compile(rf'{spaces}("[^"]*+(?:""[^"]*+)*+"|[^{re.escape(form.delimiter)}\r\n]*+)')
    between = re.compile(rf"(?:[\r\n]|{re.escape(mark)})*+")
    place = _end(between, text, start)
    while place < len(text):
        spans = list[tuple[int, int]]()
        while not spans or text[place : place + 1] == form.delimiter:
            found = one.match(text, place + bool(spans))
            assert found is not None  # it may be empty
            spans.append(found.span(1))
            place = found.end()
        yield spans
        if place < len(text) and text[place] not in "\r\n":
            return
        place = _end(between, text, place)


def _end(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _value(written: str) -> str:
    return written[1:-1].replace('""', '"') if len(written) > 1 and written.startswith('"') else written


def _ascii(value: str) -> str:
    return value.encode("ascii", "ignore").decode()
