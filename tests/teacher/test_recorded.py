"""A record gives back what was put in, is the same bytes from the same answers, and tells when a byte was altered."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compeffdist.canonical import hash_text
from compeffdist.errors import UserError
from compeffdist.files import read_json, write_json
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.asking import BuyingTeacher
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import (
    ANSWERS,
    MANIFEST,
    AnswerRecord,
    RecordedAnswer,
    open_records,
    remove_answers,
    write_record,
)
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.store import ResponseStore, StoredAnswer, stored_keys
from tests.models.making import make_identity
from tests.teacher.test_asking import Card, FakeEngine, question

TEACHERS = [make_identity("one"), make_identity("two")]
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
ANSWER_VALUES = st.one_of(
    st.builds(Answer, TEXTS, st.none(), st.integers(0, 999), st.integers(0, 9), st.integers(0, 99), st.just("stop")),
    st.builds(
        Answer.of_labels,
        st.dictionaries(TEXTS.filter(bool), st.floats(-1e3, 0.0), min_size=1, max_size=4),
        st.integers(0, 999),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
)


@st.composite
def rows(draw: st.DrawFn) -> list[RecordedAnswer]:
    answers = draw(st.lists(ANSWER_VALUES, max_size=12))
    return [
        RecordedAnswer(
            key=f"answer_{hash_text(str(number))[:24]}",
            teacher_id=draw(st.sampled_from(TEACHERS)).id,
            answer=answer.to_json(),
            engine=draw(st.sampled_from(["vllm", "openai"])),
            kind=answer.kind,
            bought=draw(st.sampled_from(["2026-01-02T03:04:05+00:00", "2026-11-28T00:00:00+00:00"])),
        )
        for number, answer in enumerate(answers)
    ]


def some(count: int = 40, text: str = "said") -> list[RecordedAnswer]:
    generator = random.Random(count)
    values = [
        Answer.of_labels({"yes": -generator.random(), "no": -2 * generator.random()}, 5, 0, 1)
        if number % 2
        else Answer(f"{text} {number}", None, 5, 0, 3, "stop")
        for number in range(count)
    ]
    return [
        RecordedAnswer(
            question(str(n)).key("model_1"), TEACHERS[0].id, a.to_json(), "vllm", a.kind, "2026-01-02T03:04:05+00:00"
        )
        for n, a in enumerate(values)
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows(), st.randoms(use_true_random=False))
def test_a_record_gives_back_what_was_put_in_and_its_bytes_know_no_order(
    tmp_path: Path, answers: list[RecordedAnswer], shuffle: random.Random
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        write_record(folder, answers, shuffle.sample(TEACHERS, 2))
        answers = shuffle.sample(answers, len(answers))
    record = AnswerRecord(folders[0])
    assert record.rows() == {row.key: row for row in answers} and record.problems() == []
    assert record.get_many(record.keys) == {row.key: Answer.from_json(row.answer) for row in answers}
    assert {model.id for model in record.identities} == {row.teacher_id for row in answers}
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders]
    assert files[0] == files[1]


def test_answers_bought_in_another_order_give_the_same_record(tmp_path: Path) -> None:
    recorded = []
    for order in (1, -1):
        path = tmp_path / f"{order}.sqlite"
        with ResponseStore(path) as store:
            for row in some()[::order]:
                store.put_many([StoredAnswer(row.key, row.teacher_id, "", row.answer, row.engine, row.bought)])
        known = KnownAnswers(path, [])
        write_record(tmp_path / str(order), known.rows(known.keys()).values(), TEACHERS)
        recorded.append((tmp_path / str(order) / ANSWERS).read_bytes())
    assert recorded[0] == recorded[1]


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    write_record(tmp_path / "r", some(), TEACHERS)
    generator, missed = random.Random(5), []
    for path in sorted(p for p in (tmp_path / "r").rglob("*") if p.is_file()):
        whole = path.read_bytes()
        for _ in range(120):
            place, bit = generator.randrange(len(whole)), 1 << generator.randrange(8)
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            if not AnswerRecord(tmp_path / "r").problems():
                missed.append((path.name, place))
        path.write_bytes(whole)
    assert missed == [] and AnswerRecord(tmp_path / "r").problems() == []


def test_an_altered_row_is_named_by_its_key_and_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    rows = some()
    before = rows[4].checksum

    class Altered(RecordedAnswer):
        """Says something else, under the checksum of what it said."""

        @property
        def checksum(self) -> str:
            return before

    altered = Altered(**{**vars(rows[4]), "answer": rows[6].answer})
    write_record(tmp_path / "r", [*rows[:4], altered, *rows[5:]], TEACHERS)
    record = AnswerRecord(tmp_path / "r")
    assert record.problems() == [f"the answer {rows[4].key} was altered"]
    assert record.get_many([rows[5].key])
    with pytest.raises(UserError, match=f"{rows[4].key} was altered after it was recorded; restore it: git checkout"):
        record.get_many([rows[4].key])


def test_a_file_that_is_missing_or_was_not_there_is_named(tmp_path: Path) -> None:
    write_record(tmp_path / "r", some(), TEACHERS)
    shutil.copy(tmp_path / "r/models" / f"{TEACHERS[0].id}.json", tmp_path / "r/models/other.json")
    assert any(
        "models/other.json: record.json does not name it" in line for line in AnswerRecord(tmp_path / "r").problems()
    )
    (tmp_path / "r/models/other.json").unlink()
    (tmp_path / "r/models" / f"{TEACHERS[0].id}.json").unlink()
    found = AnswerRecord(tmp_path / "r").problems()
    assert f"models: no identity of {TEACHERS[0].id}" in found


def test_a_record_of_a_newer_version_is_refused_in_one_line(tmp_path: Path) -> None:
    write_record(tmp_path / "r", some(), TEACHERS)
    value = read_json(tmp_path / "r" / MANIFEST)
    write_json(tmp_path / "r" / MANIFEST, value | {"format": 2, "more": "of it"})
    told = f"{tmp_path / 'r'}: recorded by a newer version of compeffdist; update this checkout"
    assert AnswerRecord(tmp_path / "r").problems() == [told]
    with pytest.raises(UserError) as caught:
        open_records(RuntimeParams(recorded=[str(tmp_path / "r")]))
    assert str(caught.value) == told


@pytest.mark.parametrize("content", ["[]", "{}", "not JSON", '{"format": "1", "answers": 0, "files": {}}'])
def test_a_broken_manifest_and_a_folder_without_one_are_one_line(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match="no record of answers there"):
        AnswerRecord(tmp_path).get_many(["answer_x"])
    (tmp_path / MANIFEST).write_text(content)
    assert len(AnswerRecord(tmp_path).problems()) == 1


def test_writing_over_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        write_record(tmp_path, some(), TEACHERS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_writing_again_leaves_nothing_of_the_former_record(tmp_path: Path) -> None:
    write_record(tmp_path / "r", [replace(row, teacher_id=TEACHERS[1].id) for row in some()], TEACHERS)
    write_record(tmp_path / "r", some(3), TEACHERS)
    write_record(tmp_path / "new", some(3), TEACHERS)
    names = [sorted(p.relative_to(f) for p in f.rglob("*")) for f in (tmp_path / "r", tmp_path / "new")]
    assert names[0] == names[1]


def test_removing_answers_leaves_the_record_of_the_others(tmp_path: Path) -> None:
    rows = some()
    write_record(tmp_path / "r", rows, TEACHERS)
    remove_answers(AnswerRecord(tmp_path / "r"), {row.key for row in rows[:30]})
    write_record(tmp_path / "others", rows[30:], TEACHERS)
    assert (tmp_path / "r" / ANSWERS).read_bytes() == (tmp_path / "others" / ANSWERS).read_bytes()


def test_a_broken_record_is_not_made_whole_by_removing_answers(tmp_path: Path) -> None:
    write_record(tmp_path / "r", some(), TEACHERS)
    with (tmp_path / "r" / MANIFEST).open("a") as stream:
        stream.write("\n")
    with pytest.raises(UserError, match="its bytes are not those that were recorded"):
        remove_answers(AnswerRecord(tmp_path / "r"), {some()[0].key})


def test_thousands_of_answers_take_little_room(tmp_path: Path) -> None:
    write_record(tmp_path / "r", some(4000), TEACHERS)
    size = sum(path.stat().st_size for path in (tmp_path / "r").rglob("*") if path.is_file())
    assert size < 100 * 4000


# ---------------------------------------------------------------- looked up


def asking(tmp_path: Path, engine: FakeEngine, *records: str) -> BuyingTeacher:
    runtime = RuntimeParams(store=str(tmp_path / "store.sqlite"), recorded=[str(tmp_path / name) for name in records])
    return BuyingTeacher(Card(), TeacherParams(), runtime, lambda: None, opener=engine.open)


def recorded(request: Request, text: str) -> RecordedAnswer:
    answer = Answer(text, None, 10, 4, 2, "stop")
    return RecordedAnswer(request.key("model_1"), TEACHERS[0].id, answer.to_json(), "vllm", "generated", "2026-01-02")


def test_the_store_comes_first_then_records_in_their_order_then_the_engine(tmp_path: Path) -> None:
    with asking(tmp_path, FakeEngine()) as teacher:
        teacher.ask([question("a")], "test")
    write_record(tmp_path / "one", [recorded(question(p), f"{p} by one") for p in "ab"], TEACHERS)
    write_record(tmp_path / "two", [recorded(question(p), f"{p} by two") for p in "abc"], TEACHERS)
    engine = FakeEngine()
    with asking(tmp_path, engine, "one", "two") as teacher:
        got = teacher.ask([question(p) for p in "dcbabd"], "test")
        usage = teacher.usage()
    assert [one.answer.text for one in got if one.answer] == ["D", "c by two", "b by one", "A", "b by one", "D"]
    assert engine.asked == ["d"]
    spent = usage["this_run"]
    assert {key: spent[key] for key in ("store", "recorded", "bought", "failures")} == {
        "store": 1,
        "recorded": 2,
        "bought": 1,
        "failures": 0,
    }
    assert usage["answers"]["used"] == 4 and spent["prompt_tokens"] == 10


def test_what_is_recorded_is_used_without_an_engine_or_weights_and_not_copied(tmp_path: Path) -> None:
    def unwanted() -> Path:
        raise AssertionError("weights were to be fetched")

    write_record(tmp_path / "one", [recorded(question(str(n)), f"it is {n}") for n in range(30)], TEACHERS)
    engine = FakeEngine()
    with asking(tmp_path, engine, "one") as teacher:
        teacher.weights = unwanted
        got = teacher.ask([question(str(n)) for n in range(30)], "test")
    assert [one.answer.text for one in got if one.answer] == [f"it is {n}" for n in range(30)]
    assert (engine.opened, stored_keys(tmp_path / "store.sqlite")) == (0, set())


def test_a_record_that_is_not_there_stops_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no record of answers there"):
        asking(tmp_path, FakeEngine(), "nowhere")


def test_a_record_tells_nothing_of_the_question(tmp_path: Path) -> None:
    asked, answer = question("secret"), Answer("told", None, 10, 4, 2, "stop")
    stored = StoredAnswer(asked.key("model_1"), TEACHERS[0].id, asked.to_json(), answer.to_json(), "vllm", "2026-01-02")
    assert "secret" not in json.dumps(vars(RecordedAnswer.of(stored)))
