"""Atomic writes: a failed write leaves what was there, and no litter."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.errors import UserError, one_line, run_guarded
from compeffdist.files import atomic_file, atomic_folder, hash_file, read_json, write_json, write_jsonl


def test_a_failed_write_keeps_the_former_file_and_leaves_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"kept": True})

    def rows():  # type: ignore[no-untyped-def]
        yield 1
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_jsonl(target, rows())
    assert read_json(target) == {"kept": True}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_folder_keeps_the_former_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "weights").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "weights").write_text("new")
        raise RuntimeError
    assert (target / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_is_replaced_before_its_former_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model"
    for version in ("old", "new"):
        monkeypatch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt), atomic_folder(target) as folder:
            (folder / "weights").write_text(version)
        assert (target / "weights").read_text() == version


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_full_disk_is_one_line_and_a_non_zero_exit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        with atomic_file(tmp_path / "texts.parquet") as path, path.open("wb") as stream:
            stream.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.raises(SystemExit) as stop:
        run_guarded(full)
    assert stop.value.code == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "no space left" in message
    assert list(tmp_path.iterdir()) == []


def test_dev_full_is_a_full_disk(tmp_path: Path) -> None:
    script = (
        "from compeffdist.errors import run_guarded\n"
        "def main():\n    with open('/dev/full', 'w') as f: f.write('x')\n"
        "run_guarded(main)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no space left")
    assert "Traceback" not in done.stderr


def test_hostile_text_in_an_error_stays_on_one_printable_line() -> None:
    assert one_line("a\nb\x1b[31mred") == "a b\N{REPLACEMENT CHARACTER}[31mred"
    assert len(one_line("x" * 10_000)) == 600


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_hashes_are_those_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a").startswith("ba7816bf")
    assert hash_file(tmp_path / "a", "md5") == "900150983cd24fb0d6963f7d28e17f72"


WRITER = """
import resource, sys
from pathlib import Path
from compeffdist.errors import run_guarded
from compeffdist.files import write_json, write_jsonl
from compeffdist.record_files import write_records
from compeffdist.records import Text
texts = [Text(text=f"text {n}", domain="d", source="s", source_row=str(n), licence="MIT") for n in range(2000)]
rows = [text.to_row() for text in texts]
write = {
    "json": lambda: write_json(Path("full/a.json"), rows),
    "jsonl": lambda: write_jsonl(Path("full/a.jsonl"), rows),
    "parquet": lambda: write_records(Path("full/a.parquet"), Text, texts),
}[sys.argv[1]]
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
run_guarded(write)
"""


def write_into_a_full_folder(folder: Path, kind: str, how: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WRITER, kind, how]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_a_write_that_hits_the_limit_leaves_nothing_half_written(tmp_path: Path, kind: str) -> None:
    (tmp_path / "full").mkdir()
    done = write_into_a_full_folder(tmp_path, kind, "limit")
    assert done.returncode == 1
    assert done.stderr.startswith("error: a larger file than may be written here (ulimit -f) while writing")
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "full").iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KiB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_a_disk_that_is_really_full_is_one_line(tiny_disk: Path, kind: str) -> None:
    target = tiny_disk / f"a.{kind}"
    target.write_text("former")
    done = write_into_a_full_folder(tiny_disk.parent, kind, "disk")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no space left on the disk while writing")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tiny_disk.iterdir()] == [target.name]
    assert target.read_text() == "former"
