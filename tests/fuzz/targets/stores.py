"""The files that answers are kept in: what comes out of a damaged one is what was put in, or one clear line."""

import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from compeffdist.teacher.recorded import AnswerRecord, RecordedAnswer, write_record
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import Ledger, Spending, Spent, ledger_path, spendings
from compeffdist.teacher.store import (
    ResponseStore,
    StoredAnswer,
    store_problems,
    stored_answers,
    stored_keys,
    stored_rows,
)
from tests.fuzz.hostile import as_json, files, replaced
from tests.fuzz.hunting import REFUSED, Target, refused_or
from tests.models.making import make_identity

TEACHER = make_identity("one")
ANSWERS = {
    f"answer_{place:024x}": Answer("déjà 🙂 " * place, None, 3, 0, 2, "stop")
    if place % 2
    else Answer.of_labels({"good": -0.1, "bad": -2.35}, 3, 0, 1)
    for place in range(6)
}
ROWS = [
    StoredAnswer(key, TEACHER.id, Request("s", f"frage {key} é", 4, 0.0, 1.0, 0).to_json(), answer.to_json(), "fake")
    for key, answer in ANSWERS.items()
]


@cache
def store_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        with ResponseStore(path) as store:
            store.put_many(ROWS)
        return path.read_bytes()


@cache
def spent_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        with Ledger(path) as ledger:
            for stage in ("a", "b"):
                ledger.add(stage, TEACHER.id, "vllm", Spent(2, 30, 4, 5), 2, 0, 1.5)
        return ledger_path(path).read_bytes()


@cache
def record_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_record(folder, [RecordedAnswer.of(row) for row in ROWS], [TEACHER])
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def other_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE answers (key, teacher_id, request, answer, engine, created_at, checksum)")
            connection.execute("INSERT INTO answers VALUES ('answer_0', 1, x'ff', NULL, 2.5, '', '')")
        connection.close()
        return path.read_bytes()


def store(content: bytes, folder: Path) -> None:
    path = folder / "s.sqlite"

    def fresh() -> None:
        for left in folder.iterdir():
            left.unlink()
        path.write_bytes(content)

    def opened(read: Any) -> Any:
        with ResponseStore(path) as found:
            return read(found)

    fresh()
    store_problems(path)
    for read in (
        lambda: stored_keys(path),
        lambda: list(stored_rows(path)),
        lambda: stored_answers(path, ANSWERS),
        lambda: spendings(path),
    ):
        refused_or(read, path)
    got = refused_or(lambda: opened(lambda found: found.get_many(ANSWERS)), path)
    if got is not REFUSED:
        assert all(ANSWERS[key] == answer for key, answer in got.items()), got
    fresh()
    refused_or(lambda: opened(lambda found: found.keys_holding("frage")), path)
    fresh()
    new = StoredAnswer("answer_x", TEACHER.id, ROWS[0].request, ROWS[0].answer, "fake")
    got = refused_or(lambda: opened(lambda found: (found.put_many([new]), found.get_many(["answer_x"]))[1]), path)
    assert got is REFUSED or got == {"answer_x": ANSWERS[ROWS[0].key]}
    fresh()
    refused_or(lambda: opened(lambda found: found.delete(list(ANSWERS)[:2])), path)


def spent(content: bytes, folder: Path) -> None:
    path = folder / "s.sqlite"
    ledger_path(path).write_bytes(content)
    for found in (refused_or(lambda: spendings(path), ledger_path(path)), refused_or(lambda: _ledger(path), folder)):
        if found is not REFUSED:
            assert all(isinstance(row, Spending) for row in found)
            for row in found:
                assert all(isinstance(getattr(row, name), str) for name in ("day", "run", "stage", "model", "engine"))
                assert all(isinstance(n, int) for n in (row.answers, row.failures, *vars(row.spent).values())), row
                assert isinstance(row.seconds, float | int)


def _ledger(path: Path) -> list[Spending]:
    with Ledger(path) as ledger:
        ledger.add("c", "m", "e", Spent(1, 1, 1, 1))
        return ledger.rows()


def record(case: tuple[str, bytes], folder: Path) -> None:
    name, content = case
    for path, own in record_files().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content if path.startswith(name) else own)
    found = AnswerRecord(folder)
    got = refused_or(lambda: found.get_many(ANSWERS), folder)
    if got is not REFUSED:
        assert all(ANSWERS[key] == answer for key, answer in got.items()), got
    refused_or(lambda: found.keys, folder)
    refused_or(lambda: list(found.checked()), folder)
    refused_or(lambda: [identity.id for identity in found.identities], folder)
    problems = refused_or(found.problems, folder)
    assert problems or record_files()[_file(name)] == content, "damage is not told"


def _file(beginning: str) -> str:
    return next(path for path in record_files() if path.startswith(beginning))


def manifest(case: Any, folder: Path) -> None:
    record(("record.json", as_json(case)), folder)


@st.composite
def damaged_record(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(["record.json", "answers.parquet", "models/"]))
    return name, draw(files(record_files()[_file(name)]))


def broken_stores() -> st.SearchStrategy[bytes]:
    return st.one_of(files(store_bytes()), files(store_bytes()), st.just(other_database()), st.just(spent_bytes()))


MANIFEST = {"format": 1, "answers": 6, "files": {"answers.parquet": "0", "models/x.json": "1", "../out": "2"}}
TARGETS = (
    Target("stores.answers", st.deferred(broken_stores), store, share=0.3),
    Target("stores.spent", st.deferred(lambda: st.one_of(files(spent_bytes()), st.just(store_bytes()))), spent),
    Target("stores.record", st.deferred(damaged_record), record),
    Target("stores.manifest", replaced(MANIFEST), manifest),
)
