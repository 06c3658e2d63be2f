"""Evaluation texts found again by published hashes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.artefacts import TEXTS
from compeffdist.benchmark.seen import TextHashes, hashes_of, read_hashes, seen_texts, write_hashes
from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.records import Text
from compeffdist.texts.decontaminate import contaminated
from tests.stages import ROOT

SAID = ("the", "food", "at", "this", "old", "place", "was", "good", "but", "not", "cheap")
WORDS = st.lists(st.sampled_from(SAID), max_size=24)
SENTENCES = st.lists(WORDS.map(" ".join), max_size=5)


@given(SENTENCES, SENTENCES)
def test_what_decontamination_finds_whole_or_by_5_grams_hashes_find(own: list[str], other: list[str]) -> None:
    texts = {str(n): text for n, text in enumerate(other)}
    known = contaminated(texts, {str(n): text for n, text in enumerate(own)}, overlap=0.5)
    found = seen_texts(texts, [hashes_of(text) for text in own])
    for key, match in known.items():
        if "exact" in match or "overlap" in match:
            assert key in found, (texts[key], match)


@given(st.lists(WORDS.map(" ".join).filter(bool), min_size=1, max_size=5))
def test_a_text_is_seen_however_it_is_spelt(texts: list[str]) -> None:
    spelt = {str(n): text.upper().replace(" ", " -- ") + "!" for n, text in enumerate(texts)}
    assert set(seen_texts(spelt, map(hashes_of, texts)).values()) <= {"exact"}
    assert len(seen_texts(spelt, map(hashes_of, texts))) == len(texts)


def test_a_text_without_words_is_never_seen() -> None:
    assert seen_texts({"a": "!?", "b": ""}, [hashes_of("..."), TextHashes("", frozenset())]) == {}


def test_a_turn_of_phrase_does_not_make_a_text_seen() -> None:
    long = "it was the best film of the year and i will see it again with all of my friends next week"
    other = "they said it was the best film of the year which i doubt since nobody i know has even heard of it at all"
    assert seen_texts({"a": other}, [hashes_of(long)]) == {}
    assert seen_texts({"a": long.rpartition(" with")[0]}, [hashes_of(long)]) == {"a": "overlap=1.00"}


def test_the_same_texts_give_the_same_bytes_and_no_text(tmp_path: Path) -> None:
    texts = ["A secret recommendation of this hotel", "Another one, longer than the first, of the same hotel"]
    assert write_hashes(tmp_path / "one.parquet", texts) == write_hashes(tmp_path / "two.parquet", texts[::-1]) == 2
    data = (tmp_path / "one.parquet").read_bytes()
    assert data == (tmp_path / "two.parquet").read_bytes() and b"recommendation" not in data
    assert {one.whole for one in read_hashes(tmp_path / "one.parquet")} == {hashes_of(text).whole for text in texts}


def test_the_command_says_which_rows_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hashes, rows = tmp_path / "hashes.parquet", tmp_path / "rows.jsonl"
    write_hashes(hashes, ["the staff was very friendly"])
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("The staff was very friendly!", "Bad soup")))
    with pytest.raises(SystemExit) as ended:
        main(["seen", "--hashes", str(hashes), "--file", str(rows)])
    said = capsys.readouterr().out
    assert ended.value.code == 1 and "1 of 2 texts were seen" in said and "row 1: exact" in said
    rows.write_text(json.dumps({"text": "Bad soup"}) + "\n")
    main(["seen", "--hashes", str(hashes), "--file", str(rows), "--json"])
    assert json.loads(capsys.readouterr().out) == {"texts": 1, "published": 1, "seen": {}}


def test_a_run_publishes_its_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    TEXTS.write([Text(text="The room was clean", domain="hotel", source="mine", source_row="1", licence="own")])
    main(["seen", "--publish", "hashes.parquet"])
    assert seen_texts({"a": "the ROOM was clean."}, read_hashes(Path("hashes.parquet"))) == {"a": "exact"}


@pytest.mark.parametrize("content", [None, b"", b"PAR1 no"])
def test_what_holds_no_hashes_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "hashes.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"hashes\.parquet: "):
        read_hashes(path)


def test_the_default_run_s_texts_are_published() -> None:
    domains = read_json(ROOT / "metrics/ingest_texts.json")["domains"]
    assert len(read_hashes(ROOT / "benchmarks/laptop_texts.parquet")) == sum(domains.values())
