"""SQLite files that others write are looked into without a trace, and without keeping anybody from writing."""

import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import Ledger, Spent, ledger_path, spendings
from compeffdist.teacher.store import ResponseStore, StoredAnswer, latest_answers

KILLED = """
import os, sys
from pathlib import Path
from compeffdist.teacher.spending import Ledger, Spent
Ledger(Path(sys.argv[1])).add("s", "m", "e", Spent(1, 2, 0, 3))
os.kill(os.getpid(), 9)
"""


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {one.name: (one.stat().st_size, one.stat().st_mtime_ns) for one in folder.iterdir()}


def calls(store: Path) -> int:
    """Of all that was spent: two processes under one `make` are one run."""
    return sum(one.calls for one in spendings(store))


def row(number: int, teacher: str = "model_a", text: str = "") -> StoredAnswer:
    request = Request("s", f"question {number}", 5, 0.0, 1.0, 0).to_json()
    said = Answer(text or f"answer {number}", None, 1, 0, 1, "stop").to_json()
    return StoredAnswer(f"answer_{teacher}_{number}", teacher, request, said, "vllm")


def latest(path: Path, longest: int = 10_000) -> list[str]:
    return [Answer.from_json(one.answer).text for one in latest_answers(path, "model_a", 3, longest, 1.0)]


def test_looking_at_what_was_spent_leaves_nothing_beside_the_ledger(tmp_path: Path) -> None:
    store = tmp_path / "store.sqlite"
    with Ledger(store) as ledger:
        ledger.add("s", "m", "e", Spent(1, 2, 0, 3))
        before = files(tmp_path)
        assert calls(store) == 1 and files(tmp_path) == before  # while it is open for writing
    before = files(tmp_path)
    assert calls(store) == 1 and files(tmp_path) == before and list(before) == [ledger_path(store).name]
    subprocess.run([sys.executable, "-c", KILLED, str(store)], check=False)
    before = files(tmp_path)
    assert calls(store) == 2 and files(tmp_path) == before and len(before) == 3
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in (ledger_path(store).name, f"{ledger_path(store).name}-wal"):
        shutil.copy(tmp_path / name, copied)
    before = files(copied)
    assert calls(copied / store.name) == 2 and files(copied) == before


def test_the_latest_answers_of_a_teacher_are_seen_before_they_are_out_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with ResponseStore(path) as store:
        store.put_many([row(1), row(2), row(3, "model_b"), row(4), row(5, text="x" * 20_000), row(6)])
        before = files(tmp_path)
        assert latest(path) == ["answer 6", "answer 4", "answer 2"] and files(tmp_path) == before
    assert latest(path) == ["answer 6", "answer 4", "answer 2"]


def test_a_store_is_looked_into_while_it_is_written_and_nobody_waits(tmp_path: Path) -> None:
    path, ended = tmp_path / "s.sqlite", threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not ended.is_set():
            found = latest(path)
            seen.append(int(found[0].split()[1]) if found else 0)

    with ResponseStore(path) as store:
        store.connection.execute("PRAGMA busy_timeout=0")  # a writer that is kept out fails at once
        store.connection.execute("PRAGMA wal_autocheckpoint=3")
        watcher = threading.Thread(target=look)
        watcher.start()
        for number in range(1, 150):
            store.put_many([row(number)])
        ended.set()
        watcher.join()
    assert seen == sorted(seen) and len(set(seen)) > 3


def test_text_that_is_no_text_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with ResponseStore(path) as store:
        store.put_many([row(1)])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET answer = CAST(x'ff22' AS TEXT)")
    assert latest_answers(path, "model_a", 1, 100_000, 1.0)[0].answer == '\ufffd"'


def test_what_is_no_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match="not a readable response store"):
        latest(tmp_path / "s.sqlite")


def test_looking_at_what_is_no_file_writes_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.mkdir()
    ledger_path(path).mkdir()
    before, folder = files(tmp_path), tmp_path.stat().st_mtime_ns
    with pytest.raises(UserError, match=r"s\.sqlite: the response store cannot be used: "):
        latest(path)
    with pytest.raises(UserError, match=r"the .* cannot be used: "):
        spendings(path)
    assert files(tmp_path) == before and tmp_path.stat().st_mtime_ns == folder
