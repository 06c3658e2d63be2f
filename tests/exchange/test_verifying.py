"""Some answers of a record are asked again: what agrees is counted by kind, and a broken record asks nothing."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from compeffdist.cli.main import main
from compeffdist.exchange.printing import verification_lines
from compeffdist.exchange.questions import questions_of
from compeffdist.exchange.verifying import Verified, verify_record
from compeffdist.params import load_params
from compeffdist.teacher.engine import OnAnswer, OnFailure
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import AnswerRecord, remove_answers
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.store import stored_keys
from tests.exchange.world import Checkout, Engine, said


class Changed(Engine):
    """Says what `change` makes of an answer; None fails."""

    def __init__(self, change: Callable[[Answer], Answer | None]) -> None:
        super().__init__()
        self.change = change

    def answer(self, requests: list[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:  # type: ignore[override]
        self.asked += requests
        for index, request in enumerate(requests):
            now = self.change(said(request))
            if now is None:
                on_failure(index, "not now")
            else:
                on_answer(index, now)


@pytest.fixture
def record(ran: Checkout) -> AnswerRecord:
    main(["answers", "export", "--out", "r"])
    return AnswerRecord(Path("r"))


def verify(record: AnswerRecord, engine: Engine, sample: int = 1000, seed: int = 0) -> Verified:
    params = load_params()
    weights = Path("weights")
    questions = questions_of(params, KnownAnswers(None, [record]))
    return verify_record(record, questions, params, lambda: weights, sample, seed, engine.open)


def test_the_same_teacher_agrees_on_every_answer(record: AnswerRecord) -> None:
    before = stored_keys(Path("answers.sqlite"))
    done = verify(record, engine := Engine())
    assert (done.answers, done.rebuilt, done.not_rebuilt) == (len(record.keys), len(record.keys), 0)
    assert len(engine.asked) == len(record.keys)
    for kind, found in done.kinds.items():
        assert found.asked == found.same > 0
        assert found.largest_difference == (0.0 if kind == "labels" else None)
    assert set(done.kinds) == {"labels", "generated"}
    assert stored_keys(Path("answers.sqlite")) == before


def test_a_sample_is_drawn_by_the_seed(record: AnswerRecord) -> None:
    drawn = []
    for seed in (0, 0, 1):
        verify(record, engine := Engine(), sample=10, seed=seed)
        drawn.append([request.to_json() for request in engine.asked])
    assert len(drawn[0]) == 10 and drawn[0] == drawn[1] != drawn[2]


def test_other_words_other_labels_and_no_answer_are_counted(record: AnswerRecord) -> None:
    number = 0

    def change(answer: Answer) -> Answer | None:
        nonlocal number
        number += 1
        if number % 10 == 0:
            return None
        if answer.label_logprobs is None:
            return Answer(answer.text + "!", None, 1, 0, 1, "stop")
        half = {
            label: math.log((math.exp(value) + 1) / (1 + len(answer.label_logprobs)))
            for label, value in answer.label_logprobs.items()
        }
        return Answer.of_labels(half, 1, 0, 1)

    kinds = verify(record, Changed(change)).kinds
    for found in kinds.values():
        assert found.asked == found.same + found.other + found.failed and found.failed > 0
    assert kinds["generated"].same == 0
    # what was likeliest stays so, nearer to the others
    assert kinds["labels"].other == 0
    assert 0.0 < (kinds["labels"].largest_difference or 0.0) < 0.5


def test_answers_whose_questions_are_not_known_here_are_counted(record: AnswerRecord) -> None:
    Path("data/texts.parquet").unlink()
    done = verify(record, Engine())
    assert done.answers == done.rebuilt + done.not_rebuilt and done.not_rebuilt > 0
    assert {"enumerate_attributes", "write_demonstrations"} <= set(done.unknown)
    lines = "\n".join(verification_lines(done))
    assert f"{done.not_rebuilt:,} are of other data" in lines and "data/texts.parquet: no such file" in lines


def test_a_broken_record_asks_nothing_and_leaves_with_1(
    record: AnswerRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("r/answers.parquet").open("r+b") as stream:
        stream.seek(200)
        stream.write(b"\0\xff\0")
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["answers", "verify", "--record", "r", "--sample", "5"])
    assert left.value.code == 1
    out = capsys.readouterr()
    assert "r" in out.out + out.err and "Traceback" not in out.err


def test_the_command_asks_the_engine_of_the_params(
    record: AnswerRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine()
    monkeypatch.setattr("compeffdist.teacher.asking.open_engine", engine.open)
    capsys.readouterr()
    main(["answers", "verify", "--record", "r", "--sample", "7", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert sum(kind["asked"] for kind in told["kinds"].values()) == 7 == len(engine.asked)
    assert told["problems"] == []


def test_a_record_without_an_answer_does_not_follow_what_would_come_of_it(record: AnswerRecord) -> None:
    whole = verify(record, Engine())
    generated = {key for key, row in record.rows().items() if row.kind == "generated"}
    remove_answers(record, generated)
    done = verify(AnswerRecord(Path("r")), Engine())
    assert done.answers == whole.answers - len(generated) > done.rebuilt
