"""The response store keeps first answers, tells when bytes were altered, and is shared by processes."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.sqlite_file import guarded
from compeffdist.teacher.store import ResponseStore, StoredAnswer, answer_count, stored_keys


def answer(text: str) -> Answer:
    return Answer(text, None, 3, 0, 2, "stop")


def row(key: str, text: str = "fine") -> StoredAnswer:
    return StoredAnswer(key, "model_x", Request("s", key, 4, 0.0, 1.0, 0).to_json(), answer(text).to_json(), "fake")


def test_a_fault_that_sqlite_gives_no_code_is_one_line_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with pytest.raises(UserError, match=r"store\.sqlite: "), guarded(path, "response store"):
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")


def test_answers_come_back_and_unknown_keys_do_not(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "a" / "s.sqlite") as store:
        store.put_many([row(f"answer_{n}", f"text {n}") for n in range(1200)])
        got = store.get_many([f"answer_{n}" for n in (*range(1200), 5000)])
    assert got == {f"answer_{n}": answer(f"text {n}") for n in range(1200)}


def test_the_first_answer_to_a_key_stays(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "s.sqlite") as store:
        store.put_many([row("answer_1", "first")])
        store.put_many([row("answer_1", "second"), row("answer_2")])
        assert store.get_many(["answer_1"]) == {"answer_1": answer("first")}
        assert len(stored_keys(store.path)) == 2


def test_opening_again_finds_everything_and_migrates_once(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    for number in range(3):
        with ResponseStore(path) as store:
            store.put_many([row(f"answer_{number}")])
            assert len(stored_keys(store.path)) == number + 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT number FROM migrations").fetchall() == [(1,)]


@pytest.mark.parametrize("column", ["request", "answer", "teacher_id"])
def test_an_altered_row_is_named(tmp_path: Path, column: str) -> None:
    path = tmp_path / "s.sqlite"
    with ResponseStore(path) as store:
        store.put_many([row("answer_1"), row("answer_2")])
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE answers SET {column} = replace({column}, 'e', 'a') WHERE key = 'answer_2'")
    with ResponseStore(path) as store:
        assert "answer_1" in store.get_many(["answer_1"])
        with pytest.raises(UserError, match="answer_2 was altered"):
            store.get_many(["answer_1", "answer_2"])


def test_an_answer_filed_under_another_key_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with ResponseStore(path) as store:
        store.put_many([row("answer_1")])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET key = 'answer_9'")
    with ResponseStore(path) as store, pytest.raises(UserError, match="answer_9"):
        store.get_many(["answer_9"])


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_text("not a database, " * 100)
    with pytest.raises(UserError, match=r"s\.sqlite: not a readable response store"):
        ResponseStore(path)
    assert path.read_text().startswith("not a database")


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    ResponseStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'later')")
    with pytest.raises(UserError, match="newer version"):
        ResponseStore(path)


def test_a_full_disk_is_one_clear_line_and_loses_nothing(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "s.sqlite") as store:
        store.put_many([row("answer_0")])
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(UserError, match="no space left on the disk"):
            store.put_many([row(f"answer_{n}", "x" * 500) for n in range(1, 200)])
        assert len(stored_keys(store.path)) == 1
        store.connection.execute("PRAGMA max_page_count = 100000")
        store.put_many([row("answer_1")])
        assert len(stored_keys(store.path)) == 2


def _write(path: Path, who: str, gate: "multiprocessing.synchronize.Barrier") -> None:
    gate.wait()
    with ResponseStore(path) as store:
        for n in range(150):
            store.put_many([row(f"answer_{n}", f"from {who}"), row(f"answer_{who}_{n}")])


def test_two_processes_may_write_the_same_new_store_at_once(tmp_path: Path) -> None:
    context, path = multiprocessing.get_context("spawn"), tmp_path / "s.sqlite"
    gate = context.Barrier(2)
    writers = [context.Process(target=_write, args=(path, who, gate)) for who in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    with ResponseStore(path) as store:
        shared = store.get_many([f"answer_{n}" for n in range(150)])
        assert len(shared) == 150
        assert {a.text for a in shared.values()} <= {"from a", "from b"}
        assert len(stored_keys(store.path)) == 450


def _write_and_die(path: Path) -> None:
    with ResponseStore(path) as store:
        for n in range(20):
            store.put_many([row(f"answer_{n}")])
        store.connection.execute("BEGIN IMMEDIATE")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_put_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    context, path = multiprocessing.get_context("spawn"), tmp_path / "s.sqlite"
    writer = context.Process(target=_write_and_die, args=(path,))
    writer.start()
    writer.join(60)
    assert writer.exitcode == -signal.SIGKILL
    with ResponseStore(path) as store:
        assert len(store.get_many([f"answer_{n}" for n in range(20)])) == 20
        store.put_many([row("answer_20")])


@pytest.mark.parametrize("beside", [("-wal",), ("-wal", "-shm"), ()])
def test_answers_are_counted_and_nothing_is_written(tmp_path: Path, beside: tuple[str, ...]) -> None:
    there, copied = tmp_path / "s.sqlite", tmp_path / "copied"
    copied.mkdir()
    with ResponseStore(there) as store:
        store.put_many([row(f"answer_{n}") for n in range(3)])
        if not beside:
            store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for end in ("", *beside):  # as one that was copied while it was open, or whose writer was killed
            shutil.copyfile(f"{there}{end}", copied / f"s.sqlite{end}")

    def seen() -> dict[str, object]:
        """The bytes of each file; the log's index, where there is one, is for readers to write, too."""
        files = [one for one in copied.iterdir() if not one.name.endswith("-shm")]
        return {one.name: (one.stat().st_mtime_ns, one.read_bytes()) for one in files}

    before = seen()
    assert answer_count(copied / "s.sqlite") == 3
    assert seen() == before and len(list(copied.iterdir())) == 1 + len(beside)


def test_a_damaged_store_beside_a_log_is_named_by_its_own_path(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"no database" * 100)
    (tmp_path / "s.sqlite-wal").write_bytes(b"")
    with pytest.raises(UserError, match=f"{tmp_path}/s.sqlite: not a readable response store"):
        answer_count(tmp_path / "s.sqlite")
