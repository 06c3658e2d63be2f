"""Chat requests by a server's batch API (OpenAI's form): a file of requests up, a file of replies down, within a day.

    upload a file of lines {"custom_id", "method", "url", "body"} -> POST /batches -> GET /batches/ID until it has
    ended -> download its output and its errors: lines {"custom_id", "response": {"status_code", "body"}, "error"}

A batch is paid for once it is made, so what is known of it is kept in a file, in two steps: its uploaded file before it
is made, its id after. A run that was killed between the two looks for a batch of that file at the server; one that was
killed later goes on waiting; one that was killed while it read the replies reads them again, which costs nothing. The
file goes when every answer has reached whoever asked.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from compeffdist.canonical import hash_json
from compeffdist.errors import UserError, one_line
from compeffdist.files import read_json, write_json
from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.replies import dig
from compeffdist.teacher.server_client import ServerClient
from compeffdist.teacher.server_errors import hidden_status, read_body, reason

FOLDER = Path(".compeffdist/batches")
ENDPOINT = "/v1/chat/completions"
WINDOW = "24h"
MOST_REQUESTS, MOST_BYTES = 50_000, 150_000_000
"""Of a batch; the servers' own bounds are 50,000 requests and 200 MB."""
ENDED = ("completed", "expired", "cancelled", "failed")
LISTED = 100
"""Batches looked through for one that was made just before a kill."""


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
    """Custom ids."""

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return FOLDER / f"{hash_json([self.server, self.input_file])[:16]}.json"

    def keep(self) -> None:
        """Write it down."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_json(self.path, asdict(self))


def kept_jobs(server: str) -> list[Job]:
    """The batches of a server whose answers have not all arrived. Raises UserError if a file of them is broken."""
    jobs = []
    for path in sorted(FOLDER.glob("*.json")):
        try:
            kept = read_json(path)
            job = Job(kept["server"], kept["input_file"], kept["batch"], tuple(kept["requests"]))
        except (KeyError, TypeError):
            told = "not a batch that this version can read; move it away to buy its answers again"
            raise UserError(f"{path}: {told}") from None
        if job.server == server:
            jobs.append(job)
    return jobs


def custom_id(body: Mapping[str, Any]) -> str:
    """The name of a request in a batch: the same for the same request, so that its reply is found again."""
    return hash_json(dict(body))[:32]


class BatchClient(ServerClient):
    """A client whose chat requests wait for one another: `run_round` sends those that wait, all at once."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.at_once = False
        """Whether requests are sent one by one instead."""
        self.waiting: dict[str, tuple[dict[str, Any], asyncio.Future[dict[str, Any]]]] = {}
        self.held = 0
        """Those who wait for them."""
        self.taken: list[Job] = []
        """Batches whose replies were handed out."""

    async def _posted(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.at_once:
            return await super()._posted(body)
        name = custom_id(body)
        if name not in self.waiting:
            self.waiting[name] = body, asyncio.get_running_loop().create_future()
        self.held += 1
        return await asyncio.shield(self.waiting[name][1])

    async def run_round(self, poll: float) -> None:
        """Send what waits, in one batch or more, but for what an earlier batch was asked; hand out the replies.

        Raises:
            UserError: the server has no batches, or one of them failed as a whole.
        """
        asked, self.waiting = self.waiting, {}
        bodies = {name: body for name, (body, _) in asked.items()}
        replies: dict[str, dict[str, Any]] = {}
        jobs = [job for job in kept_jobs(self.place) if bodies.keys() & set(job.requests)]
        missing = [name for name in bodies if not any(name in job.requests for job in jobs)]
        jobs += [await self._submit(part, bodies) for part in _parts(missing, bodies)]
        for job in jobs:
            replies |= await self._replies(await self._known(job), poll)
            self.taken.append(job)
        self.held = 0
        for name, (body, future) in asked.items():
            try:
                future.set_result(self._reply(replies.get(name), body))
            except (RequestFailed, UserError) as failure:
                future.set_exception(failure)
                future.exception()  # whoever waits for it may have gone

    def done(self) -> None:
        """Every answer has reached whoever asked: nothing need be read again."""
        for job in self.taken:
            job.path.unlink(missing_ok=True)
        self.taken.clear()

    async def _submit(self, names: Sequence[str], bodies: Mapping[str, Mapping[str, Any]]) -> Job:
        lines = [{"custom_id": n, "method": "POST", "url": ENDPOINT, "body": dict(bodies[n])} for n in names]
        content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        upload = self.client.files.with_raw_response.create
        file = ("requests.jsonl", content, "application/jsonl")
        made = await self._api(upload(file=file, purpose="batch"), "upload of a batch")
        job = Job(self.place, _id(made, "the uploaded file"), "", tuple(names))
        job.keep()
        return job

    async def _known(self, job: Job) -> Job:
        """The job with the id of its batch, which is made unless the server has it."""
        if job.batch:
            return job
        listed = await self._api(self.client.batches.with_raw_response.list(limit=LISTED), "list of batches")
        known = [one for one in listed.get("data") or () if dig(one, "input_file_id") == job.input_file]
        if not known:
            make = self.client.batches.with_raw_response.create
            arguments: Any = {"endpoint": ENDPOINT, "completion_window": WINDOW}
            known = [await self._api(make(input_file_id=job.input_file, **arguments), "batch")]
        job = replace(job, batch=_id(known[0], "the batch"))
        job.keep()
        print(f"{self.place}: batch {job.batch} of {len(job.requests)} requests", file=sys.stderr)
        return job

    async def _replies(self, job: Job, poll: float) -> dict[str, dict[str, Any]]:
        """The lines of a batch's replies, by custom id, once it has ended."""
        told = ""
        while True:
            state = await self._api(self.client.batches.with_raw_response.retrieve(job.batch), f"batch {job.batch}")
            status, counts = str(state.get("status")), state.get("request_counts") or {}
            done = f"batch {job.batch}: {status}, {dig(counts, 'completed') or 0} of {len(job.requests)} answered"
            if done != told:
                print(one_line(done, 200), file=sys.stderr)
            told = done
            if status in ENDED:
                break
            await asyncio.sleep(poll)
        files = [state.get("output_file_id"), state.get("error_file_id")]
        if status == "failed" and not any(files):
            job.path.unlink(missing_ok=True)
            told = self._masked(reason(dig(state, "errors", "data") or state.get("errors")))
            raise UserError(f"{self.place}: batch {job.batch} failed: {told}; {self.hint}")
        found: dict[str, dict[str, Any]] = {}
        for file in filter(None, files):
            content = await self._text(lambda file=file: self.client.files.with_raw_response.content(file), {})  # type: ignore[misc]
            for line in str(content).splitlines():
                value = read_body(line)
                if isinstance(value, dict) and isinstance(value.get("custom_id"), str):
                    found.setdefault(value["custom_id"], value)
        return found

    def _reply(self, line: Mapping[str, Any] | None, body: Mapping[str, Any]) -> dict[str, Any]:
        """A reply out of its line. Raises as one that came alone."""
        if line is None:
            raise RequestFailed("the batch ended without an answer to it")
        status, reply = dig(line, "response", "status_code"), dig(line, "response", "body")
        if not isinstance(status, int) or not isinstance(reply, dict):
            raise RequestFailed(f"the batch says of it: {self._masked(reason(line.get('error'))) or 'nothing'}")
        status = hidden_status(reply) if status == 200 else status
        if status:
            response = SimpleNamespace(text=json.dumps(reply), reason_phrase="", extensions={})
            raise self._sorted(SimpleNamespace(status_code=int(status), response=response), body)
        self.trouble = 0
        return self._counted(reply)

    async def _api(self, call: Any, what: str) -> dict[str, Any]:
        """What a call of the batch API answers. Raises UserError: without it the run cannot go on."""

        async def once() -> Any:
            return await call

        try:
            return await self._json(once, {})
        except RequestFailed as failure:
            raise UserError(f"{self.place}: {what}: {failure}; {self.hint}") from None


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
