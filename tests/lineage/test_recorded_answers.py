"""Lineage where the teacher's answers are recorded: they are found, checked and taken back like those of the store."""

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from compeffdist.artefacts import ANSWERED, TRIPLETS
from compeffdist.errors import UserError
from compeffdist.exchange.questions import Questions
from compeffdist.lineage.forget import Forgetting
from compeffdist.lineage.trace import Tracer
from compeffdist.lineage.tree import render
from compeffdist.lineage.withdrawal_report import plan_lines, purge_lines
from compeffdist.records import Text
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import ANSWERS, AnswerRecord, write_record
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.store import ResponseStore, stored_rows
from tests import mini_stages
from tests.lineage.conftest import World, learnt_text
from tests.lineage.test_audit import flipped

FOLDER = Path("records/mini")


@pytest.fixture
def record(own_world: World) -> AnswerRecord:
    """Every answer of the world's store, in a record beside it."""
    known = KnownAnswers(own_world.store, [])
    write_record(FOLDER, known.rows(known.keys()).values(), [mini_stages.TEACHER])
    return AnswerRecord(FOLDER)


@pytest.fixture
def questions(own_world: World) -> Questions:
    """What the world asked, as its store has it."""
    rows = [row for row, _ in stored_rows(own_world.store)]
    requests = {row.key: request_of(row.request) for row in rows}
    return Questions(mini_stages.TEACHER, requests, {row.key: Answer.from_json(row.answer) for row in rows}, {})


def request_of(written: str) -> Request:
    fields = json.loads(written)
    return Request(**{**fields, "labels": tuple(fields["labels"])})


def forget_store(world: World) -> None:
    for path in world.folder.glob("answers.sqlite*"):
        path.unlink()


def told(world: World, *records: AnswerRecord) -> list[str]:
    return [str(link) for link in world.auditor(*records).audit().links]


# ---------------------------------------------------------------- audit


def test_answers_are_looked_for_in_the_store_and_in_records(own_world: World, record: AnswerRecord) -> None:
    wanted = {key for path in ANSWERED for key in own_world.snapshot.values(path, "answer_id")}
    both = told(own_world, record)
    assert any(f"{len(record.keys)} answers, every byte as it was recorded" in line for line in both)
    assert any(f"{len(wanted)} in the store, 0 recorded" in line for line in both)
    forget_store(own_world)
    alone = told(own_world, record)
    assert any(f"0 in the store, {len(wanted)} recorded" in line for line in alone)
    assert own_world.auditor(record).audit().passed


def test_an_answer_that_is_in_neither_is_named_where_there_is_a_store(own_world: World, record: AnswerRecord) -> None:
    lost = own_world.records(TRIPLETS)[0].answer_id
    with ResponseStore(own_world.store) as store:
        store.delete([lost])
    assert own_world.auditor(record).audit().passed
    assert any(line.startswith("FAIL  store") and f"{lost} is not there" in line for line in told(own_world))


def test_a_flipped_byte_in_a_record_is_found_and_named(own_world: World, record: AnswerRecord) -> None:
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file()):
        with flipped(path, random.Random(3)):
            found = [line for line in told(own_world, AnswerRecord(FOLDER)) if line.startswith("FAIL")]
        assert len(found) == 1 and found[0].startswith(f"FAIL  recorded  {FOLDER}")
        assert f"git checkout HEAD -- {FOLDER}" in found[0]


def test_a_record_that_params_name_and_that_is_not_there_is_a_broken_link(own_world: World) -> None:
    found = told(own_world, AnswerRecord(Path("records/none")))
    assert any(line.startswith("FAIL  recorded  records/none") for line in found)


def test_a_teacher_whose_weights_are_not_here_is_said_to_be_recorded(own_world: World, record: AnswerRecord) -> None:
    lines = [line for line in told(own_world, record) if "weights" in line]
    assert [
        line for line in lines if line.startswith("SKIP") and "its answers are recorded" in line and "teacher" in line
    ]
    assert len([line for line in lines if "its answers are recorded" in line]) == 1
    assert not any("recorded" in line for line in told(own_world) if "weights" in line)


# ---------------------------------------------------------------- trace


def test_a_trace_says_where_an_answer_is_and_how_and_when_it_was_bought(own_world: World, record: AnswerRecord) -> None:
    triplet = own_world.records(TRIPLETS)[0]
    bought = record.rows([triplet.answer_id])[triplet.answer_id].bought
    for known, place in (
        (KnownAnswers(own_world.store, [record]), own_world.store),
        (KnownAnswers(None, [record]), FOLDER),
    ):
        tracer = Tracer(own_world.repository, own_world.versions, known)
        facts = f"kept in: {place}, bought {bought} by engine mini"
        assert facts in "\n".join(render(tracer.trace(triplet.id), tracer))
        trace = tracer.trace(triplet.answer_id)
        lines = list(render(trace, tracer))
        assert lines[0] == f"{triplet.answer_id}  raw answer"
        assert any(facts in line for line in lines)
        assert {triplet.id} <= trace.descendants.keys() and any(triplet.id in line for line in lines)
        assert [version.number for version in trace.versions] == [
            version.number for version in tracer.trace(triplet.id).versions
        ]


def test_an_answer_that_no_data_names_is_traced_and_one_that_nobody_has_is_not(
    own_world: World, record: AnswerRecord
) -> None:
    named = {key for path in ANSWERED for key in own_world.snapshot.values(path, "answer_id")}
    polarity = sorted(record.keys - named)[0]
    tracer = Tracer(own_world.repository, own_world.versions, KnownAnswers(None, [record]))
    trace = tracer.trace(polarity)
    assert not trace.descendants and dict(trace.facts)["asked for"] == "the likelihood of each whole label"
    with pytest.raises(UserError, match="no such answer in the store, in a record"):
        tracer.trace("answer_0123456789ab0123456789ab")


# ---------------------------------------------------------------- forget


def forgetting(world: World, record: AnswerRecord, questions: Questions | None) -> Forgetting:
    def ask() -> Questions:
        if questions is None:
            raise UserError("models/teacher.json: no such file")
        return questions

    return Forgetting(world.repository, world.versions, world.known(record), lambda text_id, source: [], ask)


def says(folder: Path, text: Text) -> bool:
    return text.text[-30:] in repr(pq.read_table(folder / ANSWERS).to_pylist())


def test_a_withdrawn_text_s_answers_leave_the_record_as_they_leave_the_store(
    own_world: World, record: AnswerRecord, questions: Questions
) -> None:
    text, before = learnt_text(own_world), record.rows()
    withdrawing = forgetting(own_world, record, questions)
    plan = withdrawing.plan(text.id)
    assert set(plan.recorded[str(FOLDER)]) == set(plan.answers) and len(plan.answers) >= 4
    lines = "\n".join(plan_lines(plan))
    assert f"recorded answers to be removed from {FOLDER}: {len(plan.answers)}" in lines
    assert "git's history" not in lines
    assert plan.to_json()["recorded"] == {str(FOLDER): plan.answers}
    assert says(FOLDER, text)
    withdrawing.apply(plan)
    left = AnswerRecord(FOLDER)
    assert left.problems() == [] and left.rows() == {k: row for k, row in before.items() if k not in plan.answers}
    assert not says(FOLDER, text)
    write_record(Path("others"), left.rows().values(), [mini_stages.TEACHER])
    assert (Path("others") / ANSWERS).read_bytes() == (FOLDER / ANSWERS).read_bytes()
    assert forgetting(own_world, left, questions).plan(text.id).recorded == {}


def test_without_a_store_the_questions_of_the_data_lead_to_the_same_answers(
    own_world: World, record: AnswerRecord, questions: Questions
) -> None:
    text = learnt_text(own_world)
    wanted = forgetting(own_world, record, questions).plan(text.id).answers
    forget_store(own_world)
    plan = forgetting(own_world, record, questions).plan(text.id)
    assert plan.answers == () and plan.recorded == {str(FOLDER): wanted}
    assert plan.unasked == ()


def test_where_questions_cannot_be_told_what_the_data_names_goes_and_the_rest_is_said_to_be_left(
    own_world: World, record: AnswerRecord, questions: Questions
) -> None:
    text = learnt_text(own_world)
    whole = set(forgetting(own_world, record, questions).plan(text.id).answers)
    forget_store(own_world)
    plan = forgetting(own_world, record, None).plan(text.id)
    named = {
        k
        for path in ANSWERED
        if path != "data/demonstrations.jsonl"
        for k in own_world.snapshot.values(path, "answer_id", "text_id", [text.id])
    }
    assert named <= set(plan.recorded[str(FOLDER)]) < whole
    assert any(
        "may be left, as their questions cannot be told: models/teacher.json" in line for line in plan_lines(plan)
    )


def test_what_git_s_history_holds_is_named_before_and_after_a_purge(
    own_world: World, record: AnswerRecord, questions: Questions
) -> None:
    own_world.commit("a record")
    commit = own_world.run("git", "rev-parse", "HEAD").strip()[:10]
    text = learnt_text(own_world)
    withdrawing = forgetting(own_world, record, questions)
    plan = withdrawing.plan(text.id)
    assert plan.former == (f"{FOLDER}/{ANSWERS} of commit {commit}",)
    assert any(f"keeps recorded answers on it: {plan.former[0]};" in line for line in plan_lines(plan))
    withdrawing.apply(plan)
    own_world.commit("without the text")
    later = forgetting(own_world, AnswerRecord(FOLDER), questions).plan(text.id)
    assert later.recorded == {} and later.former == plan.former
    left = list(purge_lines(later, later.holdings))
    assert any(plan.former[0] in line for line in left) and not any("nowhere" in line for line in left)


def test_a_dry_run_leaves_the_record_as_it_is(own_world: World, record: AnswerRecord, questions: Questions) -> None:
    before = (FOLDER / ANSWERS).read_bytes()
    forgetting(own_world, record, questions).plan(learnt_text(own_world).id)
    assert (FOLDER / ANSWERS).read_bytes() == before
