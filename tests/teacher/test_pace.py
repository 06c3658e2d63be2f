"""A server that is too busy is asked less and waited for, and that costs no attempt."""

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from compeffdist.errors import UserError
from compeffdist.teacher.pace import DOWN, NAMED_AT_MOST, Pace, is_busy, named_wait
from tests.teacher.openai_asking import ask, fast_and_bare, question
from tests.teacher.server import Body, Reply, chat_reply, echo, serving

__all__ = ["fast_and_bare"]
BUSY = {"error": {"message": "Rate limit reached"}}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.teacher.pace.FIRST_WAIT", 0.02)
    monkeypatch.setattr("compeffdist.teacher.pace.LONGEST_WAIT", 0.1)


def test_waiting_burns_no_attempt() -> None:
    refusals = 6

    def respond(body: Body, n: int) -> Reply:
        return Reply(BUSY, status=429) if n < refusals else echo(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("a")], retries=0, busy_seconds=30.0)
    assert not failures and answers[0].text == "echo: a"
    assert len(server.bodies) == refusals + 1


@pytest.mark.parametrize("form", ["seconds", "date", "milliseconds"])
def test_nobody_sends_before_the_time_that_the_server_names(form: str) -> None:
    refused: list[float] = []
    sent: list[float] = []
    lock = threading.Lock()

    def respond(body: Body, n: int) -> Reply:
        with lock:
            sent.append(time.monotonic())
            if not refused:
                refused.append(time.monotonic())
                moment = datetime.now(UTC) + timedelta(seconds=2)
                headers = {
                    "seconds": {"Retry-After": "1"},
                    "date": {"Retry-After": format_datetime(moment, usegmt=True)},
                    "milliseconds": {"retry-after-ms": "1000"},
                }
                return Reply(BUSY, status=429, headers=headers[form])
        return echo(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question(f"p{n}") for n in range(6)], concurrency=1, busy_seconds=30.0)
    assert len(answers) == 6 and not failures
    assert sent[1] - refused[0] >= 0.9  # a date has whole seconds


def test_a_server_that_bears_four_at_once_is_asked_so_many() -> None:
    flying, refusals, lock = [0], [0], threading.Lock()

    def respond(body: Body, n: int) -> Reply:
        with lock:
            flying[0] += 1
            many = flying[0] > 4
            refusals[0] += many
        time.sleep(0.01)
        with lock:
            flying[0] -= 1
        return Reply(BUSY, status=429) if many else echo(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question(f"p{n}") for n in range(300)], concurrency=64, busy_seconds=60.0)
    assert len(answers) == 300 and not failures
    # at first all that were in flight, later one now and then
    assert refusals[0] < 150


def test_asking_slows_down_once_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def respond(body: Body, n: int) -> Reply:
        return Reply(BUSY, status=429) if len(server.bodies) <= 16 else echo(body, n)

    with serving(respond) as server:
        answers, _ = ask(server.url, [question(f"p{n}") for n in range(60)], concurrency=16, busy_seconds=60.0)
    assert len(answers) == 60
    said = capsys.readouterr().err
    assert said.count("is too busy: asked") == 1 and "more again as it answers" in said


def test_asking_grows_again_by_one_for_as_many_answers_as_go_out_at_once() -> None:
    pace = Pace(16, 60.0)
    for _ in range(3):
        pace.slow_down(time.monotonic())
    assert pace.limit == 2
    for _ in range(2):
        pace.answered(time.monotonic())
    assert 2.8 < pace.limit <= 3
    for _ in range(200):
        pace.answered(time.monotonic())
    assert pace.limit == 16


def test_an_answer_that_was_on_its_way_before_the_failures_does_not_say_that_the_server_is_back() -> None:
    pace, before = Pace(16, 60.0), time.monotonic()
    for n in range(DOWN - 1):
        assert not pace.failed(bytes([n]))
        pace.answered(before)
    assert pace.failed(b"the last")
    pace.answered(time.monotonic())
    assert not pace.failed(b"one more")


def test_of_those_that_were_in_flight_together_one_slows_down() -> None:
    pace = Pace(32, 60.0)
    sent = [time.monotonic() for _ in range(32)]
    assert [pace.slow_down(one) for one in sent].count(True) == 1
    assert pace.limit == 16


def test_patience_has_an_end() -> None:
    def respond(body: Body, n: int) -> Reply:
        return Reply(BUSY, status=429)

    with serving(respond) as server:
        began = time.monotonic()
        answers, failures = ask(server.url, [question(f"p{n}") for n in range(3)], retries=1, busy_seconds=0.5)
        assert time.monotonic() - began < 8
    assert not answers and all("429" in reason for reason in failures.values())


def test_a_time_beyond_the_patience_is_not_waited_for() -> None:
    def respond(body: Body, n: int) -> Reply:
        return Reply(BUSY, status=429, headers={"Retry-After": "500"})

    with serving(respond) as server:
        began = time.monotonic()
        _, failures = ask(server.url, [question("a")], retries=0, busy_seconds=20.0)
        assert failures and time.monotonic() - began < 5


def test_a_used_up_quota_is_not_waited_for() -> None:
    def respond(body: Body, n: int) -> Reply:
        return Reply({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, status=429)

    with serving(respond) as server, pytest.raises(UserError, match="429 You exceeded your quota"):
        ask(server.url, [question("a")], busy_seconds=30.0, retries=0)


def test_time_outs_slow_asking_down() -> None:
    """A server that takes longer the more it is asked at once: at eight nobody is answered in time, at two all are."""
    flying, lock = [0], threading.Lock()

    def respond(body: Body, n: int) -> Reply:
        with lock:
            flying[0] += 1
            many = flying[0] > 3
        time.sleep(1.0 if many else 0.02)
        with lock:
            flying[0] -= 1
        return Reply(chat_reply("fine"))

    with serving(respond) as server:
        asked = [question(f"p{n}") for n in range(24)]
        answers, failures = ask(server.url, asked, concurrency=8, retries=5, request_timeout_seconds=0.6)
    assert len(answers) >= 20, failures


def test_a_connection_that_is_lost_costs_its_attempt_however_many_are() -> None:
    """What was asked on it may have been paid for."""

    def respond(body: Body, n: int) -> Reply:
        return echo(body, n) if len(server.bodies) <= 4 else Reply(hang_up=True)

    with serving(respond) as server:
        asked = [question(f"p{n}") for n in range(15)]
        answers, failures = ask(server.url, asked, retries=1, busy_seconds=30.0, concurrency=4)
    assert len(answers) == 4
    assert len(failures) == 11 and all("connection lost" in reason for reason in failures.values())
    assert len(server.bodies) == 4 + 2 * 11


def test_a_run_that_has_ended_sends_no_more() -> None:
    """Also of those that wait for a busy server."""

    def respond(body: Body, n: int) -> Reply:
        prompt = body["messages"][-1]["content"]
        if prompt == "a":
            return Reply({"error": {"message": "not yours"}}, status=401, delay=0.5)
        return Reply(BUSY, status=429, headers={"Retry-After": "1"}) if prompt < "e" and not n else echo(body, n)

    with serving(respond) as server:
        with pytest.raises(UserError, match="not yours"):
            ask(server.url, [question(p) for p in "abcdefghij"], concurrency=4, busy_seconds=30.0)
        time.sleep(0.2)
        assert {body["messages"][-1]["content"] for body in server.bodies} <= set("abcd")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        # the clock of the server may be years from the one here
        ({"retry-after": "Thu, 01 Jan 1970 00:00:07 GMT", "date": "Thu, 01 Jan 1970 00:00:03 GMT"}, 4.0),
        ({"retry-after": "Thu, 01 Jan 2099 00:00:07 GMT", "date": "Thu, 01 Jan 2099 00:00:03 GMT"}, 4.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT", "date": "now"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": str(NAMED_AT_MOST + 1)}, None),
        ({}, None),
    ],
)
def test_what_a_server_says_of_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert named_wait(headers) == seconds


def test_who_is_busy() -> None:
    assert is_busy(429, {}, "slow down") and is_busy(529, {}, "")
    assert is_busy(503, {"retry-after": "2"}, "") and not is_busy(503, {}, "")
    assert not is_busy(500, {"retry-after": "2"}, "")
    assert not is_busy(429, {}, '{"error": {"code": "insufficient_quota"}}')
