"""The fence around MLflow's server: who is let in, in which order, and how failures are told."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from compeffdist.params import ServingParams
from compeffdist.registry import arrival, fence
from compeffdist.registry.bounds import TOO_LARGE
from compeffdist.registry.fence import Fence

BODY = b'{"dataframe_records": [{"text": "a"}]}'
Inner = Callable[[bytes], Awaitable[tuple[int, bytes]]]


class Client:
    """One request, as a server hands it to an application."""

    def __init__(self, *parts: bytes, path: str = "/invocations", **headers: str) -> None:
        self.scope = {"type": "http", "method": "POST", "path": path}
        named = {"content_type": "application/json"} | headers
        self.scope["headers"] = [(k.replace("_", "-").encode(), v.encode()) for k, v in named.items()]  # type: ignore[assignment]
        self.parts, self.left, self.sent = list(parts or (BODY,)), asyncio.Event(), list[dict[str, Any]]()

    async def receive(self) -> dict[str, Any]:
        if self.parts:
            part = self.parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self.parts)}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def ask(self, app: Fence) -> tuple[int, Any, dict[bytes, bytes]]:
        async with asyncio.timeout(30):  # a fence that lets in too many is no reason to wait without an end
            await app(self.scope, self.receive, self.send)
        if not self.sent:
            return 0, None, {}
        start, body = self.sent
        return start["status"], json.loads(body["body"]), dict(start["headers"])


def fenced(inner: Inner, **bounds: Any) -> Fence:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        status, body = await inner(message["body"])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return Fence(app, ServingParams(**bounds))


class Work:
    """An application that notes how many requests it is at, and goes on when it is told to."""

    def __init__(self) -> None:
        self.at_once, self.most, self.done, self.go = 0, 0, 0, asyncio.Event()

    async def __call__(self, body: bytes) -> tuple[int, bytes]:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.go.wait()
        self.at_once -= 1
        self.done += 1
        return 200, body


def test_requests_are_answered_one_at_a_time_and_those_beyond_the_queue_told_to_come_back() -> None:
    async def scenario() -> None:
        work = Work()
        app = fenced(work, waiting=3)
        asked = [asyncio.ensure_future(Client().ask(app)) for _ in range(10)]
        await asyncio.sleep(0.05)
        refused = [one.result() for one in asked if one.done()]
        assert [status for status, _, _ in refused] == [503] * 6
        assert {headers[b"retry-after"] for _, _, headers in refused} == {b"1"}
        assert (
            refused[0][1]["error_code"] == "TEMPORARILY_UNAVAILABLE" and "serving.waiting" in refused[0][1]["message"]
        )
        work.go.set()
        answers = await asyncio.gather(*asked)
        assert [status for status, _, _ in answers].count(200) == 4 and (work.most, work.done) == (1, 4)
        assert (await Client().ask(app))[0] == 200  # and all places are free again
        assert app.inside == 0

    asyncio.run(scenario())


def test_a_request_waits_for_its_turn_so_long_and_no_longer() -> None:
    async def scenario() -> None:
        work = Work()
        app = fenced(work, wait_seconds=0.05)
        first = asyncio.ensure_future(Client().ask(app))
        await asyncio.sleep(0.01)
        status, told, _ = await Client().ask(app)
        assert status == 503 and "waited 0.05 s" in told["message"]
        work.go.set()
        assert (await first)[0] == 200

    asyncio.run(scenario())


def test_a_client_that_left_while_it_waited_is_no_work() -> None:
    async def scenario() -> None:
        work, gone = Work(), Client()
        app = fenced(work)
        first, second = (asyncio.ensure_future(client.ask(app)) for client in (Client(), gone))
        await asyncio.sleep(0.01)
        gone.left.set()
        work.go.set()
        await asyncio.gather(first, second)
        assert work.done == 1 and gone.sent == [] and app.inside == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("headers", [{"content_length": "4000"}, {"content_length": "9" * 5000}, {}])
def test_a_body_beyond_its_bound_is_thrown_away_so_that_its_client_hears_why(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        client = Client(*[b"x" * 400] * 10, **headers)
        status, told, answered = await client.ask(fenced(Work(), body_bytes=1000))
        assert status == 413 and "more than 1000 bytes" in told["message"]
        assert client.parts == [] and b"connection" not in answered

    asyncio.run(scenario())


@pytest.mark.parametrize("headers", [{"content_length": "99999999"}, {}])
def test_a_body_without_an_end_is_not_read_to_the_end(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        client = Client(*[b"x" * 400] * 1000, **headers)
        app = fenced(Work(), body_bytes=1000)
        status, _, answered = await client.ask(app)
        assert (status, answered[b"connection"], app.inside) == (413, b"close", 0)
        assert len(client.parts) > 1000 - 4 - 8 * 1000 // 400

    asyncio.run(scenario())


def test_one_that_is_told_to_come_back_hears_it_after_its_body_and_one_that_waits_to_send_sends_none() -> None:
    async def scenario() -> None:
        app = fenced(Work(), waiting=0)
        app.inside = 1
        sending, asking = Client(BODY[:9], BODY[9:]), Client(BODY, expect="100-continue")
        for client, left in ((sending, []), (asking, [BODY])):
            assert (await client.ask(app))[0] == 503
            assert client.parts == left

    asyncio.run(scenario())


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        client = Client()
        client.parts = []
        app = fenced(Work())
        status, told, _ = await client.ask(app)
        assert status == 408 and "was not sent within" in told["message"] and app.inside == 0

    monkeypatch.setattr(arrival, "READ_SECONDS", 0.05)
    asyncio.run(scenario())


class Trickling(Client):
    """One that never sends the end of its body."""

    received = 0

    async def receive(self) -> dict[str, Any]:
        self.received += 1
        if not self.parts:
            await self.left.wait()
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": True}


def silent() -> Trickling:
    client = Trickling()
    client.parts = []
    return client


def test_clients_that_send_nothing_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        work = Work()
        work.go.set()
        app = fenced(work, waiting=1)
        asked = [asyncio.ensure_future(silent().ask(app)) for _ in range(40)]
        await asyncio.sleep(0.05)
        status, _, _ = await Client().ask(app)
        assert status == 200
        await asyncio.sleep(0.05)
        told = [one.result() for one in asked if one.done()]
        assert len(told) == 40 - 2 and asked[0].done() and not asked[-1].done()  # the oldest went
        assert {(status, body["message"]) for status, body, _ in told} == {
            (408, "the body was not sent while others wait to send theirs")
        }
        assert {headers[b"connection"] for _, _, headers in told} == {b"close"}
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert app.inside == 0 and not app.readers.reading

    monkeypatch.setattr(arrival, "READERS", 3)
    asyncio.run(scenario())


def test_bodies_that_are_read_hold_so_many_bytes_together_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        app = fenced(Work(), body_bytes=1000)
        asked = [asyncio.ensure_future(Trickling(b"x" * 900).ask(app)) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert [one.done() for one in asked] == [True, True, True, False, False]
        assert sum(len(body.held) for body in app.readers.reading) == 1800
        for one in asked:
            one.cancel()

    monkeypatch.setattr(arrival, "HELD", 2)
    asyncio.run(scenario())


def test_requests_whose_bodies_came_while_the_last_places_were_taken_are_told_to_come_back() -> None:
    async def scenario() -> None:
        app = fenced(Work(), waiting=0)
        late = Client(BODY)
        hold, receive = asyncio.Event(), late.receive

        async def receive_late() -> dict[str, Any]:
            await hold.wait()
            return await receive()

        late.receive = receive_late  # type: ignore[method-assign]
        told = asyncio.ensure_future(late.ask(app))
        await asyncio.sleep(0.01)
        first = asyncio.ensure_future(Client().ask(app))
        await asyncio.sleep(0.01)
        hold.set()
        assert (await told)[0] == 503 and app.inside == 1
        first.cancel()

    asyncio.run(scenario())


def test_who_sent_nothing_in_time_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client = silent()
    monkeypatch.setattr(arrival, "READ_SECONDS", 0.05)
    status, told, _ = asyncio.run(client.ask(fenced(Work())))
    assert (status, told["message"], client.received) == (408, "the body was not sent within 0.05 s", 1)


def mlflow_error(message: str, code: str = "INVALID_PARAMETER_VALUE", **more: str) -> bytes:
    return json.dumps({"error_code": code, "message": message, "sqlstate": "22023", **more}).encode()


SECRET = "/home/someone/site-packages/x.py"
SAID = f"Failed to predict data '  text\n0 {SECRET}'. \nError: row 1: no task 'nope'"


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ((400, mlflow_error(SAID)), 400, "row 1: no task 'nope'"),
        ((400, mlflow_error("x\nError: too much", reason=TOO_LARGE)), 413, "too much"),
        ((400, mlflow_error("unexpected", "BAD_REQUEST", stack_trace=SECRET)), 500, "the server's log says why"),
        ((500, b"Internal Server Error"), 500, "the server's log says why"),
        ((504, b"Request processing time exceeded limit"), 504, "took longer than the server waits"),
    ],
)
def test_errors_of_the_server_are_one_line_without_traceback_or_texts(
    given: tuple[int, bytes], status: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def inner(_: bytes) -> tuple[int, bytes]:
        return given

    found, error, _ = asyncio.run(Client().ask(fenced(inner)))
    assert found == status and told in error["message"] and set(error) == {"error_code", "message"}
    assert SECRET not in json.dumps(error)
    if b"stack_trace" in given[1]:
        assert SECRET in caplog.text


def test_an_application_that_breaks_is_an_error_of_the_server_and_the_next_is_answered() -> None:
    broken = [True]

    async def inner(body: bytes) -> tuple[int, bytes]:
        if broken.pop() if broken else False:
            raise RuntimeError(SECRET)
        return 200, body

    async def scenario() -> None:
        app = fenced(inner)
        status, told, _ = await Client().ask(app)
        assert status == 500 and SECRET not in json.dumps(told)
        assert (await Client().ask(app))[0] == 200

    asyncio.run(scenario())


def test_what_is_no_invocation_passes() -> None:
    async def scenario() -> None:
        app = fenced(Work(), waiting=0)
        app.inside = 5
        work = asyncio.ensure_future(Client(b"1", path="/ping").ask(app))
        await asyncio.sleep(0.01)
        assert not work.done()  # it is with the application
        work.cancel()

    asyncio.run(scenario())


def test_mlflow_s_own_server_is_fenced_if_it_is_the_one_that_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    import fastapi
    import httpx
    import pandas as pd
    from mlflow import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
    from mlflow.pyfunc import scoring_server

    from compeffdist.registry.model import signature

    class Metadata:
        def get_input_schema(self) -> Any:
            return signature().inputs

        def get_params_schema(self) -> Any:
            return signature().params

    class Model:
        metadata = Metadata()

        def predict(self, data: pd.DataFrame, params: Any = None) -> Any:
            if data["text"][0] == "break":
                raise RuntimeError(SECRET)
            if data["text"][0] == "refuse":
                raise MlflowException("row 1: no", error_code=INVALID_PARAMETER_VALUE)
            return [{"said": text, **(params or {})} for text in data["text"]]

    assert not fence.fence_server(ServingParams())
    monkeypatch.setattr(fastapi, "FastAPI", fastapi.FastAPI)  # put back afterwards
    monkeypatch.setitem(sys.modules, fence.SERVER, fence)
    assert fence.fence_server(ServingParams(rows=2))
    app = scoring_server.init(Model())

    async def ask(rows: list[dict[str, Any]], **more: Any) -> tuple[int, Any]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            answer = await client.post("/invocations", json={"dataframe_records": rows, **more})
            return answer.status_code, answer.json()

    async def scenario() -> None:
        assert await ask([{"text": "a"}, {"text": "b"}]) == (200, {"predictions": [{"said": "a"}, {"said": "b"}]})
        strength = {"prior_strength": 0.5}
        assert (await ask([{"text": "a"}], params=strength))[1] == {"predictions": [{"said": "a", **strength}]}
        assert (await ask([{"text": "a"}] * 3))[0] == 413
        refused = await ask([{"text": "refuse"}])
        assert refused == (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "row 1: no"})
        status, told = await ask([{"text": "break"}])
        assert status == 500 and SECRET not in json.dumps(told) and set(told) == {"error_code", "message"}

    asyncio.run(scenario())
