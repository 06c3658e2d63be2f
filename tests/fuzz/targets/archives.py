"""Archives of packages: only regular files come out, below the folder meant for them, whole and bounded."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import strategies as st

from compeffdist import packages
from compeffdist.packages import fetch_nested_member, kept_files
from tests.fuzz.hostile import as_json, files, replaced, texts
from tests.fuzz.hunting import REFUSED, Target, refused_or

LIMIT = 100_000
NAMES = st.one_of(
    st.sampled_from(["a.txt", "x/a.txt", "../a.txt", "/tmp/a.txt", "x//a.txt", "x/../../a.txt", "C:\\a.txt", "a.txt/"]),
    st.sampled_from(
        ["a.txt\0b", ".", "..", "./a.txt", "x/./a.txt", "x" * 300 + ".txt", "9" * 5000 + ".txt", "\u202e.txt"]
    ),
    texts(3).map(lambda name: name + ".txt"),
)
entries = st.lists(
    st.tuples(
        NAMES,
        st.sampled_from([b"", b"hello", b"\0" * 20_000, b"\0" * 200_000]),
        st.sampled_from(["file", "file", "file", "link", "hard", "device", "folder"]),
    ),
    min_size=1,
    max_size=4,
)


def _tar(found: list[tuple[str, bytes, str]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content, kind in found:
            info = tarfile.TarInfo(name)
            info.size = len(content) if kind == "file" else 0
            info.type = {
                "file": tarfile.REGTYPE,
                "link": tarfile.SYMTYPE,
                "hard": tarfile.LNKTYPE,
                "device": tarfile.CHRTYPE,
                "folder": tarfile.DIRTYPE,
            }[kind]
            info.linkname = "../../../../etc/passwd" if kind in ("link", "hard") else ""
            archive.addfile(info, io.BytesIO(content) if kind == "file" else None)
    return out.getvalue()


def _zip(found: list[tuple[str, bytes, str]]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, kind in found:
            info = zipfile.ZipInfo(name)
            info.external_attr = {"link": 0o120777, "device": 0o020666}.get(kind, 0o100644) << 16
            archive.writestr(info, content)
    return out.getvalue()


def archive(case: tuple[list[tuple[str, bytes, str]], bool], folder: Path) -> None:
    found, as_zip = case
    try:
        content = (_zip if as_zip else _tar)(found)
    except (ValueError, UnicodeError, OverflowError):
        return
    got = _unpacked(content, folder)
    contents = [content for _, content, kind in found if kind in ("file", "folder", "hard")]
    assert got is REFUSED or all(content in contents for content in got), "other contents"


def archive_bytes(content: bytes, folder: Path) -> None:
    _unpacked(content, folder)


def _unpacked(content: bytes, folder: Path) -> Any:
    path = folder / "a.bin"
    path.write_bytes(content)
    with mock.patch.object(packages, "MAX_MEMBER_BYTES", LIMIT), mock.patch.object(packages, "MAX_TOTAL_BYTES", LIMIT):
        got = refused_or(lambda: fetch_nested_member(path, "*.txt"), path.name)
    written = [file for file in folder.rglob("*") if file.is_file() and file.suffix == ".txt"]
    assert sum(file.stat().st_size for file in written) <= LIMIT
    assert not any(file.is_symlink() for file in folder.rglob("*"))
    if got is REFUSED:
        assert not written, "something of it was kept"
        return REFUSED
    assert all(file.resolve().is_relative_to(folder.resolve()) for file in got)
    return [file.read_bytes() for file in got]


def manifest(case: Any, folder: Path) -> None:
    """The note of what was unpacked, as a cache that others write may hold it."""
    (folder / "manifest.json").write_bytes(as_json(case))
    (folder / "files").mkdir()
    (folder / "files/a.txt").write_bytes(b"a")
    found = kept_files(folder)
    assert found is None or all((folder / "files" / name).is_file() for name in found)


MANIFEST = {
    "origin": "x==1",
    "files": {"a.txt": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},
}
SOUND = [("x/a.txt", b"hello" * 40, "file"), ("x/b.txt", b"\0" * 3000, "file")]
TARGETS = (
    Target("archives.entries", st.tuples(entries, st.booleans()), archive),
    Target("archives.bytes", st.one_of(files(_tar(SOUND)), files(_zip(SOUND))), archive_bytes),
    Target("archives.manifest", replaced(MANIFEST), manifest),
)
