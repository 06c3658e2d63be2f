"""Every question that a run asked is found again from its artefacts, and a record of the answers replays the run."""

import ast
import json
from pathlib import Path

import pytest

from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.exchange.questions import REPLAYS, questions_of
from compeffdist.instructions.generate_tasks import STAGE as TASKS_STAGE
from compeffdist.params import load_params
from compeffdist.record_files import read_records
from compeffdist.records import Reject
from compeffdist.teacher.known import KnownAnswers, known_answers
from compeffdist.teacher.recorded import AnswerRecord, remove_answers
from compeffdist.teacher.store import stored_keys
from tests.exchange.world import ROOT, Checkout, run_stages


def test_every_stage_that_opens_the_teacher_is_replayed() -> None:
    opens = {
        path.stem
        for path in (ROOT / "stages").glob("*.py")
        if any(isinstance(n, ast.Name) and n.id == "open_teacher" for n in ast.walk(ast.parse(path.read_text())))
    }
    assert set(REPLAYS) == opens


def test_the_questions_are_those_that_were_asked_no_more_and_no_less(ran: Checkout) -> None:
    params = load_params()
    questions = questions_of(params, known_answers(params.runtime))
    assert questions.requests.keys() == questions.answers.keys() == stored_keys(Path("answers.sqlite"))
    assert questions.unknown == {}
    assert all(key == request.key(questions.identity.id) for key, request in questions.requests.items())
    # those of what was refused among them
    refused = read_records(Path(f"data/rejects/{TASKS_STAGE}.parquet"), Reject)
    assert any("definitions" in reject.detail for reject in refused)


def test_without_answers_the_questions_that_follow_from_none_are_there(ran: Checkout) -> None:
    questions = questions_of(load_params(), KnownAnswers(None, []))
    assert questions.requests.keys() < stored_keys(Path("answers.sqlite")) and not questions.answers


def test_a_stage_whose_inputs_are_not_there_is_named(ran: Checkout) -> None:
    Path("data/tasks.jsonl").unlink()
    params = load_params()
    questions = questions_of(params, known_answers(params.runtime))
    assert list(questions.unknown) == ["write_demonstrations"]
    assert "data/tasks.jsonl: no such file" in questions.unknown["write_demonstrations"]
    assert 0 < len(questions.requests) < len(stored_keys(Path("answers.sqlite")))


def test_a_record_replays_the_run_to_the_byte_and_nothing_is_bought(ran: Checkout) -> None:
    before, bought = ran.artefacts(), stored_keys(Path("answers.sqlite"))
    main(["answers", "export", "--out", "records/mine"])
    for gone in ("answers.sqlite", "answers.sqlite.seal"):
        Path(gone).unlink()
    ran.set(recorded=["records/mine"])
    run_stages()
    assert ran.artefacts() == before
    spent = ran.this_run().values()
    assert sum(one["recorded"] for one in spent) >= len(bought)
    assert {one[key] for one in spent for key in ("store", "bought", "failures", "engine_starts")} == {0}
    # used where they lie, and not copied
    assert stored_keys(Path("answers.sqlite")) == set()


def test_the_record_of_a_replay_is_the_record_it_was_replayed_from(ran: Checkout) -> None:
    main(["answers", "export", "--out", "records/mine"])
    before = {path: path.read_bytes() for path in Path("records").rglob("*") if path.is_file()}
    Path("answers.sqlite").unlink()
    ran.set(recorded=["records/mine"])
    main(["answers", "export", "--out", "records/again"])
    assert {path: (Path("records/again") / path.relative_to("records/mine")).read_bytes() for path in before} == before


def test_an_answer_that_a_record_lacks_is_bought(ran: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    main(["answers", "export", "--out", "records/mine"])
    Path("answers.sqlite").unlink()
    ran.set(recorded=["records/mine"])
    lost = sorted(AnswerRecord(Path("records/mine")).keys)[::7]
    remove_answers(AnswerRecord(Path("records/mine")), lost)
    monkeypatch.setattr("compeffdist.teacher.asking.open_engine", ran.engine.open)
    before = ran.artefacts()
    run_stages()
    assert ran.artefacts() == before
    assert stored_keys(Path("answers.sqlite")) == set(lost)


def test_before_there_is_a_teacher_one_line_says_so(ran: Checkout) -> None:
    Path("models/teacher.json").unlink()
    with pytest.raises(UserError, match=r"models/teacher\.json: no such file"):
        questions_of(load_params(), KnownAnswers(None, []))


def test_export_says_what_it_wrote_for_machines(ran: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    main(["answers", "export", "--out", "records/mine", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["wanted"] == told["written"] == sum(told["kinds"].values()) == len(stored_keys(Path("answers.sqlite")))
    assert told["rejected"] == told["unknown"] == {}
