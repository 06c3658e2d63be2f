"""A run against a teacher that misbehaves ends with every question accounted for, and keeps all that was paid for."""

import multiprocessing
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from compeffdist.errors import run_guarded
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.asking import Asked, BuyingTeacher
from compeffdist.teacher.spending import spendings
from compeffdist.teacher.store import stored_answers, stored_keys
from tests.teacher.openai_asking import CARD, ask, fast_and_bare, question
from tests.teacher.server import Body, Reply, chat_reply, echo, serving
from tests.teacher.unruly import FAULTS, SLOW, Unruly, said

__all__ = ["fast_and_bare"]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.teacher.pace.FIRST_WAIT", 0.02)
    monkeypatch.setattr("compeffdist.teacher.pace.LONGEST_WAIT", 0.1)


def buy(url: str, folder: Path, prompts: list[str], **settings: Any) -> list[Asked]:
    """Ask through a store, as a stage does."""
    asked = {"store": str(folder / "store.sqlite"), "openai_base_url": url, "concurrency": 32, "busy_seconds": 60.0}
    with BuyingTeacher(
        CARD, TeacherParams(engine="openai"), RuntimeParams(**asked | settings), lambda: None
    ) as teacher:
        return teacher.ask([question(prompt) for prompt in prompts], "test")


@pytest.mark.parametrize("name", [*FAULTS, *SLOW])
def test_each_fault_is_answered_in_the_end_or_a_reject_with_its_reason(name: str) -> None:
    fault = (FAULTS | SLOW)[name]
    unruly = Unruly(0, 1.0, {name: fault})
    with serving(lambda body, n: echo(body, n) if "first" in str(body) else unruly.respond(body, n)) as server:
        answers, failures = ask(
            server.url,
            [question("first"), *(question(f"p{n}") for n in range(3))],
            concurrency=4 if name in SLOW else 1,
            retries=4,
            busy_seconds=20.0,
            request_timeout_seconds=2.5 if name in SLOW else 30.0,
        )
    if fault.reason:
        assert set(failures) == {1, 2, 3}
        assert all(re.search(fault.reason, reason) for reason in failures.values()), failures
    else:
        assert {n: answers[n].text for n in (1, 2, 3)} == {n: fault.kept(f"p{n - 1}") for n in (1, 2, 3)}
    assert answers[0].text == "echo: first"


def test_some_thousand_questions_under_every_fault_are_all_accounted_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One in three meets a fault, every kind of fault many times; then a second run buys what the first rejected."""
    prompts = [f"p{n}" for n in range(3000)]
    unruly = Unruly(seed=14, share=0.33)
    with serving(unruly.respond) as server:
        asked = buy(server.url, tmp_path, prompts)
    answered = {prompt: one.answer.text for prompt, one in zip(prompts, asked, strict=True) if one.answer}
    rejected = {prompt: one.reason for prompt, one in zip(prompts, asked, strict=True) if not one.answer}
    assert len(answered) + len(rejected) == len(prompts)
    assert set(unruly.met) == {"", *FAULTS} and min(unruly.met.values()) >= 5
    for prompt in prompts:
        fault = FAULTS.get(unruly.of(prompt))
        if fault and fault.reason:
            assert re.search(fault.reason, rejected[prompt]), (prompt, unruly.of(prompt), rejected[prompt])
        else:
            assert answered[prompt] == (fault.kept if fault else said)(prompt), unruly.of(prompt)
    # the store has all that was paid for, each under its own question, and nothing else
    stored = stored_answers(tmp_path / "store.sqlite", stored_keys(tmp_path / "store.sqlite"))
    assert stored.keys() == {one.answer_id for one in asked if one.answer}
    assert unruly.paid <= answered.keys()
    (row,) = spendings(tmp_path / "store.sqlite")
    assert (row.answers, row.failures) == (len(answered), len(rejected))
    # and the ledger every reply that came whole, with what it cost; one that was sent twice came once
    assert unruly.sent["cut"] and unruly.sent["twice"]
    assert row.calls == unruly.sent["replies"]
    assert row.prompt_tokens == unruly.sent["prompt_tokens"] > 7 * len(answered)
    assert row.completion_tokens == unruly.sent["completion_tokens"]
    assert row.cached_tokens == unruly.sent["cached_tokens"]
    # what costs an attempt is bounded; waiting is not counted as one
    assert max(unruly.tries.values()) <= 1 + RuntimeParams().retries
    told = capsys.readouterr().err
    assert told.count("too busy") == 1 and told.count("says that model 'somebody-else' answers") == 1
    assert told.count(f"the teacher failed {len(rejected)} of {len(prompts)} requests") == 1


def test_one_question_in_a_run_may_meet_anything_and_the_run_goes_on(tmp_path: Path) -> None:
    """Each fault once, without retries: none ends the run, and none touches another question."""
    faults = {f"{place:02} fault": name for place, name in enumerate(FAULTS)}
    # one by one also where they are asked in the order of the alphabet: many in a row are the server's fault
    prompts = ["00", *(prompt for fault in faults for prompt in (fault, fault.replace("fault", "good")))]

    def respond(body: Body, n: int) -> Reply:
        prompt = body["messages"][-1]["content"]
        return Reply(chat_reply(said(prompt))) if n or prompt not in faults else FAULTS[faults[prompt]].reply(prompt)

    with serving(respond) as server:
        asked = buy(server.url, tmp_path, prompts, retries=0, concurrency=4)
    others = [
        one.answer.text for prompt, one in zip(prompts, asked, strict=True) if one.answer and prompt not in faults
    ]
    assert others == [said(prompt) for prompt in prompts if prompt not in faults]
    assert all(one.answer or one.reason for one in asked)


# ---------------------------------------------------------------- a server that is gone for a while


@pytest.mark.parametrize("how", ["dies", "502"])
def test_a_server_that_is_gone_for_a_while_is_waited_for_and_costs_no_question(
    how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, dying = list[float](), threading.Lock()

    def respond(body: Body, n: int) -> Reply:
        with dying:
            if len(server.bodies) > 60 and not gone:
                if how == "dies":
                    server.close_for(1.5)
                gone.append(time.monotonic() + 1.5)
        if gone and how == "502" and time.monotonic() < gone[0]:
            return Reply(raw=b"<html>", status=502)
        return echo(body, n)

    with serving(respond) as server:
        asked = buy(server.url, tmp_path, [f"p{n}" for n in range(300)], retries=1, concurrency=16)
    assert [one.reason for one in asked if not one.answer] == []
    assert capsys.readouterr().err.count("does not answer (") == 1


def test_a_server_that_stays_gone_ends_the_run_once_patience_does(tmp_path: Path) -> None:
    def respond(body: Body, n: int) -> Reply:
        return echo(body, n) if len(server.bodies) <= 40 else Reply(raw=b"", status=503)

    def run() -> None:
        buy(server.url, tmp_path, [f"p{n}" for n in range(300)], retries=1, concurrency=16, busy_seconds=1.0)

    with serving(respond) as server:
        began = time.monotonic()
        with pytest.raises(SystemExit):
            run_guarded(run)
        assert 1.0 <= time.monotonic() - began < 20
    assert len(stored_keys(tmp_path / "store.sqlite")) == 40


# ---------------------------------------------------------------- Ctrl-C


def _run(url: str, store: Path) -> None:
    run_guarded(lambda: buy(url, store, [f"{n:02}" for n in range(40)], concurrency=2) and None)


def test_ctrl_c_keeps_what_was_paid_for(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    once, ended = threading.Lock(), threading.Event()

    def respond(body: Body, n: int) -> Reply:
        if len(server.bodies) >= 21 and once.acquire(blocking=False):
            os.kill(int(process.pid or 0), signal.SIGINT)
            ended.wait(60)  # this one never gets its answer
        return Reply(chat_reply(body["messages"][-1]["content"]))

    with serving(respond) as server:
        process = context.Process(target=_run, args=(server.url, tmp_path))
        process.start()
        process.join(60)
        ended.set()
        assert process.exitcode == 130
        before, kept = len(server.bodies), len(stored_keys(tmp_path / "store.sqlite"))
        assert before - 2 <= kept <= before - 1  # two were in flight, one of which may have come
        (row,) = spendings(tmp_path / "store.sqlite")
        assert row.answers == kept
        buy(server.url, tmp_path, [f"{n:02}" for n in range(40)])
        assert len(server.bodies) - before == 40 - kept
