"""What is in a file of rows, column by column: how much, how long, how many different values.

It is read by the readers that the pipeline uses (`texts.tables`), whole: what is refused here would stop a run
there, too. What they say on stderr of an encoding is kept as notes: each further reading would say it again.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError, one_line
from compeffdist.label_spelling import written_label
from compeffdist.params import FILE_SUFFIXES
from compeffdist.texts.csv_form import delimiter_name
from compeffdist.texts.headers import header_of
from compeffdist.texts.lines import open_file
from compeffdist.texts.tables import read_rows

MOST_VALUES = 50
"""Different values of a column that are counted one by one."""
MOST_COLUMNS = 1000
LONG_NAME = 60
"""Characters from which on the name of a column looks like a text, whatever is below it."""
WORDS_OF_TEXT = 5
"""Words from which on it does beside texts that are not much longer: names of columns mostly have fewer."""

_MAGIC = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (.xlsx): save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet or document (.xls): save the sheet as CSV",
    b"\x1f\x8b": "compressed: unpack it first (gunzip)",
    b"BZh": "compressed: unpack it first (bunzip2)",
    b"\xfd7zXZ": "compressed: unpack it first (unxz)",
    b"(\xb5/\xfd": "compressed: unpack it first (unzstd)",
    b"%PDF": "a PDF document, no table",
    b"\x89PNG": "a picture, no table",
    b"\xff\xd8\xff": "a picture, no table",
    b"GIF8": "a picture, no table",
    b"\x7fELF": "a program, no table",
    b"SQLite format 3": "a database: export the table as CSV",
    b"PAR1": "a Parquet file: let its name end in .parquet",
}
"""How files begin that people take for tables, and what to do."""
_WORDS = re.compile(r"\w\s+\w")
_KINDS = {"csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet"}


@dataclass
class Column:
    """A column of a file, as its rows fill it."""

    name: str
    filled: int = 0
    """Rows with a value: not null, of text not blank."""
    texts: int = 0
    """Rows with text of which something is there."""
    characters: int = 0
    """Of all of them."""
    wordy: int = 0
    """Texts of more than one word."""
    counts: Counter[str] = field(default_factory=Counter)
    """Values as labels are written -> rows; of a column with more than MOST_VALUES different ones empty."""
    various: bool = False
    """Whether there are more than those."""
    unlike: bool = True
    """Whether no value came twice."""
    _seen: set[int] = field(default_factory=set, repr=False)

    @property
    def mean(self) -> float:
        """Characters of a text."""
        return self.characters / self.texts if self.texts else 0.0

    @property
    def is_prose(self) -> bool:
        """Whether values are texts of several words, a fifth of them at least."""
        return self.texts > 0 and self.wordy >= 0.2 * self.filled

    @property
    def is_named_by_a_text(self) -> bool:
        """Whether its name looks like one of its texts, as the first row does where a file has no header. A question
        that a survey's column is called by does not, beside answers more than twice as long."""
        alike = self.is_prose and len(self.name.split()) >= WORDS_OF_TEXT and 2 * len(self.name) >= self.mean
        return alike or len(self.name) > LONG_NAME

    def add(self, value: Any) -> None:
        """Count a row's value."""
        if value is None or (isinstance(value, str) and not value.strip()):
            return
        self.filled += 1
        if isinstance(value, str):
            self.texts += 1
            self.characters += len(value)
            self.wordy += _WORDS.search(value) is not None
        written = written_label(value)
        if not self.various:
            self.counts[written] += 1
            if len(self.counts) > MOST_VALUES:
                self.various = True
                self.counts.clear()
        if self.unlike:
            self.unlike = bool(written) and hash(written) not in self._seen
            self._seen.add(hash(written))
            if not self.unlike:
                self._seen.clear()


@dataclass(frozen=True)
class Table:
    """A file of rows, looked at."""

    path: Path
    kind: str
    """`jsonl`, `csv` or `parquet`."""
    encoding: str
    """Empty of Parquet."""
    delimiter: str
    """Empty but of CSV."""
    rows: int
    too_large: int
    """Rows that no reader keeps in memory."""
    columns: Mapping[str, Column]
    twice: Sequence[str]
    """Names that more than one column has."""
    notes: Sequence[str]
    """What its readers said of it."""

    def described(self) -> str:
        """In one line."""
        between = f"{delimiter_name(self.delimiter)} between fields" if self.delimiter and len(self.columns) > 1 else ""
        told = [_KINDS[self.kind], self.encoding, between]
        return f"{', '.join(filter(None, told))}, {self.rows:,} rows, {len(self.columns)} columns"

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "file": str(self.path),
            "rows": self.rows,
            "kind": self.kind,
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "columns": list(self.columns),
            "columns_twice": list(self.twice),
            "columns_named_by_a_text": self.named_by_a_text,
            "notes": list(self.notes),
        }

    @property
    def named_by_a_text(self) -> list[str]:
        """Names of columns of a CSV file that look like texts: it may have no header."""
        return [name for name, column in self.columns.items() if column.is_named_by_a_text and self.kind == "csv"]

    def column(self, name: str, option: str) -> Column:
        """A column by its name. Raises UserError if it is not there, or two have its name."""
        if name in self.twice:
            raise UserError(f"{self.path}: more than one column is named {name!r}; rename one")
        if name not in self.columns:
            there = one_line(", ".join(self.columns), 300)
            raise UserError(f"{self.path}: there is no column {name!r} ({option}); there are: {there}")
        return self.columns[name]

    def usable(self) -> list[Column]:
        """The columns whose names stand once."""
        return [column for name, column in self.columns.items() if name not in self.twice]


def look_at(path: Path) -> Table:
    """Read a file and count. Raises UserError, in one line, if it is no table that the pipeline reads, is broken or has
    no rows."""
    kind = _kind_of(path)
    with overheard() as notes:
        header, delimiter = header_of(path, kind)
        columns = {name: Column(name) for name in header}
        rows = too_large = 0
        twice = [name for name, times in Counter(header).items() if times > 1]
        read = {name: "a column" for name in columns if name not in twice} if kind == "parquet" else {}
        for row in read_rows(path, kind, {}, read):
            rows += 1
            too_large += bool(row.fault)
            for name, value in row.fields.items():
                if name not in columns and len(columns) < MOST_COLUMNS:
                    columns[name] = Column(name)
                if name in columns:
                    columns[name].add(value)
    if not rows:
        raise UserError(f"{path}: {'a header and no rows' if header else 'no rows'}")
    encoding = "" if kind == "parquet" else _encoding(path, notes)
    return Table(path, kind, encoding, delimiter, rows, too_large, columns, twice, tuple(dict.fromkeys(notes)))


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Keep what is printed on stderr in this block, a line each; where it ends in an error, that says enough."""
    heard, lines = StringIO(), list[str]()
    try:
        with redirect_stderr(heard):
            yield lines
    finally:
        lines += heard.getvalue().splitlines()


def _kind_of(path: Path) -> str:
    """By the name's end, which params go by, and what the file begins with. Raises UserError if it is of no kind."""
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file in it (a Hugging Face data set: data/sources/README.md)")
    with open_file(path) as stream:
        beginning = stream.read(16)
    kind = FILE_SUFFIXES.get(path.suffix.lower(), "")
    told = next((said for mark, said in _MAGIC.items() if beginning.startswith(mark)), "")
    if told and (kind, beginning[:4]) != ("parquet", b"PAR1"):
        raise UserError(f"{path}: {told}")
    if not beginning:
        raise UserError(f"{path}: empty")
    if not kind:
        more = "; of a document of JSON, one object a line" if path.suffix.lower() == ".json" else ""
        raise UserError(f"{path}: the name of a table must end in {', '.join(FILE_SUFFIXES)}{more}")
    return kind


def _encoding(path: Path, notes: Sequence[str]) -> str:
    with open_file(path) as stream:
        beginning = stream.read(4)
    if beginning.startswith(codecs.BOM_UTF8):
        return "UTF-8 with a byte-order mark"
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    said = " ".join(notes)
    return next((name for name in ("Windows-1252", "UTF-16-LE", "UTF-16-BE") if name in said), "UTF-8")
