"""What others bought enters the store once, every row accounted for; from their record or from their store."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.exchange.importing import import_answers
from compeffdist.teacher.recorded import AnswerRecord, RecordedAnswer, write_record
from compeffdist.teacher.requests import Answer
from compeffdist.teacher.store import ResponseStore, StoredAnswer, stored_answers, stored_keys
from tests.exchange.world import Checkout, run_stages
from tests.teacher.test_recorded import TEACHERS, some


def stored(row: RecordedAnswer, request: str = "{}") -> StoredAnswer:
    return StoredAnswer(row.key, row.teacher_id, request, row.answer, row.engine, row.bought)


def test_a_record_is_added_to_what_is_there(tmp_path: Path) -> None:
    rows = some(10)
    other = replace(rows[1], answer=Answer("I said it first", None, 1, 0, 1, "stop").to_json(), kind="generated")
    write_record(tmp_path / "r", rows, TEACHERS)
    with ResponseStore(tmp_path / "s.sqlite") as store:
        store.put_many([stored(rows[0]), stored(other)])
        done = import_answers(tmp_path / "r", store)
        again = import_answers(tmp_path / "r", store)
        kept = store.rows(row.key for row in rows)
    assert (done.found, done.added, done.there, done.differing, done.rejected) == (10, 8, 2, 1, {})
    assert (again.found, again.added, again.there, again.differing) == (10, 0, 10, 1)
    assert kept[rows[1].key].answer == other.answer
    # when and how it was bought comes along, the question does not
    assert kept[rows[5].key] == stored(rows[5], request="")


def test_a_store_is_added_with_its_questions_and_what_cannot_be_trusted_is_left_out(tmp_path: Path) -> None:
    rows = some(6)
    with ResponseStore(tmp_path / "theirs.sqlite") as store:
        store.put_many(
            [*(stored(row, f'{{"n": {n}}}') for n, row in enumerate(rows[:5])), stored(replace(rows[5], answer="5"))]
        )
    with sqlite3.connect(tmp_path / "theirs.sqlite") as connection:
        connection.execute("UPDATE answers SET answer = replace(answer, 'stop', 'halt') WHERE key = ?", (rows[2].key,))
    with ResponseStore(tmp_path / "s.sqlite") as store:
        done = import_answers(tmp_path / "theirs.sqlite", store)
        assert store.rows([rows[4].key])[rows[4].key].request == '{"n": 4}'
        assert len(stored_keys(store.path)) == done.added
    assert done.rejected == {"altered": 1, "unreadable": 1}
    assert done.found == 6 == done.added + done.there + sum(done.rejected.values())


def test_what_was_imported_replays_the_run(ran: Checkout) -> None:
    main(["answers", "export", "--out", "r"])
    before = ran.artefacts()
    Path("answers.sqlite").unlink()
    main(["answers", "import", "r"])
    run_stages()
    assert ran.artefacts() == before
    assert {one["recorded"] + one["bought"] for one in ran.this_run().values()} == {0}


def test_what_was_imported_can_be_exported(ran: Checkout) -> None:
    main(["answers", "export", "--out", "r"])
    Path("answers.sqlite").unlink()
    main(["answers", "import", "r"])
    main(["answers", "export", "--all", "--out", "again"])
    for name in ("answers.parquet", "record.json"):
        assert (Path("r") / name).read_bytes() == (Path("again") / name).read_bytes()


def test_an_answer_of_a_model_that_nobody_knows_is_left_out_of_an_export(
    ran: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    with ResponseStore(Path("answers.sqlite")) as store:
        store.put_many([stored(replace(some(1)[0], teacher_id="model_unknown"))])
    main(["answers", "export", "--all", "--out", "r", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["rejected"] == {"no_identity": 1} and told["wanted"] == told["written"] + 1


def test_the_command_accounts_for_each_source_and_leaves_with_1_if_a_row_was_rejected(
    ran: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    write_record(Path("r"), some(4), TEACHERS)
    with ResponseStore(Path("theirs.sqlite")) as store:
        store.put_many([stored(replace(some(5)[4], answer="none"))])
    with pytest.raises(SystemExit) as left:
        main(["answers", "import", "r", "theirs.sqlite"])
    assert left.value.code == 1
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "r: 4 answers, 4 added, 0 there already",
        "theirs.sqlite: 1 answers, 0 added, 0 there already",
        "left out: 1 unreadable",
    ]


@pytest.mark.parametrize("source", ["nowhere", "s.sqlite"])
def test_no_source_and_the_store_itself_are_refused(tmp_path: Path, source: str) -> None:
    with ResponseStore(tmp_path / "s.sqlite") as store, pytest.raises(UserError, match=r"no such record|itself"):
        import_answers(tmp_path / source, store)


def test_a_store_that_is_looked_at_is_left_as_it_is(tmp_path: Path) -> None:
    with ResponseStore(tmp_path / "theirs.sqlite") as store:
        store.put_many([stored(row) for row in some(3)])
    before = (tmp_path / "theirs.sqlite").read_bytes()
    with ResponseStore(tmp_path / "s.sqlite") as store:
        import_answers(tmp_path / "theirs.sqlite", store)
    assert (tmp_path / "theirs.sqlite").read_bytes() == before
    assert stored_answers(tmp_path / "theirs.sqlite", [some(1)[0].key])
    assert AnswerRecord(tmp_path / "none").problems()
