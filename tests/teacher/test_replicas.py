"""Several servers of one model: real ones, in threads, that die, hang, come back, and are not what they should be."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from compeffdist.credentials import KEY_VARIABLE
from compeffdist.errors import UserError
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.asking import Asked, BuyingTeacher
from compeffdist.teacher.placement import beginning, ranked
from compeffdist.teacher.replicas import listed_model, other_model
from compeffdist.teacher.requests import Request
from compeffdist.teacher.spending import spendings
from compeffdist.teacher.store import stored_keys
from tests.teacher.openai_asking import CARD, ask, fast_and_bare, question, top_tokens
from tests.teacher.server import Body, FakeServer, Reply, chat_reply, echo, serving

__all__ = ["fast_and_bare"]
Respond = Callable[[FakeServer, Body, int], Reply]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.teacher.replicas.FIRST_LOOK", 0.05)
    monkeypatch.setattr("compeffdist.teacher.replicas.LONGEST_PAUSE", 0.4)
    monkeypatch.setattr("compeffdist.teacher.pace.FIRST_WAIT", 0.02)
    monkeypatch.setattr("compeffdist.teacher.pace.LONGEST_WAIT", 0.1)


@contextmanager
def replicas(*respond: Respond) -> Iterator[list[FakeServer]]:
    """A server for each way to respond."""
    with ExitStack() as stack:
        servers: list[FakeServer] = []
        for place, one in enumerate(respond):
            answer = lambda body, n, place=place, one=one: one(servers[place], body, n)  # noqa: E731
            servers.append(stack.enter_context(serving(answer)))
        yield servers


def well(server: FakeServer, body: Body, n: int) -> Reply:
    return echo(body, n)


def slowly(server: FakeServer, body: Body, n: int) -> Reply:
    time.sleep(0.02)
    return echo(body, n)


def urls(servers: Sequence[FakeServer]) -> list[str]:
    return [server.url for server in servers]


def prompt_of(body: Body) -> str:
    return str(body["messages"][-1]["content"])


def prompts(*servers: FakeServer) -> Counter[str]:
    """How often each question was sent."""
    return Counter(prompt_of(body) for server in servers for body in server.bodies)


def of(instruction: object, text: object) -> Request:
    return question(f"Instruction {instruction}: judge.\n\nInput: {text}\nOutput:")


def buy(servers: Sequence[FakeServer], folder: Path, requests: Sequence[Request], **settings: Any) -> list[Asked]:
    """Ask through a store, as a stage does."""
    given: dict[str, Any] = {
        "store": str(folder / "store.sqlite"),
        "openai_base_url": urls(servers),
        "concurrency": 8,
        "retries": 2,
    }
    given |= {"busy_seconds": 20.0, "request_timeout_seconds": 20.0}
    runtime = RuntimeParams(**given | settings)
    with BuyingTeacher(CARD, TeacherParams(engine="openai"), runtime, lambda: None) as teacher:
        return teacher.ask(requests, "test")


# ---------------------------------------------------------------- who is asked what


def test_questions_go_to_all_replicas_and_each_is_asked_once() -> None:
    with replicas(slowly, slowly, slowly) as servers:
        answers, failures = ask(urls(servers), [of(n, "x") for n in range(90)], concurrency=4)
    assert len(answers) == 90 and not failures
    assert set(prompts(*servers).values()) == {1}
    assert all(len(server.bodies) >= 10 for server in servers)
    assert all(server.peak <= 4 for server in servers)


def test_questions_that_begin_alike_go_to_the_same_replica_and_nobody_is_idle() -> None:
    asked = [of(instruction, text) for instruction in range(12) for text in range(20)]
    with replicas(slowly, slowly) as servers:
        ask(urls(servers), asked, concurrency=4)
        by = {number: {prompt_of(b).partition(":")[0] for b in s.bodies} for number, s in enumerate(servers)}
        homes = {f"Instruction {n}": ranked(beginning(of(n, "")), urls(servers))[0] for n in range(12)}
        assert len(by[0] & by[1]) <= 1
        assert all(len(server.bodies) > 60 for server in servers)
        # each began with its own
        for server in servers:
            firsts = {prompt_of(body).partition(":")[0] for body in server.bodies[:8]}
            own = {instruction for instruction, home in homes.items() if home == server.url}
            assert firsts <= own or not own


def test_a_replica_that_says_to_wait_is_waited_for_by_nobody_else() -> None:
    def busy(server: FakeServer, body: Body, n: int) -> Reply:
        return Reply({"error": "busy"}, status=429, headers={"Retry-After": "1"}) if not n else echo(body, n)

    with replicas(busy, well) as servers:
        answers, failures = ask(urls(servers), [of(n, "x") for n in range(60)], concurrency=2, busy_seconds=20.0)
    assert len(answers) == 60 and not failures
    assert len(servers[1].bodies) >= 56
    assert set(prompts(servers[1]).values()) == {1}


def test_what_one_refuses_is_not_held_against_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def strict(server: FakeServer, body: Body, n: int) -> Reply:
        return Reply({"error": "seed is not supported"}, status=400) if "seed" in body else echo(body, n)

    with replicas(strict, well) as servers:
        answers, _ = ask(urls(servers), [of(n, "x") for n in range(40)], concurrency=1)
    assert len(answers) == 40
    assert sum("seed" in body for body in servers[0].bodies) == 1
    assert len(servers[1].bodies) and all("seed" in body for body in servers[1].bodies)
    assert capsys.readouterr().err.count("refuses seed") == 1


def test_one_address_in_a_list_is_as_one_alone() -> None:
    with serving() as server:
        answers, _ = ask([server.url], [question("a")])
    assert answers[0].text == "echo: a"


# ---------------------------------------------------------------- one that goes


def dying(at: int, seconds: float | None) -> Respond:
    """Dies at its so-manieth question."""
    lock, dead = threading.Lock(), list[bool]()

    def respond(server: FakeServer, body: Body, n: int) -> Reply:
        with lock:
            if len(server.bodies) >= at and not dead:
                dead.append(True)
                server.close_for(seconds)
                return Reply(hang_up=True)
        return echo(body, n)

    return respond


@pytest.mark.parametrize("retries", [0, 2])
def test_one_that_is_killed_costs_no_question_and_only_what_was_in_flight_is_asked_twice(
    retries: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [of(n % 9, n) for n in range(300)]
    with replicas(dying(40, None), well) as servers:
        got = buy(servers, tmp_path, asked, retries=retries)
        gone = servers[0].url
    assert [one.reason for one in got if not one.answer] == []
    sent = prompts(*servers)
    assert len(sent) == 300 and max(sent.values()) == 2
    assert 1 <= sum(sent.values()) - 300 <= 8
    assert len(stored_keys(tmp_path / "store.sqlite")) == 300
    told = capsys.readouterr().err
    assert told.count(f"{gone} is gone (") == told.count("is gone (") == 1 and "is there again" not in told


def test_one_that_comes_back_is_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with replicas(dying(20, 0.3), slowly) as servers:
        got = buy(servers, tmp_path, [of(n, "x") for n in range(400)], concurrency=4)
        assert all(one.answer for one in got)
        assert len(servers[0].bodies) > 40
        assert sum(prompts(*servers).values()) - 400 <= 4
        told = capsys.readouterr().err
    assert told.count("is gone (") == told.count(f"{servers[0].url} is there again") == 1


@pytest.mark.parametrize("all_of_it", [True, False], ids=["the whole server", "only its answers"])
def test_one_that_hangs_is_left_when_time_runs_out(
    all_of_it: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()

    def hang() -> None:
        ended.wait(30)

    def hanging(server: FakeServer, body: Body, n: int) -> Reply:
        if len(server.bodies) > 10:
            server.on_models = hang if all_of_it else server.on_models
            ended.wait(30)
        return echo(body, n)

    with replicas(hanging, slowly) as servers:
        try:
            asked = [of(n, "x") for n in range(150)]
            got = buy(servers, tmp_path, asked, request_timeout_seconds=1.0, concurrency=4)
        finally:
            ended.set()
    assert [one.reason for one in got if not one.answer] == []
    assert set(prompts(servers[1]).values()) == {1}
    assert capsys.readouterr().err.count("is gone (nothing is answered in time)") == 1


def test_one_whose_gateway_finds_it_no_more_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(server: FakeServer, body: Body, n: int) -> Reply:
        return echo(body, n) if len(server.bodies) <= 20 else Reply(raw=b"<html>", status=502)

    with replicas(failing, slowly) as servers:
        got = buy(servers, tmp_path, [of(n, "x") for n in range(300)], concurrency=16)
    assert [one.reason for one in got if not one.answer] == []
    assert capsys.readouterr().err.count("is gone (status 502)") == 1


def test_one_that_is_not_there_at_first_keeps_nobody_waiting(capsys: pytest.CaptureFixture[str]) -> None:
    with replicas(well, well) as servers:
        servers[0].close_for(None)
        answers, _ = ask(urls(servers), [of(n, "x") for n in range(30)])
    assert len(answers) == 30
    assert f"{servers[0].url} is gone (connection refused)" in capsys.readouterr().err


def test_what_was_answered_of_a_question_is_not_bought_again_elsewhere(tmp_path: Path) -> None:
    """Labels were weighed, which did not decide; then the replica that was to choose dies."""
    died = threading.Lock()

    def respond(server: FakeServer, body: Body, n: int) -> Reply:
        if "logprobs" in body:
            return top_tokens({"1": 1.0})
        if died.acquire(blocking=False):
            server.close_for(None)
            return Reply(hang_up=True)
        return Reply(chat_reply('{"answer": "10"}'))

    with replicas(respond, respond) as servers:
        (got,) = buy(servers, tmp_path, [Request.likelihood("s", "how many?", ("1", "10"))])
    assert got.answer is not None and (got.answer.text, got.answer.kind) == ("10", "chosen")
    bodies = [body for server in servers for body in server.bodies]
    assert len(bodies) == 3 and sum("logprobs" in body for body in bodies) == 1
    (row,) = spendings(tmp_path / "store.sqlite")
    assert row.calls == 2


@pytest.mark.parametrize("how", ["500", "hung up", "no answer"])
def test_a_question_that_no_replica_answers_is_a_reject_and_the_run_goes_on(how: str, tmp_path: Path) -> None:
    ended = threading.Event()

    def respond(server: FakeServer, body: Body, n: int) -> Reply:
        if "bad" not in prompt_of(body):
            return slowly(server, body, n)
        if how == "no answer":
            ended.wait(30)
        return Reply(hang_up=True) if how == "hung up" else Reply({"error": "oops"}, status=500)

    with replicas(respond, respond) as servers:
        try:
            asked = [of(n, "bad" if n == 30 else n) for n in range(60)]
            got = buy(servers, tmp_path, asked, retries=1, concurrency=2, request_timeout_seconds=1.0)
        finally:
            ended.set()
    assert [bool(one.answer) for one in got] == [n != 30 for n in range(60)]
    assert {"500": "answered 500 oops", "hung up": "connection lost", "no answer": "no answer within"}[how] in got[
        30
    ].reason
    assert prompts(*servers)[asked[30].prompt] <= 4


def test_a_question_that_ends_every_replica_is_given_up_in_the_end(tmp_path: Path) -> None:
    def respond(server: FakeServer, body: Body, n: int) -> Reply:
        if "bad" in prompt_of(body):
            server.close_for(0.05)
            return Reply(hang_up=True)
        return echo(body, n)

    with replicas(respond, respond) as servers:
        got = buy(servers, tmp_path, [of(n, "bad" if n == 5 else n) for n in range(20)], retries=1)
    assert [bool(one.answer) for one in got] == [n != 5 for n in range(20)]
    assert "its server was gone each of 8 times that it was asked" in got[5].reason


# ---------------------------------------------------------------- when none is left


def test_when_all_are_gone_the_run_ends_after_its_patience_and_what_came_is_kept(tmp_path: Path) -> None:
    with replicas(dying(30, None), dying(30, None)) as servers:
        began = time.monotonic()
        with pytest.raises(
            UserError, match=r"none of 2 servers can be asked: .*\(no connection\); check runtime.openai_base_url"
        ):
            buy(servers, tmp_path, [of(n, "x") for n in range(200)], busy_seconds=0.5)
        assert time.monotonic() - began >= 0.5
    assert len(stored_keys(tmp_path / "store.sqlite")) >= 40


def test_when_all_are_gone_for_a_while_no_question_is_lost(tmp_path: Path) -> None:
    with replicas(dying(30, 0.6), dying(30, 0.3)) as servers:
        got = buy(servers, tmp_path, [of(n, "x") for n in range(200)], retries=0)
    assert [one.reason for one in got if not one.answer] == []


def test_when_none_is_there_at_first_the_run_ends_at_once(tmp_path: Path) -> None:
    with replicas(well, well) as servers:
        for server in servers:
            server.close_for(None)
        with pytest.raises(UserError, match=r"none of 2 servers can be asked: .*connection refused"):
            buy(servers, tmp_path, [question("a")], busy_seconds=600.0)


def test_what_no_other_would_mend_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret-1")

    def refusing(server: FakeServer, body: Body, n: int) -> Reply:
        return Reply({"error": "bad key sk-secret-1"}, status=401)

    with (
        replicas(refusing, slowly) as servers,
        pytest.raises(UserError, match=rf"answered 401 bad key \*\*\*; check .* and {KEY_VARIABLE}$"),
    ):
        ask(urls(servers), [of(n, "x") for n in range(50)])


# ---------------------------------------------------------------- one key each, one budget, one model


def test_each_server_may_have_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with replicas(well, well) as servers:
        word = servers[0].url.partition("//")[2].partition("/")[0].replace(".", "_").replace(":", "_")
        monkeypatch.setenv(KEY_VARIABLE, "sk-of-all-1")
        monkeypatch.setenv(f"{KEY_VARIABLE}_{word}", "sk-of-one-1")
        ask(urls(servers), [of(n, "x") for n in range(30)])
    assert [server.keys for server in servers] == [{"Bearer sk-of-one-1"}, {"Bearer sk-of-all-1"}]


def test_a_budget_holds_for_all_together(tmp_path: Path) -> None:
    with replicas(well, well) as servers:
        with pytest.raises(UserError, match=r"runtime\.budget\.total\.calls is 50: 50 spent"):
            buy(servers, tmp_path, [of(n, "x") for n in range(200)], budget={"total": {"calls": 50}})
        assert sum(prompts(*servers).values()) == 50
        assert all(server.bodies for server in servers)
    (row,) = spendings(tmp_path / "store.sqlite")
    assert (row.calls, row.answers) == (50, 50)


def listing(**model: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": "some-model", "object": "model", **model}]}


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (listing(root="/data/big"), listing(root="/data/small"), r"root is 'big' and 'small'"),
        (listing(max_model_len=4096), listing(max_model_len=8192), r"max_model_len is '4096' and '8192'"),
        (listing(meta={"n_params": 7}), listing(meta={"n_params": 8}), r"meta is "),
        (listing(), {"data": [{"id": "small"}]}, r"lists no model 'some-model', which .* does"),
    ],
)
def test_replicas_of_different_models_are_refused_before_anything_is_asked(one: Any, other: Any, told: str) -> None:
    with replicas(well, well) as servers:
        servers[0].models, servers[1].models = one, other
        with pytest.raises(UserError, match=rf"^runtime\.openai_base_url: .*{told}.*all must serve one model"):
            ask(urls(servers), [question("a")])
        assert not prompts(*servers)


def test_that_replicas_do_not_say_what_they_serve_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with replicas(well, well, well) as servers:
        servers[0].models, servers[1].models_status = listing(), 404
        ask(urls(servers), [of(n, "x") for n in range(9)])
        lines = [line for line in capsys.readouterr().err.splitlines() if "not known" in line]
        assert lines == [
            f"not known of {servers[1].url}, {servers[2].url}: whether it is the same model 'some-model'; taken to be"
        ]


def test_one_that_comes_back_with_another_model_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock, dead = threading.Lock(), list[int]()

    def changing(server: FakeServer, body: Body, n: int) -> Reply:
        with lock:
            if len(server.bodies) >= 20 and not dead:
                dead.append(len(server.bodies))
                server.models = listing(root="/data/small")
                server.close_for(0.2)
                return Reply(hang_up=True)
        return echo(body, n)

    with replicas(changing, slowly) as servers:
        for server in servers:
            server.models = listing(root="/data/big")
        got = buy(servers, tmp_path, [of(n, "x") for n in range(200)], concurrency=4)
    assert all(one.answer for one in got)
    assert len(servers[0].bodies) <= dead[0] + 4
    assert capsys.readouterr().err.count("is left out: ") == 1


@pytest.mark.parametrize("listed", [None, [], "x", {}, {"data": None}, {"data": [7, None]}, {"data": "x"}])
def test_what_says_nothing_of_models_is_no_finding(listed: Any) -> None:
    assert listed_model(listed, "m") is None
    assert other_model("m", {"a": listed, "b": {"data": [{"id": "m", "root": "x"}]}}) == ""


def test_versions_and_paths_of_a_name_are_the_same_model() -> None:
    lists = {"a": {"data": [{"id": "org/m:latest"}]}, "b": {"data": [{"id": "else"}, {"id": "m", "root": "/x/m/"}]}}
    lists["c"] = {"data": [{"id": "m", "root": "/y/z/m"}]}
    assert other_model("m", lists) == ""


def test_credentials_of_an_address_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with replicas(well, well) as servers:
        servers[0].close_for(None)
        first = servers[0].url.replace("//", "//me:pass-word1@") + "?token=abc-secret-abc"
        ask([first, servers[1].url], [of(n, "x") for n in range(9)])
        servers[1].close_for(None)
        with pytest.raises(UserError) as caught:
            ask([first, servers[1].url.replace("//", "//you:pass-word2@")], [question("a")])
    told = capsys.readouterr().err + str(caught.value)
    assert "is gone (" in told and not any(secret in told for secret in ("word1", "word2", "secret", "me:"))
