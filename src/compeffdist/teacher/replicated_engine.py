"""Several servers of one model asked as one: who is asked what (`placement`), and who is well (`replicas`).

Each replica has an `OpenAIEngine` of its own, so that its pace, its cool-down and what it refuses are its own; what
they take is counted together. A question whose replica is gone is asked again at another one, from its beginning, but
for requests that were answered: their replies are kept until the question is done, so that none is bought twice.

When all are gone they are waited for as a single server is, for `runtime.busy_seconds`; then the run ends.
"""

import asyncio
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError, one_line
from compeffdist.models import ModelIdentity
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.engine import Engine, OnAnswer, OnFailure, RequestFailed
from compeffdist.teacher.openai_engine import OpenAIEngine
from compeffdist.teacher.pace import ServerGone
from compeffdist.teacher.placement import Placement, beginning
from compeffdist.teacher.replicas import Replica, State, lists_of, not_told, other_model
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.server_client import ServerClient, Unanswered, Unreachable
from compeffdist.teacher.spending import Meter, Spent

MOST_LOSSES = 8
"""Times that a question's replica may go while it is in flight: then it may be what ends them."""


def open_servers(model: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None) -> Engine:
    """The engine for the one server, or the several, of `runtime.openai_base_url`; an `EngineOpener`."""
    several = len(runtime.addresses) > 1
    return (ReplicatedEngine if several else OpenAIEngine)(model, teacher, runtime, folder)


class ReplicatedEngine:
    """Chat completions on the replicas of `runtime.openai_base_url`."""

    name = "openai"

    def __init__(
        self, model: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None
    ) -> None:
        self.runtime, self.starts, self.meter, self.told = runtime, 0, Meter(), False
        each = [runtime.model_copy(update={"openai_base_url": url}) for url in runtime.addresses]
        self.engines = [OpenAIEngine(model, teacher, one, folder) for one in each]
        for engine in self.engines:
            engine.meter, engine.pace.others = self.meter, True
        self.replicas = [Replica(engine) for engine in self.engines]

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """See `Engine.answer`."""
        try:
            asyncio.run(self._answer(requests, on_answer, on_failure))
        finally:
            for engine in self.engines:
                engine.keep_findings()

    def at_most(self, request: Request) -> Spent:
        """See `Engine.at_most`: whichever replica answers, what one was told is not bought of another."""
        each = [engine.at_most(request) for engine in self.engines]
        return Spent(
            max(one.calls for one in each),
            max(one.prompt_tokens for one in each),
            0,
            max(one.completion_tokens for one in each),
        )

    def close(self) -> None:
        """Nothing is held between calls."""

    async def _answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        async with AsyncExitStack() as stack:
            for replica, engine in zip(self.replicas, self.engines, strict=True):
                replica.client = await stack.enter_async_context(engine.open_client(ServerClient))
                replica.flying.clear()
            await asyncio.gather(*(look_at(replica) for replica in self.replicas if replica.is_there))
            self._compare()
            await Round(self.replicas, self.runtime.busy_seconds, requests, on_answer, on_failure).run()

    def _compare(self) -> None:
        """Raises UserError if the replicas' lists of models say that they do not serve the same one; says once where
        they do not say enough."""
        if self.told:
            return
        self.told = True
        model, lists = self.replicas[0].engine.model, lists_of(self.replicas)
        if why := other_model(model, lists):
            raise UserError(
                f"runtime.openai_base_url: {why}; all must serve one model, as answers are kept by its name"
            )
        if silent := not_told(model, lists):
            places = one_line(", ".join(silent), 300)
            print(f"not known of {places}: whether it is the same model {model!r}; taken to be", file=sys.stderr)


async def look_at(replica: Replica) -> None:
    """See whether a replica is there, and what it says of its models."""
    try:
        await replica.client.check()
    except Unreachable as error:
        replica.go(error.why)
    else:
        replica.listed = replica.client.listed or replica.listed


class Told:
    """Passes requests of one question on to a server, but for those that were answered before, by whichever server."""

    def __init__(self, client: ServerClient, replies: dict[str, dict[str, Any]]) -> None:
        self.client, self.replies = client, replies
        self.place = client.place

    async def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """See `ServerClient.chat`."""
        key = canonical_json(body)
        if key not in self.replies:
            self.replies[key] = await self.client.chat(body)
        return self.replies[key]

    async def complete(self, body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """See `ServerClient.complete`."""
        key = canonical_json([body, extra])
        if key not in self.replies:
            self.replies[key] = await self.client.complete(body, extra)
        return self.replies[key]


class Round:
    """Questions that are put to replicas, until each is answered or failed.

    Args:
        patience: seconds that all replicas may be gone.
    """

    def __init__(
        self,
        replicas: list[Replica],
        patience: float,
        requests: Sequence[Request],
        on_answer: OnAnswer,
        on_failure: OnFailure,
    ) -> None:
        self.replicas, self.patience, self.requests = replicas, patience, requests
        self.on_answer, self.on_failure, self.left = on_answer, on_failure, len(requests)
        self.placement = Placement([beginning(request) for request in requests], self._homes())
        self.replies: defaultdict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
        """What was answered of questions that are not done, by the requests' contents."""
        self.losses = Counter[int]()
        self.tasks: set[asyncio.Task[None]] = set()
        self.errors: list[BaseException] = []
        self.changed = asyncio.Event()
        self.silent_since: float | None = None
        """When all replicas were gone, if nothing was answered since."""

    async def run(self) -> None:
        """Raises UserError if no replica is left, or one says what no other would mend, such as a wrong key."""
        try:
            for replica in self.replicas:
                if replica.state is State.GONE:
                    self.begin(self._regain(replica))
            while self.left:
                self._place()
                try:
                    async with asyncio.timeout(self._until_next()):
                        await self.changed.wait()
                except TimeoutError:
                    pass
                self.changed.clear()
                if self.errors:
                    raise self.errors[0]
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    def _homes(self) -> list[str]:
        return [replica.name for replica in self.replicas if replica.state is State.WELL]

    def _place(self) -> None:
        """Give questions to free slots, to the least busy replica first."""
        while True:
            free = [replica for replica in self.replicas if replica.has_slot and not replica.closed_for()]
            for replica in sorted(free, key=lambda replica: len(replica.flying)):
                index = self.placement.take(replica.name)
                if index is not None:
                    replica.flying[index] = self.begin(self._ask(replica, index))
                    break
            else:
                return

    def _until_next(self) -> float | None:
        """Seconds until something may be done though nothing comes; None: nothing can. Raises UserError if all are gone
        for longer than patience."""
        if any(replica.is_there for replica in self.replicas):
            closed = [replica.closed_for() for replica in self.replicas if replica.has_slot]
            return min(filter(None, closed), default=None) if self.placement.waiting else None
        now = time.monotonic()
        self.silent_since = now if self.silent_since is None else self.silent_since
        left = self.silent_since + self.patience - now
        if left <= 0 or not any(replica.engine.pace.there for replica in self.replicas):
            seen = "; ".join(f"{replica.name} ({replica.why})" for replica in self.replicas)
            hint = self.replicas[0].client.hint
            raise UserError(f"none of {len(self.replicas)} servers can be asked: {one_line(seen, 400)}; {hint}")
        return left

    def join(self, replica: Replica) -> None:
        """Have one more replica to ask."""
        self.replicas.append(replica)
        if replica.state is State.GONE:
            self.begin(self._regain(replica))
        self.placement.move(self._homes())
        self.changed.set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done beside; what it raises ends the round, as this ends it."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self.changed.set()
        if not task.cancelled() and (error := task.exception()):
            self.errors.append(error)

    # ---------------------------------------------------------------- one question

    async def _ask(self, replica: Replica, index: int) -> None:
        done: Callable[[], None]
        try:
            told = Told(replica.client, self.replies[index])
            answer = await replica.engine.answer_one(told, self.requests[index])
        except (ServerGone, Unreachable) as gone:
            late = isinstance(gone, ServerGone) and not gone.in_time
            done = partial(self._lost, replica, index, gone.why, late)
        except Unanswered as failure:
            if why := await replica.client.why_gone():
                done = partial(self._lost, replica, index, why)
            else:
                done = partial(self._unanswered, replica, index, str(failure))
        except RequestFailed as failure:
            done = partial(self._failed, replica, index, str(failure))
        else:
            done = partial(self._answered, replica, index, answer)
        # else it was given up in the same moment, and is another one's by now
        if replica.flying.get(index) is asyncio.current_task():
            del replica.flying[index]
            done()

    def _answered(self, replica: Replica, index: int, answer: Answer) -> None:
        self._heard_of(replica)
        self._is_done(index)
        self.on_answer(index, answer)

    def _failed(self, replica: Replica, index: int, reason: str) -> None:
        """A replica has answered, but there is no answer in it."""
        self._heard_of(replica)
        self._give_up(index, reason)

    def _unanswered(self, replica: Replica, index: int, reason: str) -> None:
        """All attempts at a question have failed: those who are well are tried before it is given up."""
        if replica.state is State.ON_TRIAL:
            self._lose(replica, reason)
        if self._untried(index, replica, State.WELL):
            self.placement.put_back(index, replica.name)
        else:
            self._give_up(index, reason)

    def _lost(self, replica: Replica, index: int, why: str, late: bool = False) -> None:
        """A question was in flight at a replica that is gone; `late`: it was not answered in time."""
        self._lose(replica, why)
        self.losses[index] += 1
        if late and not self._untried(index, replica, *State):
            self._give_up(index, f"no answer within {replica.client.timeout:g} s, at any server")
        elif self.losses[index] >= MOST_LOSSES:
            self._give_up(index, f"its server was gone each of {MOST_LOSSES} times that it was asked: {why}")
        else:
            self.placement.put_back(index, replica.name if late else "")

    def _untried(self, index: int, replica: Replica, *states: State) -> bool:
        """Whether there is another replica in one of these states at which a question was not tried."""
        tried = self.placement.tried.get(index, set()) | {replica.name}
        return any(other.name not in tried and other.state in states for other in self.replicas)

    def _give_up(self, index: int, reason: str) -> None:
        self._is_done(index)
        self.on_failure(index, reason)

    def _is_done(self, index: int) -> None:
        self.left -= 1
        self.replies.pop(index, None)

    # ---------------------------------------------------------------- one replica

    def _heard_of(self, replica: Replica) -> None:
        self.silent_since = None
        if replica.answered():
            self.placement.move(self._homes())

    def _lose(self, replica: Replica, why: str) -> None:
        if replica.go(why):
            self.placement.move(self._homes())
            self.begin(self._regain(replica))

    async def _regain(self, replica: Replica) -> None:
        """Look at a replica that is gone until it is there again."""
        while True:
            await asyncio.sleep(replica.next_pause())
            why = await replica.client.why_gone()
            if not why:
                break
            flying = [*replica.flying.items()]
            replica.flying.clear()
            for index, task in flying:
                task.cancel()
                self._lost(replica, index, why)
            self.changed.set()
        model, lists = replica.engine.model, lists_of(self.replicas)
        listed = replica.client.listed or replica.listed
        if other := other_model(model, lists | {replica.name: listed}):
            replica.leave_out(other)
        else:
            replica.listed = listed
            replica.come_back()
