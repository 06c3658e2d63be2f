"""Most questions go in batches; a batch that is paid for is not made again."""

import asyncio
import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.asking import BuyingTeacher
from compeffdist.teacher.batch_engine import BatchEngine
from compeffdist.teacher.batches import FOLDER, kept_jobs
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import spendings
from compeffdist.teacher.store import stored_keys
from tests.teacher.batch_server import BatchServer, serving_batches
from tests.teacher.openai_asking import fast_and_bare, question, top_tokens
from tests.teacher.server import Body, Reply, chat_reply, echo
from tests.teacher.test_asking import Card

__all__ = ["fast_and_bare"]
MOOD = ("glad", "sad")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def runtime(url: str, **settings: Any) -> RuntimeParams:
    values = {"openai_base_url": url, "retries": 1, "busy_seconds": 0.0, "batch_poll_seconds": 0.01}
    return RuntimeParams(**values | {"store": "store.sqlite"} | settings)


def ask(server: BatchServer, requests: Sequence[Request]) -> tuple[dict[int, Answer], dict[int, str]]:
    answers: dict[int, Answer] = {}
    failures: dict[int, str] = {}
    engine = BatchEngine(SimpleNamespace(served_name="some-model@here"), TeacherParams(), runtime(server.url), None)  # type: ignore[arg-type]
    engine.answer(requests, answers.__setitem__, failures.__setitem__)
    return answers, failures


def teacher(url: str, **settings: Any) -> BuyingTeacher:
    params = TeacherParams(engine="openai-batch")
    return BuyingTeacher(Card(), params, runtime(url, **settings), lambda: None)  # type: ignore[arg-type]


def prompts(bodies: Sequence[Body]) -> list[str]:
    return sorted(body["messages"][-1]["content"] for body in bodies)


def test_all_but_the_first_of_each_kind_go_in_one_batch() -> None:
    asked = [question(f"p{n}") for n in range(20)]
    with serving_batches(BatchServer()) as server:
        answers, failures = ask(server, asked)
    assert {index: answer.text for index, answer in answers.items()} == {n: f"echo: p{n}" for n in range(20)}
    assert not failures
    assert (prompts(server.at_once), len(server.batched), len(server.batches)) == (["p0"], 19, 1)
    (batch,) = server.batches.values()
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
    assert not list(FOLDER.glob("*"))


def test_the_same_answers_as_at_once_whatever_the_kind() -> None:
    def respond(body: Body, n: int) -> Reply:
        if "logprobs" in body:
            return top_tokens({"glad": 0.7, "sad": 0.2}) if "clear" in json.dumps(body) else top_tokens({"x": 0.9})
        if "response_format" in body:
            return Reply(chat_reply('{"answer": "sad"}'))
        return echo(body, n)

    asked = [
        question("a"),
        question("b"),
        *(Request.likelihood("s", p, MOOD) for p in ("clear 1", "dim", "clear 2", "dim 2")),
    ]
    with serving_batches(BatchServer(respond)) as server:
        answers, failures = ask(server, asked)
    assert not failures
    assert [answers[n].text for n in range(6)] == ["echo: a", "echo: b", "glad", "sad", "glad", "sad"]
    assert [answers[n].decided for n in range(2, 6)] == ["first_tokens", "chosen", "first_tokens", "chosen"]
    # what weighing did not decide is chosen in the next batch
    assert len(server.batches) == 2


def test_what_the_server_does_not_take_is_found_out_before_a_batch_is_paid() -> None:
    def respond(body: Body, n: int) -> Reply:
        if "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Reply({"error": {"message": message, "param": "max_tokens"}}, status=400)
        return echo(body, n)

    with serving_batches(BatchServer(respond)) as server:
        answers, failures = ask(server, [question(f"p{n}") for n in range(5)])
    assert len(answers) == 5 and not failures
    assert all("max_completion_tokens" in body for body in server.batched) and len(server.batched) == 4


@pytest.mark.parametrize("status", [502, 503, 504, 0])
def test_an_upload_that_fails_is_tried_again(status: int) -> None:
    with serving_batches(BatchServer(lost_uploads=[status])) as server:
        answers, failures = ask(server, [question(f"p{n}") for n in range(5)])
    assert len(answers) == 5 and not failures and not server.lost_uploads
    assert len(server.batches) == 1


def test_an_upload_that_always_fails_ends_the_run_in_one_line() -> None:
    with (
        serving_batches(BatchServer(lost_uploads=[502] * 9)) as server,
        pytest.raises(UserError, match=r"upload of a batch: server answered 502 bad gateway"),
    ):
        ask(server, [question(f"p{n}") for n in range(5)])


def test_a_request_that_fails_is_a_reject_and_the_others_stand() -> None:
    def respond(body: Body, n: int) -> Reply:
        if "long" in json.dumps(body):
            return Reply({"error": {"message": "the context length is 10"}}, status=400)
        if "cut" in json.dumps(body):
            return Reply(chat_reply("half", finish_reason="content_filter"))
        return echo(body, n)

    with serving_batches(BatchServer(respond, lost={3})) as server:
        answers, failures = ask(server, [question(p) for p in ("a", "b", "too long", "cut", "lost", "c")])
    assert sorted(answers) == [0, 1, 5]
    assert "the context length is 10" in failures[2] and "content_filter" in failures[3]
    assert failures[4] == "the batch ended without an answer to it"


def test_an_expired_batch_gives_what_it_has() -> None:
    with serving_batches(BatchServer(status="expired", lost={0, 1})) as server:
        answers, failures = ask(server, [question(f"p{n}") for n in range(5)])
    assert (len(answers), len(failures)) == (3, 2)


def test_a_batch_that_fails_ends_the_run_in_one_line_and_is_not_waited_for_again() -> None:
    with serving_batches(BatchServer(status="failed")) as server:
        with pytest.raises(UserError, match=r"batch batch_0 failed: no batches of this model; check runtime"):
            ask(server, [question(f"p{n}") for n in range(3)])
        assert not list(FOLDER.glob("*"))


def test_a_server_without_batches_is_told() -> None:
    with (
        serving_batches(BatchServer(refuse_batches=True)) as server,
        pytest.raises(UserError, match="there is no such thing"),
    ):
        ask(server, [question(f"p{n}") for n in range(3)])


def test_tokens_are_counted_under_this_engine() -> None:
    with serving_batches(BatchServer()) as server, teacher(server.url) as asking:
        asking.ask([question(f"p{n}") for n in range(10)], "test")
    (row,) = spendings(Path("store.sqlite"))
    assert (row.engine, row.answers, row.calls, row.prompt_tokens) == ("openai-batch", 10, 10, 70)


def _ask_in_a_process(url: str, at: str) -> None:
    import compeffdist.teacher.batches as batches

    if at == "made":  # the server made the batch, and its id was not written down

        def dies(*_: object) -> Any:
            os.kill(os.getpid(), signal.SIGKILL)

        batches._id, known = (lambda value, what: dies() if what == "the batch" else known(value, what)), batches._id
    with teacher(url) as asking:
        asking.ask([question(f"p{n}") for n in range(8)], "test")


@pytest.mark.parametrize("at", ["made", "waiting"])
def test_a_killed_run_does_not_buy_a_batch_twice(at: str) -> None:
    server = BatchServer()
    server.ended.clear()
    with serving_batches(server):
        process = multiprocessing.get_context("spawn").Process(target=_ask_in_a_process, args=(server.url, at))
        process.start()
        limit = time.monotonic() + 60
        while not (server.batches and (at == "made" or next(iter(server.batches.values()))["looks"] > 1)):
            assert time.monotonic() < limit
            time.sleep(0.02)
        if at == "waiting":
            os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        (job,) = kept_jobs(server.url.removesuffix("/"))
        assert bool(job.batch) == (at == "waiting")
        server.ended.set()
        with teacher(server.url) as asking:
            asked = asking.ask([question(f"p{n}") for n in range(8)], "test")
    assert all(one.answer for one in asked)
    # the first question was asked at once, and answered, before the kill; another is the first of the second run
    assert len(server.batches) == 1
    assert len(stored_keys(Path("store.sqlite"))) == 8
    assert not list(FOLDER.glob("*"))


def left_waiting(server: BatchServer, asked: Sequence[Request]) -> None:
    """A run that ends while its batch is waited for."""
    server.ended.clear()

    class Ended(Exception):
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compeffdist.teacher.batches.asyncio.sleep", lambda seconds: _end(Ended) if seconds else _turn())
        with pytest.raises(Ended):
            ask(server, asked)
    server.ended.set()


async def _end(error: type[Exception]) -> None:
    raise error


async def _turn() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, None)
    await future


def test_of_a_batch_that_waits_what_is_not_asked_now_is_kept() -> None:
    asked = [question(f"p{n}") for n in range(10)]
    with serving_batches(BatchServer()) as server:
        left_waiting(server, asked)
        some, _ = ask(server, asked[1:4])
        assert len(some) == 3 and len(list(FOLDER.glob("*"))) == 1
        rest, _ = ask(server, asked[4:])
        assert len(rest) == 6 and not list(FOLDER.glob("*"))
        assert len(server.batches) == 1
        assert prompts(server.at_once + server.batched) == sorted(f"p{n}" for n in range(10))


def test_what_was_learned_before_a_kill_is_known_after_it() -> None:
    """The first question showed that the model thinks; another's answer would not have."""

    def respond(body: Body, n: int) -> Reply:
        first = body["messages"][-1]["content"] == "p0"
        if first and body["max_tokens"] < 4000:
            return Reply(chat_reply("<think>hm", finish_reason="length"))
        return echo(body, n)

    asked = [question(f"p{n}") for n in range(6)]
    with serving_batches(BatchServer(respond)) as server:
        left_waiting(server, asked)
        answers, failures = ask(server, asked[1:])
    assert len(answers) == 5 and not failures
    assert (len(server.batches), len(server.batched)) == (1, 5)
    assert prompts(server.at_once) == ["p0", "p0"]


def test_batches_are_taken_up_in_the_order_in_which_they_were_made_though_the_clock_was_set_back() -> None:
    with serving_batches(BatchServer()) as server, pytest.MonkeyPatch.context() as patch:
        for now, word in ((1000.0, "p"), (10.0, "q"), (20.0, "r")):
            patch.setattr("compeffdist.teacher.batches.time", SimpleNamespace(time=lambda now=now: now))
            left_waiting(server, [question(f"{word}{n}") for n in range(3)])
        jobs = kept_jobs(server.url.removesuffix("/"))
        assert [job.batch for job in jobs] == list(server.batches) and len(jobs) == 3


def _odd_one(field: str) -> Callable[[Body, int], Reply]:
    """A server that takes a field of all questions but "p1"."""

    def respond(body: Body, n: int) -> Reply:
        if body["messages"][-1]["content"] == "p1" and field in body:
            return Reply({"error": {"message": f"{field} is not supported"}}, status=400)
        return top_tokens({"glad": 0.7, "sad": 0.2}) if "logprobs" in body else Reply(chat_reply('{"answer": "sad"}'))

    return respond


ODD = {
    "logprobs": [Request.likelihood("s", f"p{n}", MOOD) for n in range(2)],
    "response_format": [question(f"p{n}", schema='{"type":"object"}') for n in range(2)],
    "seed": [question(f"p{n}") for n in range(2)],
}


@pytest.mark.parametrize("field", ODD)
def test_what_the_server_has_taken_before_a_kill_it_does_not_refuse_after_it(
    field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refusals = ("refuses", "gives no log-probabilities")
    with serving_batches(BatchServer(_odd_one(field))) as server:
        answers, _ = ask(server, ODD[field])  # in peace
        assert len(answers) == 2 and not any(told in capsys.readouterr().err for told in refusals)
    with serving_batches(BatchServer(_odd_one(field))) as server:
        left_waiting(server, ODD[field])
        answers, _ = ask(server, ODD[field][1:])
        assert len(answers) == 1 and not any(told in capsys.readouterr().err for told in refusals)


def test_a_batch_that_an_older_version_kept_is_read() -> None:
    asked = [question(f"p{n}") for n in range(4)]
    with serving_batches(BatchServer()) as server:
        left_waiting(server, asked)
        (file,) = FOLDER.glob("*")
        kept = json.loads(file.read_text())
        for newer in ("weighed", "taken_schemas", "taken"):
            del kept["learned"][newer]
        file.write_text(json.dumps(kept))
        answers, failures = ask(server, asked[1:])
    assert (len(answers), len(failures), len(server.batches)) == (3, 0, 1)


def test_a_batch_whose_making_was_not_told_is_not_made_again() -> None:
    server = BatchServer()
    made = server.make

    def lost(body: Body) -> dict[str, Any]:
        batch = made(body)
        if len(server.batches) == 1:
            raise ConnectionError  # the reply is never sent
        return batch

    server.make = lost  # type: ignore[method-assign]
    with serving_batches(server):
        answers, _ = ask(server, [question(f"p{n}") for n in range(5)])
    assert len(answers) == 5 and len(server.batches) == 1


@pytest.mark.parametrize("status", [402, 401, 404, 500, 429])
def test_bad_lines_are_rejects_and_the_next_run_asks_anew(status: int) -> None:
    bad = [True]

    def respond(body: Body, n: int) -> Reply:
        number = int(body["messages"][-1]["content"][1:])
        if bad[0] and number > 20:
            return Reply({"error": {"message": "not now"}}, status=status)
        return echo(body, n)

    asked = [question(f"p{n}") for n in range(60)]
    with serving_batches(BatchServer(respond)) as server:
        answers, failures = ask(server, asked)
        assert (len(answers), len(failures)) == (21, 39) and "not now" in failures[59]
        assert not list(FOLDER.glob("*"))
        bad[0] = False
        answers, failures = ask(server, asked[21:])
    assert len(answers) == 39 and not failures


def test_what_a_batch_took_is_counted_once(tmp_path: Path) -> None:
    asked = [question(f"p{n}") for n in range(10)]
    with serving_batches(BatchServer()) as server:
        left_waiting(server, asked)
        for part in (asked[1:5], asked[5:]):
            with teacher(server.url) as asking:
                asking.ask(part, "test")
    # nine of the batch; the one asked at once belonged to the run that was left
    assert sum(row.calls for row in spendings(Path("store.sqlite"))) == 9


def test_a_line_may_hold_what_ends_lines_elsewhere() -> None:
    odd = "one\u2028two\u0085three"

    class Raw(BatchServer):
        def make(self, asked: Body) -> dict[str, Any]:
            batch = super().make(asked)
            name = batch["output_file_id"]
            self.files[name] = self.files[name].replace(b"PLACE", odd.encode())
            return batch

    with serving_batches(Raw(lambda body, n: Reply(chat_reply("PLACE")))) as server:
        answers, failures = ask(server, [question(f"p{n}") for n in range(3)])
    assert not failures and answers[2].text == odd


def test_a_batch_that_the_server_has_forgotten_names_its_file() -> None:
    with serving_batches(BatchServer()) as server:
        left_waiting(server, [question(f"p{n}") for n in range(4)])
        (file,) = FOLDER.glob("*")
        server.batches.clear()
        with pytest.raises(UserError, match=re.escape(str(file))):
            ask(server, [question(f"p{n}") for n in range(1, 4)])


def test_a_broken_file_of_a_batch_is_told() -> None:
    FOLDER.mkdir(parents=True)
    (FOLDER / "x.json").write_text('{"server": 1}')
    with serving_batches(BatchServer()) as server, pytest.raises(UserError, match=r"x\.json: not a batch"):
        ask(server, [question(f"p{n}") for n in range(3)])
