"""Chat requests by a server's batch API (OpenAI's form): a file of requests up, a file of replies down, within a day.

    upload a file of lines {"custom_id", "method", "url", "body"} -> POST /batches -> GET /batches/ID until it has
    ended -> download its output and its errors: lines {"custom_id", "response": {"status_code", "body"}, "error"}

A batch is paid for once it is made, so what is known of it is kept in a file: its uploaded requests before it is made,
its id after, and what had been learned of the server by then. A run that was killed between the two looks for a batch
of that upload at the server, one that was killed later goes on waiting, and one that was killed while it read the
replies reads them again, which costs nothing. A request leaves the file when its reply has reached whoever asked.

A request is named by its question, its kind and its number among the question's requests of that kind, not by its
bytes: these change with what a server is found not to take.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from compeffdist.canonical import hash_json
from compeffdist.errors import UserError, one_line
from compeffdist.files import read_json, write_json
from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.replies import dig, only_choice, token_counts
from compeffdist.teacher.server_client import Refused, ServerClient
from compeffdist.teacher.server_errors import hidden_status, read_body, reason

FOLDER = Path(".compeffdist/batches")
ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"
MOST_REQUESTS, MOST_BYTES = 50_000, 150_000_000
"""Of a batch; the servers' own bounds are 50,000 requests and 200 MB."""
ENDED = ("completed", "expired", "cancelled", "failed")
LISTED = 100
"""Batches looked through for one that was made, though its id never came."""
QUESTION: ContextVar[str] = ContextVar("question")
"""What a task asks on behalf of, in a few characters."""


@dataclass(frozen=True)
class Job:
    """A batch as it is kept."""

    server: str
    """Where it was made."""
    input_file: str
    """Id of the uploaded requests."""
    batch: str
    """Its id; empty until the server has said it."""
    requests: tuple[str, ...]
    """Names of those whose replies have not reached whoever asked."""
    learned: Mapping[str, Any]
    """What was known of the server when it was made."""
    made: float
    """When, in seconds since the epoch; after those kept before it, though the clock was set back."""
    counted: bool = False
    """Whether what it took is in the ledger."""

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return FOLDER / f"{hash_json([self.server, self.input_file])[:16]}.json"

    def keep(self) -> None:
        """Write it down; without requests that are waited for it goes."""
        if self.requests:
            write_json(self.path, asdict(self))
        else:
            self.path.unlink(missing_ok=True)


def kept_jobs(server: str) -> list[Job]:
    """The batches of a server whose answers have not all arrived, the oldest first. Raises UserError if a file of them
    is broken."""
    jobs = []
    for path in sorted(FOLDER.glob("*.json")):
        try:
            kept = read_json(path)
            job = Job(**{**kept, "requests": tuple(kept["requests"])})
        except (KeyError, TypeError):
            told = "not a batch that this version can read; move it away to buy its answers again"
            raise UserError(f"{path}: {told}") from None
        if job.server == server:
            jobs.append(job)
    return sorted(jobs, key=lambda job: job.made)


class BatchClient(ServerClient):
    """A client whose chat requests wait for one another: `run_round` sends those that wait, all at once."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.at_once = False
        """Whether requests are sent one by one instead."""
        self.waiting: dict[str, tuple[dict[str, Any], asyncio.Future[dict[str, Any]]]] = {}
        self.held = 0
        """Those who wait for them."""
        self.asked: Counter[str] = Counter()
        """Requests of a question and kind so far."""
        self.taken: dict[Path, tuple[Job, set[str]]] = {}
        """Batches of which replies were handed out, and which."""

    async def _posted(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.at_once:
            return await super()._posted(body)
        kind = "weighed" if "logprobs" in body else "held" if "response_format" in body else "plain"
        name = f"{QUESTION.get()}-{kind}"
        self.asked[name] += 1
        name += f"-{self.asked[name]}"
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting[name] = body, future
        self.held += 1
        return await future

    async def run_round(self, poll: float, learned: Mapping[str, Any]) -> None:
        """Send what waits, in one batch or more, but for what an earlier batch was asked; hand out the replies.

        Args:
            poll: seconds from one look at a batch to the next.
            learned: what is kept with a batch that is made now.

        Raises:
            UserError: the server has no batches, or one of them failed as a whole.
        """
        self._note_counted()
        asked, self.waiting = self.waiting, {}
        jobs = [job for job in kept_jobs(self.place) if asked.keys() & set(job.requests)]
        in_jobs = {name for job in jobs for name in job.requests}
        bodies = {name: body for name, (body, _) in asked.items()}
        jobs += [
            await self._submit(part, bodies, learned) for part in _parts([n for n in asked if n not in in_jobs], bodies)
        ]
        jobs = [await self._known(job) for job in jobs]
        replies: dict[str, dict[str, Any]] = {}
        for job in jobs:
            lines = await self._replies(job, poll)
            if not job.counted:
                self._count(lines.values())
            mine = {name for name in job.requests if name in asked}
            replies |= {name: lines[name] for name in mine if name in lines}
            self.taken[job.path] = job, self.taken.get(job.path, (job, set()))[1] | mine
        self.held = 0
        for name, (body, future) in asked.items():
            try:
                future.set_result(self._reply(replies.get(name), body))
            except RequestFailed as failure:
                future.set_exception(failure)
                future.exception()  # whoever waits for it may have gone

    def done(self) -> None:
        """What was handed out has reached whoever asked: it need not be read again."""
        self._note_counted()
        for job, names in self.taken.values():
            replace(job, requests=tuple(name for name in job.requests if name not in names)).keep()
        self.taken.clear()

    def _note_counted(self) -> None:
        """What the batches read so far took has come into the ledger by now."""
        for path, (job, names) in self.taken.items():
            if not job.counted:
                self.taken[path] = replace(job, counted=True), names
                self.taken[path][0].keep()

    def _count(self, lines: Sequence[Mapping[str, Any]] | Any) -> None:
        for line in lines:
            if dig(line, "response", "status_code") == HTTPStatus.OK and isinstance(
                dig(line, "response", "body"), dict
            ):
                self.meter.count(*token_counts(line["response"]["body"]))

    async def _submit(self, names: Sequence[str], bodies: Mapping[str, Any], learned: Mapping[str, Any]) -> Job:
        lines = [{"custom_id": n, "method": "POST", "url": ENDPOINT, "body": bodies[n]} for n in names]
        content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        upload, file = self.client.files.with_raw_response.create, ("requests.jsonl", content, "application/jsonl")
        made = await self._api(lambda: upload(file=file, purpose="batch"), "upload of a batch")
        now = max([time.time(), *(kept.made + 1e-3 for kept in kept_jobs(self.place))])
        job = Job(self.place, _id(made, "the uploaded file"), "", tuple(names), learned, now)
        job.keep()
        return job

    async def _known(self, job: Job) -> Job:
        """The job with the id of its batch, which is made unless the server has it.

        It is made without retries of the client's: whether a lost reply was that of a batch that is there now, is
        looked up before it is tried again.
        """
        make: Any = self.once.batches.with_raw_response.create
        settings = {"input_file_id": job.input_file, "endpoint": ENDPOINT, "completion_window": WINDOW}
        attempts = 0
        while not job.batch:
            found = await self._made_of(job.input_file)
            if found is None:
                try:
                    found = await self._json(lambda: make(**settings), {})
                except Refused as refusal:
                    job.path.unlink(missing_ok=True)  # it would be refused again
                    raise UserError(f"{self.place}: a batch: {refusal}; {self.hint}") from None
                except RequestFailed as failure:
                    attempts += 1
                    if attempts > self.retries:
                        raise UserError(f"{self.place}: a batch: {failure}; {self.hint}") from None
                    await asyncio.sleep(min(self.timeout, 2.0**attempts))
                    continue
                except UserError:
                    job.path.unlink(missing_ok=True)
                    raise
            job = replace(job, batch=_id(found, "the batch"))
            job.keep()
            print(f"{self.place}: batch {job.batch} of {len(job.requests)} requests", file=sys.stderr)
        return job

    async def _made_of(self, input_file: str) -> dict[str, Any] | None:
        listed = await self._api(lambda: self.client.batches.with_raw_response.list(limit=LISTED), "list of batches")
        entries = listed.get("data")
        entries = entries if isinstance(entries, list) else []
        return next((one for one in entries if dig(one, "input_file_id") == input_file), None)

    async def _replies(self, job: Job, poll: float) -> dict[str, dict[str, Any]]:
        """The lines of a batch's replies, by name, once it has ended."""
        kept, told = f"; what is kept of it is {job.path}", ""
        retrieve = self.client.batches.with_raw_response.retrieve
        while True:
            state = await self._api(lambda: retrieve(job.batch), f"batch {job.batch}", kept)
            status = str(state.get("status"))
            done = f"batch {job.batch}: {status}, {dig(state, 'request_counts', 'completed') or 0} answered"
            if done != told:
                print(one_line(done, 200), file=sys.stderr)
            told = done
            if status in ENDED:
                break
            await asyncio.sleep(poll)
        files = [state.get("output_file_id"), state.get("error_file_id")]
        if status == "failed" and not any(files):
            job.path.unlink(missing_ok=True)
            why = self._masked(reason(dig(state, "errors", "data") or state.get("errors")))
            raise UserError(f"{self.place}: batch {job.batch} failed: {why}; {self.hint}")
        found: dict[str, dict[str, Any]] = {}
        for file in filter(None, files):
            for line in (await self._download(str(file), kept)).split("\n"):
                value = read_body(line)
                if isinstance(value, dict) and isinstance(value.get("custom_id"), str):
                    found.setdefault(value["custom_id"], value)
        return found

    async def _download(self, file: str, kept: str) -> str:
        try:
            return str(await self._text(lambda: self.client.files.with_raw_response.content(file), {}))
        except (RequestFailed, UserError) as failure:
            raise UserError(f"{self.place}: file {file}: {failure}{kept}") from None

    def _reply(self, line: Mapping[str, Any] | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """A reply out of its line. Raises RequestFailed, whatever the fault: the others of the batch are paid for;
        Refused where another form may do."""
        if line is None:
            raise RequestFailed("the batch ended without an answer to it")
        status, reply = dig(line, "response", "status_code"), dig(line, "response", "body")
        if not isinstance(status, int) or not isinstance(reply, dict):
            raise RequestFailed(f"the batch says of it: {self._masked(reason(line.get('error'))) or 'nothing'}")
        status = hidden_status(reply) if status == HTTPStatus.OK else status
        if not status:
            only_choice(reply)
            return reply
        said = reason(reply)
        told = f"server answered {int(status)} {self._masked(said)} in a batch"
        raise Refused(told, said) if self._is_of_the_form(int(status), said, body) else RequestFailed(told)

    async def _api(self, call: Callable[[], Awaitable[Any]], what: str, kept: str = "") -> dict[str, Any]:
        """What a call of the batch API answers. Raises UserError: without it the run cannot go on."""
        try:
            return await self._json(call, {})
        except RequestFailed as failure:
            raise UserError(f"{self.place}: {what}: {failure}; {self.hint}{kept}") from None
        except UserError as error:
            raise UserError(f"{error}{kept}") from None


def _parts(names: Sequence[str], bodies: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Names in parts that servers take as one batch."""
    parts: list[list[str]] = []
    size = 0
    for name in names:
        length = len(json.dumps(bodies[name])) + len(name) + 100
        if not parts or len(parts[-1]) >= MOST_REQUESTS or size + length > MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(name)
        size += length
    return parts


def _id(value: Mapping[str, Any], what: str) -> str:
    if not isinstance(found := value.get("id"), str) or not found:
        raise UserError(f"the server gave {what} no id")
    return found
