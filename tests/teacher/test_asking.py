"""The teacher is asked only for what the store lacks, and every answer is kept at once."""

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.exchange.questions import RememberingTeacher
from compeffdist.models import ModelIdentity
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.asking import BuyingTeacher
from compeffdist.teacher.engine import Engine, OnAnswer, OnFailure, open_engine
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import Meter, Spent, spendings
from compeffdist.teacher.store import ResponseStore, StoredAnswer, stored_keys
from tests.teacher.server import Body, Reply, chat_reply, serving


@dataclass
class Card:
    """The part of a model identity that asking needs."""

    id: str = "model_1"
    dtype: str = "bfloat16"
    served_name: str = "some-model@here"


@dataclass
class FakeEngine:
    """Answers with the prompt in capitals, in reverse order; prompts that hold "bad" fail."""

    asked: list[str] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    die_after: int | None = None
    name: str = "fake"
    starts: int = 1
    meter: Meter = field(default_factory=Meter)

    def open(
        self, identity: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None
    ) -> Engine:
        self.opened += 1
        return self

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        self.asked += [request.prompt for request in requests]
        for count, (index, request) in enumerate(reversed(list(enumerate(requests)))):
            if count == self.die_after:
                raise UserError("the engine is gone")
            self.meter.count(10, 4, 2)
            if "bad" in request.prompt:
                on_failure(index, "cannot say")
            else:
                on_answer(index, Answer(request.prompt.upper(), None, 10, 4, 2, "stop"))

    def at_most(self, request: Request) -> Spent:
        return Spent(1, 30, 0, 5)

    def close(self) -> None:
        self.closed += 1


def question(prompt: str, seed: int = 0) -> Request:
    return Request("s", prompt, 5, 0.5, 1.0, seed)


def teacher(tmp_path: Path, engine: FakeEngine, model: str = "model_1") -> BuyingTeacher:
    runtime = RuntimeParams(store=str(tmp_path / "store.sqlite"))
    return BuyingTeacher(Card(model), TeacherParams(), runtime, lambda: None, opener=engine.open)


def test_results_are_in_the_order_given_with_duplicates_asked_once(tmp_path: Path) -> None:
    engine = FakeEngine()
    with teacher(tmp_path, engine) as asking:
        got = asking.ask([question(p) for p in ("c", "a", "c", "b")], "test")
    assert [asked.answer.text for asked in got if asked.answer] == ["C", "A", "C", "B"]
    assert got[0] == got[2]
    assert engine.asked == ["a", "b", "c"]
    assert engine.closed == 1


def test_the_answer_id_is_the_key_in_the_store(tmp_path: Path) -> None:
    with teacher(tmp_path, FakeEngine()) as asking:
        (asked,) = asking.ask([question("a")], "test")
    assert asked.answer_id == question("a").key("model_1")
    with ResponseStore(tmp_path / "store.sqlite") as store:
        row = store.rows([asked.answer_id])[asked.answer_id]
    assert json.loads(row.request)["prompt"] == "a"
    assert (row.teacher_id, row.engine) == ("model_1", "fake")


def test_a_second_run_opens_no_engine_and_gives_the_same(tmp_path: Path) -> None:
    questions = [question(str(n)) for n in range(30)]
    with teacher(tmp_path, FakeEngine()) as asking:
        first = asking.ask(questions, "test")
    again = FakeEngine()
    with teacher(tmp_path, again) as asking:
        assert asking.ask(questions, "test") == first
        usage = asking.usage()["this_run"]
    assert again.opened == 0
    assert (usage["store"], usage["recorded"], usage["bought"], usage["engine_starts"]) == (30, 0, 0, 0)


def test_of_two_checkouts_that_buy_the_same_answer_at_once_both_use_the_one_that_is_kept(tmp_path: Path) -> None:
    """Else one would train on an answer that its store does not have."""
    answers: list[str | None] = []

    class Slower(FakeEngine):
        def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
            with teacher(tmp_path, FakeEngine()) as other:
                answers.append(getattr(other.ask([question("a")], "test")[0].answer, "text", None))
            on_answer(0, Answer("something else", None, 10, 4, 2, "stop"))

    with teacher(tmp_path, Slower()) as asking:
        answers.append(getattr(asking.ask([question("a")], "test")[0].answer, "text", None))
        assert asking.usage()["this_run"]["bought"] == 1
    assert answers == ["A", "A"]
    assert sum(row.answers for row in spendings(tmp_path / "store.sqlite")) == 2


@pytest.mark.parametrize("change", ["prompt", "seed", "model"])
def test_only_what_changed_is_bought_again(tmp_path: Path, change: str) -> None:
    with teacher(tmp_path, FakeEngine()) as asking:
        asking.ask([question("a"), question("b")], "test")
    engine = FakeEngine()
    with teacher(tmp_path, engine, "model_2" if change == "model" else "model_1") as asking:
        changed = {"prompt": question("x"), "seed": question("b", seed=1), "model": question("b")}[change]
        asking.ask([question("a"), changed], "test")
    assert engine.asked == {"prompt": ["x"], "seed": ["b"], "model": ["a", "b"]}[change]


def test_usage_counts_add_up_over_calls(tmp_path: Path) -> None:
    with teacher(tmp_path, FakeEngine()) as asking:
        asking.ask([question(p) for p in ("a", "b", "b", "bad")], "one")
        asking.ask([question(p) for p in ("a", "c", "d")], "two")
        usage = asking.usage()
    assert usage["this_run"].pop("seconds") >= 0
    assert usage["answers"] == {
        "used": 4,
        "missing": 1,
        "prompt_tokens": 40,
        "cached_tokens": 16,
        "completion_tokens": 8,
        "kinds": {"generated": 4},
    }
    assert usage["this_run"] == {
        "store": 1,
        "recorded": 0,
        "bought": 4,
        "failures": 1,
        "prompt_tokens": 40,
        "cached_tokens": 16,
        "completion_tokens": 8,
        "engine_starts": 1,
    }


def test_what_answers_cost_is_told_whoever_bought_them(tmp_path: Path) -> None:
    usages = []
    for _ in range(2):
        with teacher(tmp_path, FakeEngine()) as asking:
            asking.ask([question(p) for p in ("a", "b", "c")], "test")
            usages.append(asking.usage())
    assert usages[0]["answers"] == usages[1]["answers"]
    assert usages[1]["answers"]["prompt_tokens"] == 30
    assert (usages[0]["this_run"]["prompt_tokens"], usages[1]["this_run"]["prompt_tokens"]) == (30, 0)


def test_a_new_likelihood_protocol_buys_likelihoods_again_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = [question("text"), Request.likelihood("s", "labels", ("a", "b"))]
    with teacher(tmp_path, FakeEngine()) as asking:
        asking.ask(questions, "test")
    monkeypatch.setattr("compeffdist.teacher.requests.LIKELIHOOD_PROTOCOL", 2)
    engine = FakeEngine()
    with teacher(tmp_path, engine) as asking:
        asking.ask(questions, "test")
    assert engine.asked == ["labels"]


def test_a_failed_request_has_a_reason_and_is_asked_again_next_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = [question("a"), question("bad"), question("c")]
    with teacher(tmp_path, FakeEngine()) as asking:
        got = asking.ask(questions, "test")
    assert [(asked.answer is None, asked.reason) for asked in got] == [
        (False, ""),
        (True, "cannot say"),
        (False, ""),
    ]
    told = (
        "test: the teacher failed 1 of 3 requests; most often (1): cannot say; dvc repro -f of this stage asks for them"
    )
    assert told in capsys.readouterr().err
    engine = FakeEngine()
    with teacher(tmp_path, engine) as asking:
        asking.ask(questions, "test")
    assert engine.asked == ["bad"]


def test_a_run_where_most_requests_fail_stops_with_the_commonest_reason(tmp_path: Path) -> None:
    with (
        teacher(tmp_path, FakeEngine()) as asking,
        pytest.raises(UserError, match=r"responses: the teacher failed 3 of 5 requests.*cannot say"),
    ):
        asking.ask([question(p) for p in ("a", "b", "bad1", "bad2", "bad3")], "responses")


def test_answers_given_before_an_engine_dies_are_kept(tmp_path: Path) -> None:
    questions = [question(str(n)) for n in range(10)]
    engine = FakeEngine(die_after=6)
    with teacher(tmp_path, engine) as asking, pytest.raises(UserError, match="the engine is gone"):
        asking.ask(questions, "test")
    assert engine.closed == 1
    rest = FakeEngine()
    with teacher(tmp_path, rest) as asking:
        assert all(asked.answer for asked in asking.ask(questions, "test"))
    assert len(rest.asked) == 4


def test_an_engine_that_forgets_a_request_is_a_defect(tmp_path: Path) -> None:
    class Forgetful(FakeEngine):
        def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
            super().answer(requests[1:], on_answer, on_failure)

    with teacher(tmp_path, Forgetful()) as asking, pytest.raises(RuntimeError, match="did not report each"):
        asking.ask([question("a"), question("b")], "test")


def test_nothing_to_ask_asks_nothing(tmp_path: Path) -> None:
    engine = FakeEngine()
    with teacher(tmp_path, engine) as asking:
        assert asking.ask([], "test") == []
    assert engine.opened == 0


# ---------------------------------------------------------------- a killed run, over HTTP


def _run(url: str, store: Path) -> None:
    runtime = RuntimeParams(store=str(store), openai_base_url=url, concurrency=2)
    with BuyingTeacher(Card(), TeacherParams(engine="openai"), runtime, lambda: None, opener=open_engine) as asking:
        asking.ask([question(f"{n:02}") for n in range(40)], "test")


def test_a_killed_run_loses_only_what_was_in_flight(tmp_path: Path) -> None:
    store, context = tmp_path / "store.sqlite", multiprocessing.get_context("spawn")

    def respond(body: Body, _: int) -> Reply:
        if len(server.bodies) == 20 and not killed:
            killed.append(True)
            os.kill(int(process.pid or 0), signal.SIGKILL)
        return Reply(chat_reply(body["messages"][-1]["content"]))

    killed: list[bool] = []
    with serving(respond) as server:
        process = context.Process(target=_run, args=(server.url, store))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        before = len(server.bodies)
        _run(server.url, store)
        asked_again = len(server.bodies) - before
    # of the 20 asked before the kill, at most the 2 in flight and 2 just answered are bought twice
    assert 20 <= asked_again <= 24
    assert len(stored_keys(store)) == 40


@pytest.mark.parametrize("finish", ["content_filter", "abort", "error", "unknown"])
def test_an_answer_that_an_older_version_kept_though_it_ended_early_is_bought_again(
    tmp_path: Path, finish: str
) -> None:
    spoilt, sound = question("a"), question("b")
    with ResponseStore(tmp_path / "store.sqlite") as store:
        store.put_many(
            StoredAnswer(
                request.key("model_1"),
                "model_1",
                request.to_json(),
                Answer("old", None, 1, 0, 1, end).to_json(),
                "fake",
            )
            for request, end in ((spoilt, finish), (sound, "eos_token"))
        )
    engine = FakeEngine()
    with teacher(tmp_path, engine) as asking:
        got = asking.ask([spoilt, sound], "test")
    assert [asked.answer.text for asked in got if asked.answer] == ["A", "old"]
    assert engine.asked == ["a"]
    with teacher(tmp_path, FakeEngine()) as asking:  # and is in its place
        assert asking.ask([spoilt, sound], "test") == got


def test_an_answer_that_ended_early_is_no_answer_to_those_who_only_look_but_is_found(tmp_path: Path) -> None:
    path, request = tmp_path / "store.sqlite", question("bad")
    row = StoredAnswer(
        request.key("model_1"), "model_1", request.to_json(), Answer("x", None, 1, 0, 1, "abort").to_json(), "fake"
    )
    with ResponseStore(path) as store:
        store.put_many([row])
    known = KnownAnswers(path, [])
    assert RememberingTeacher(Card(), known).ask([request], "test")[0].answer is None
    assert known.find([row.key]).keys() == {row.key}  # whoever traces or withdraws a text has to see it
    with teacher(tmp_path, FakeEngine()) as asking:
        failed, _ = asking.ask([request, question("a")], "test")
    assert (failed.answer, failed.reason) == (None, "cannot say")


def test_a_server_that_filters_is_asked_again_and_its_answer_kept_once_it_is_whole(tmp_path: Path) -> None:
    ends = iter(["content_filter", "stop"])
    whole = [question(str(n)) for n in range(3)]

    def respond(body: Body, n: int) -> Reply:
        filtered = body["messages"][-1]["content"] == "x"
        return Reply(chat_reply("said", finish_reason=next(ends) if filtered else "stop"))

    with serving(respond) as server:
        runtime = RuntimeParams(store=str(tmp_path / "store.sqlite"), openai_base_url=server.url)
        got = []
        for _ in range(3):
            with BuyingTeacher(Card(), TeacherParams(engine="openai"), runtime, lambda: None) as asking:
                got.append(asking.ask([question("x"), *whole], "test")[0])
    assert "content_filter" in got[0].reason
    assert [asked.answer is None for asked in got] == [True, False, False]
    assert len(server.bodies) == len(whole) + 2
