"""What is bought is counted to the last reply, and a budget is never exceeded."""

import json
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compeffdist.errors import UserError
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.running import STAGE
from compeffdist.teacher.asking import BuyingTeacher
from compeffdist.teacher.engine import OnAnswer, OnFailure
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import EARLIER, Ledger, Meter, Spent, ledger_path, spendings
from compeffdist.teacher.store import ResponseStore, StoredAnswer, stored_keys
from tests.teacher.openai_asking import fast_and_bare
from tests.teacher.server import Body, Reply, chat_reply, serving
from tests.teacher.test_asking import Card

__all__ = ["fast_and_bare"]
PRICES = "currency: EUR\ndate: 2026-11-29\nprices:\n  teacher: {prompt_tokens: 1000.0, answer_tokens: 2000.0}\n"


class CostlyEngine:
    """Answers each prompt, a number of tokens, at that cost; the most it can take is `worst`."""

    name, starts = "costly", 1

    def __init__(self, worst: int = 100) -> None:
        self.worst, self.meter = worst, Meter()
        self.rounds: list[int] = []

    def open(self, *_: object) -> "CostlyEngine":
        return self

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        self.rounds.append(len(requests))
        for index, request in enumerate(requests):
            tokens = int(request.prompt.split()[0])
            self.meter.count(tokens, 0, 1)
            if "bad" in request.prompt:
                on_failure(index, "cannot say")
            else:
                on_answer(index, Answer("x", None, tokens, 0, 1, "stop"))

    def at_most(self, request: Request) -> Spent:
        return Spent(1, self.worst, 0, 1)

    def close(self) -> None:
        pass


def questions(tokens: Sequence[int], word: str = "") -> list[Request]:
    return [Request("s", f"{count} {n:04} {word}", 5, 0.0, 1.0, 0) for n, count in enumerate(tokens)]


def teacher(folder: Path, engine: CostlyEngine, **runtime: Any) -> BuyingTeacher:
    values = {"store": str(folder / "store.sqlite"), "budget": {}, **runtime}
    params = TeacherParams.model_construct(engine=values.pop("named", "vllm"))
    return BuyingTeacher(Card(), params, RuntimeParams(**values), lambda: None, opener=engine.open)  # type: ignore[arg-type]


def spent(folder: Path) -> tuple[int, int]:
    """Calls and tokens, as the ledger has them."""
    with Ledger(folder / "store.sqlite") as ledger:
        rows = ledger.rows()
    return sum(row.calls for row in rows), sum(row.spent.tokens for row in rows)


# ---------------------------------------------------------------- counting


def test_every_reply_is_counted_under_the_work_it_was_for(tmp_path: Path) -> None:
    with teacher(tmp_path, CostlyEngine()) as asking:
        asking.ask(questions([10, 20]), "attributes")
        asking.ask(questions([30, 40, 50], "bad")[:1] + questions([60, 70]), "ideas")
    found = {row.stage: row for row in spendings(tmp_path / "store.sqlite")}
    assert found.keys() == {"attributes", "ideas"}
    first, second = found["attributes"], found["ideas"]
    assert (first.answers, first.failures, first.calls, first.prompt_tokens, first.completion_tokens) == (
        2,
        0,
        2,
        30,
        2,
    )
    assert (second.answers, second.failures, second.calls, second.prompt_tokens) == (2, 1, 3, 160)
    assert first.run == second.run != EARLIER
    assert first.seconds > 0


def test_in_a_stage_it_is_the_stage(tmp_path: Path) -> None:
    token = STAGE.set("collect_responses")
    try:
        with teacher(tmp_path, CostlyEngine()) as asking:
            asking.ask(questions([10]), "responses")
    finally:
        STAGE.reset(token)
    assert [row.stage for row in spendings(tmp_path / "store.sqlite")] == ["collect_responses"]


def test_what_need_not_be_bought_leaves_no_trace(tmp_path: Path) -> None:
    with teacher(tmp_path, CostlyEngine()) as asking:
        asking.ask(questions([10, 20]), "test")
    before = spendings(tmp_path / "store.sqlite")
    with teacher(tmp_path, CostlyEngine()) as asking:
        asking.ask(questions([10, 20]), "test")
    assert spendings(tmp_path / "store.sqlite") == before
    with teacher(tmp_path / "new", CostlyEngine()):
        pass
    assert not ledger_path(tmp_path / "new/store.sqlite").exists()


def test_a_ledger_begins_with_what_the_store_holds_but_not_with_what_was_imported(tmp_path: Path) -> None:
    answer = Answer("x", None, 10, 4, 2, "stop").to_json()
    with ResponseStore(tmp_path / "store.sqlite") as store:
        bought = [StoredAnswer(f"k{n}", "model_1", "{}", answer, "vllm", "2026-11-0" + str(n)) for n in (1, 2)]
        store.put_many([*bought, StoredAnswer("k3", "model_1", "", answer, "vllm")])
    held = spendings(tmp_path / "store.sqlite")
    assert [(row.day, row.run, row.answers, row.prompt_tokens, row.cached_tokens) for row in held] == [
        ("2026-11-01", EARLIER, 1, 10, 4),
        ("2026-11-02", EARLIER, 1, 10, 4),
    ]
    assert spent(tmp_path) == (2, 24)
    assert spendings(tmp_path / "store.sqlite") == held


def test_forgetting_an_answer_does_not_give_money_back(tmp_path: Path) -> None:
    with teacher(tmp_path, CostlyEngine()) as asking:
        asking.ask(questions([10, 20]), "test")
    before = spent(tmp_path)
    with ResponseStore(tmp_path / "store.sqlite") as store:
        store.delete(stored_keys(tmp_path / "store.sqlite"))
    assert spent(tmp_path) == before


def _buy_many(folder: str, word: str) -> None:
    with teacher(Path(folder), CostlyEngine()) as asking:
        asking.ask(questions([7] * 40, word), "test")


def test_processes_that_share_a_store_share_its_ledger(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_buy_many, args=(str(tmp_path), word)) for word in ("one", "two")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert spent(tmp_path) == (80, 80 * 8)


def test_a_ledger_that_is_no_ledger_is_told_and_the_answer_is_kept(tmp_path: Path) -> None:
    ledger_path(tmp_path / "store.sqlite").write_text("not a database at all, but long enough to be looked at")
    with (
        teacher(tmp_path, CostlyEngine()) as asking,
        pytest.raises(UserError, match=r"store\.sqlite\.spent: not a readable"),
    ):
        asking.ask(questions([10]), "test")
    ledger_path(tmp_path / "store.sqlite").unlink()
    with teacher(tmp_path, CostlyEngine()) as asking:
        asking.ask(questions([10]), "test")
        assert asking.ledger is not None
        asking.ledger.connection.execute("DROP TABLE spent")
        with pytest.raises(UserError, match="ledger of spending cannot be used"):
            asking.ask(questions([10, 20]), "test")
        asking.ledger.close()
        asking.ledger = None
    assert len(stored_keys(tmp_path / "store.sqlite")) == 2


def test_replies_that_hold_no_answer_are_paid_for(tmp_path: Path) -> None:
    def respond(body: Body, n: int) -> Reply:
        filtered = "filter" in json.dumps(body)
        return Reply(chat_reply("fine", finish_reason="content_filter" if filtered else "stop"))

    with serving(respond) as server:
        runtime = RuntimeParams(store=str(tmp_path / "store.sqlite"), openai_base_url=server.url, retries=0)
        with BuyingTeacher(Card(), TeacherParams(engine="openai"), runtime, lambda: None) as asking:  # type: ignore[arg-type]
            asking.ask([*questions([1, 2]), *questions([3], "filter")], "test")
    (row,) = spendings(tmp_path / "store.sqlite")
    assert (row.answers, row.failures, row.calls, row.prompt_tokens, row.cached_tokens) == (2, 1, 3, 21, 6)


def test_labels_that_are_weighed_and_then_chosen_are_two_calls(tmp_path: Path) -> None:
    def respond(body: Body, n: int) -> Reply:
        return Reply(chat_reply('{"answer": "glad"}' if "response_format" in body else "no"))

    with serving(respond) as server:
        runtime = RuntimeParams(store=str(tmp_path / "store.sqlite"), openai_base_url=server.url, concurrency=1)
        with BuyingTeacher(Card(), TeacherParams(engine="openai"), runtime, lambda: None) as asking:  # type: ignore[arg-type]
            asking.ask([Request.likelihood("s", p, ("glad", "sad")) for p in ("a", "b")], "test")
            assert len(server.bodies) == 3  # of the second it is known that labels cannot be weighed
    assert spent(tmp_path)[0] == 3


# ---------------------------------------------------------------- budgets


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tokens=st.lists(st.integers(0, 100), min_size=1, max_size=60),
    bound=st.integers(0, 3000),
    kind=st.sampled_from(["tokens", "calls"]),
    of=st.sampled_from(["run", "total"]),
)
def test_no_budget_is_exceeded_and_none_is_left_that_would_do(
    memory: Path, tokens: list[int], bound: int, kind: str, of: str
) -> None:
    folder, engine = Path(tempfile.mkdtemp(dir=memory)), CostlyEngine()
    bound = bound % 70 if kind == "calls" else bound
    with teacher(folder, engine, budget={of: {kind: bound}}) as asking:
        try:
            asking.ask(questions(tokens), "test")
            finished = True
        except UserError as error:
            assert str(error).startswith(f"test: runtime.budget.{of}.{kind} is {bound:,}: ")
            finished = False
    calls, total = spent(folder)
    assert (calls if kind == "calls" else total) <= bound
    if not finished:
        left = bound - (calls if kind == "calls" else total)
        assert left < (1 if kind == "calls" else engine.worst + 1)
        assert len(stored_keys(folder / "store.sqlite")) == calls


def test_what_is_left_is_spent_in_few_parts(tmp_path: Path) -> None:
    engine = CostlyEngine(worst=100)
    with teacher(tmp_path, engine, budget={"total": {"tokens": 10_000}}) as asking, pytest.raises(UserError):
        asking.ask(questions([24] * 1000), "test")
    assert sum(engine.rounds) == 396  # 25 tokens each; 101 that the next may take are not left
    assert len(engine.rounds) < 20


def test_a_raised_budget_goes_on_where_the_money_ended(tmp_path: Path) -> None:
    asked = questions([10] * 20)
    with (
        teacher(tmp_path, CostlyEngine(), budget={"total": {"calls": 8}}) as asking,
        pytest.raises(UserError, match=r"total.calls is 8: 8 spent, the next may take 1; 12 of 20 questions are not"),
    ):
        asking.ask(asked, "test")
    second = CostlyEngine()
    with teacher(tmp_path, second, budget={"total": {"calls": 20}}) as asking:
        assert all(one.answer for one in asking.ask(asked, "test"))
    assert sum(second.rounds) == 12
    assert spent(tmp_path)[0] == 20


def test_a_run_has_a_budget_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        monkeypatch.setattr("compeffdist.teacher.spending.this_run", lambda number=number: f"run {number}")
        with teacher(tmp_path, CostlyEngine(), budget={"run": {"calls": 3}, "total": {"calls": 100}}) as asking:
            asking.ask(questions([10] * 3, f"{number}"), "test")
            with pytest.raises(UserError, match=r"budget\.run\.calls is 3"):
                asking.ask(questions([10], "more"), "test")
    assert spent(tmp_path)[0] == 6


def test_failed_answers_count_against_the_budget(tmp_path: Path) -> None:
    with teacher(tmp_path, CostlyEngine(), budget={"total": {"calls": 5}}) as asking:
        asking.ask([*questions([10] * 3), *questions([10] * 2, "bad")], "test")
        with pytest.raises(UserError, match=r"5 spent"):
            asking.ask(questions([10], "more"), "test")


def test_money_is_bounded_by_the_prices_of_tokens(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES)
    budget = {"total": {"money": 1.0}}
    told = r"total\.money is 1: 0\.9\d* spent, the next may take 0\.102"
    with (
        teacher(tmp_path, CostlyEngine(), budget=budget, prices=str(prices)) as asking,
        pytest.raises(UserError, match=told),
    ):
        asking.ask(questions([10] * 200), "test")  # 0.012 each
    calls, _ = spent(tmp_path)
    assert 1.0 - 0.102 < calls * 0.012 <= 1.0


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        (None, "runtime.prices names no file of prices"),
        (
            "currency: EUR\ndate: 2026-11-29\nprices:\n  student: {hour: 1.0}\n",
            "has no prompt_tokens and answer_tokens of",
        ),
        (
            "currency: EUR\ndate: 2026-11-29\nprices:\n  vllm: {hour: 1.0}\n",
            "what a request may take is known by its tokens",
        ),
    ],
)
def test_money_cannot_be_bounded_without_a_price_of_tokens(tmp_path: Path, prices: str | None, said: str) -> None:
    file = tmp_path / "prices.yaml"
    if prices is not None:
        file.write_text(prices)
    runtime = {"budget": {"run": {"money": 1.0}}, "prices": str(file) if prices else None}
    engine = CostlyEngine()
    with teacher(tmp_path, engine, **runtime) as asking, pytest.raises(UserError, match=said):
        asking.ask(questions([10]), "test")
    assert engine.rounds == []


def test_a_budget_of_an_older_ledger_counts_what_came_before(tmp_path: Path) -> None:
    answer = Answer("x", None, 10, 4, 2, "stop").to_json()
    with ResponseStore(tmp_path / "store.sqlite") as store:
        store.put_many([StoredAnswer(f"k{n}", "model_1", "{}", answer, "vllm") for n in range(10)])
    with (
        teacher(tmp_path, CostlyEngine(), budget={"total": {"calls": 10}}) as asking,
        pytest.raises(UserError, match=r"10 spent"),
    ):
        asking.ask(questions([10]), "test")


def test_money_is_that_of_each_engine(tmp_path: Path) -> None:
    """What a local engine answered before does not count at the price of a server."""
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "currency: EUR\ndate: 2026-11-29\nprices:\n  costly: {prompt_tokens: 1000.0, answer_tokens: 0.0}\n"
        "  vllm: {prompt_tokens: 0.1, answer_tokens: 0.1}\n"
    )
    answer = Answer("x", None, 1_000_000, 0, 0, "stop").to_json()
    with ResponseStore(tmp_path / "store.sqlite") as store:
        store.put_many([StoredAnswer(f"k{n}", "model_1", "{}", answer, "vllm") for n in range(5)])
    settings = {"budget": {"total": {"money": 1.0}}, "prices": str(prices), "named": "costly"}
    with teacher(tmp_path, CostlyEngine(), **settings) as asking, pytest.raises(UserError, match=r"0\.9\d* spent"):
        asking.ask(questions([10] * 100), "test")
    bought = sum(row.answers for row in spendings(tmp_path / "store.sqlite") if row.engine == "costly")
    assert 40 <= bought <= 50  # 0.50 was spent, and 0.01 is one more


BROKEN = chat_reply("ha", finish_reason=None, error={"message": "upstream broke off", "code": 502})


def buying(folder: Path, url: str, **settings: Any) -> BuyingTeacher:
    """A teacher behind a server."""
    runtime = RuntimeParams(store=str(folder / "store.sqlite"), openai_base_url=url, retries=3, **settings)
    return BuyingTeacher(Card(), TeacherParams(engine="openai"), runtime, lambda: None)  # type: ignore[arg-type]


def test_a_reply_that_is_tried_again_is_counted(tmp_path: Path) -> None:
    """An answer that breaks off, at no price, is asked for again by the client itself."""

    def respond(body: Body, n: int) -> Reply:
        return Reply(BROKEN | {"usage": {}} if n < 2 else chat_reply("half"))

    with serving(respond) as server, buying(tmp_path, server.url) as asking:
        asking.ask(questions([1]), "test")
    assert spent(tmp_path) == (3, 10)


@pytest.mark.parametrize(
    "paid",
    [
        BROKEN,
        chat_reply("x") | {"choices": []},
        chat_reply("x") | {"choices": [], "error": {"message": "overloaded", "code": 502}},
    ],
    ids=["broken off", "no choices", "error"],
)
def test_what_was_paid_for_is_not_bought_again_beyond_the_budget(paid: Body, tmp_path: Path) -> None:
    budget = {"total": {"calls": 1}}
    with serving(lambda body, n: Reply(paid)) as server, buying(tmp_path, server.url, budget=budget) as asking:
        with pytest.raises(UserError, match="the teacher failed 1 of 1 requests"):
            asking.ask(questions([1]), "test")
        assert len(server.bodies) == 1
    assert spent(tmp_path) == (1, 10)


def test_a_ledger_of_a_newer_version_is_told(tmp_path: Path) -> None:
    with teacher(tmp_path, CostlyEngine()) as asking:
        asking.ask(questions([10]), "test")
    with closing(sqlite3.connect(ledger_path(tmp_path / "store.sqlite"))) as connection:
        connection.execute("ALTER TABLE spent ADD COLUMN mood TEXT")
        assert spendings(tmp_path / "store.sqlite")[0].calls == 1
        connection.execute("PRAGMA user_version=2")
    for look in (lambda: spendings(tmp_path / "store.sqlite"), lambda: spent(tmp_path)):
        with pytest.raises(UserError, match=r"store\.sqlite\.spent: written by a newer version"):
            look()


def test_time_is_written_as_answers_come(tmp_path: Path) -> None:
    class Slow(CostlyEngine):
        def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
            time.sleep(0.3)
            self.meter.count(1, 0, 1)
            on_answer(0, Answer("x", None, 1, 0, 1, "stop"))
            assert spendings(tmp_path / "store.sqlite")[0].seconds >= 0.3

    with teacher(tmp_path, Slow()) as asking:
        asking.ask(questions([10]), "test")


def test_the_most_a_prompt_can_have_is_of_the_prompt_as_it_is_sent(tmp_path: Path) -> None:
    """With its control tokens disarmed it is longer than it was."""
    request = Request("s", "<s>" * 500, 5, 0.0, 1.0, 0)

    def respond(body: Body, n: int) -> Reply:
        prompt = sum(len(message["content"].encode()) for message in body["messages"])
        return Reply(chat_reply("ok") | {"usage": {"prompt_tokens": prompt, "completion_tokens": 1}})

    with serving(respond) as server, buying(tmp_path, server.url) as asking:
        asking.ask([request], "test")
        assert asking.engine is not None
        most = asking.engine.at_most(request)
    (row,) = spendings(tmp_path / "store.sqlite")
    assert 2000 < row.prompt_tokens <= most.prompt_tokens


def test_the_most_a_request_can_take_is_never_less_than_it_takes(tmp_path: Path) -> None:
    """Of a server whose every character is a token."""

    def respond(body: Body, n: int) -> Reply:
        prompt = sum(len(message["content"].encode()) + 10 for message in body["messages"])
        reply = chat_reply('{"answer": "glad"}' if "response_format" in body else "ok")
        reply["usage"] = {"prompt_tokens": prompt + 3, "completion_tokens": body["max_tokens"]}
        return Reply(reply)

    asked = [Request("system é", "prompt ü", 50, 0.0, 1.0, 0), Request.likelihood("s", "which?", ("glad", "sad"))]
    with serving(respond) as server:
        runtime = RuntimeParams(store=str(tmp_path / "store.sqlite"), openai_base_url=server.url)
        with BuyingTeacher(Card(), TeacherParams(engine="openai"), runtime, lambda: None) as asking:  # type: ignore[arg-type]
            asking.ask(asked[:1], "one")
            assert asking.engine is not None
            worst = [asking.engine.at_most(request) for request in asked]
            asking.ask(asked[1:], "two")
    found = {row.stage: row.spent for row in spendings(tmp_path / "store.sqlite")}
    for most, real in zip(worst, (found["one"], found["two"]), strict=True):
        assert 0 < real.calls <= most.calls
        assert 0 < real.prompt_tokens <= most.prompt_tokens
        assert 0 < real.completion_tokens <= most.completion_tokens
