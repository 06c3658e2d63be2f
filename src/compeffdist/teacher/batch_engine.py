"""The teacher behind a server's batch API: the same questions as `openai_engine` asks, most of them in files.

The first question of each kind is asked at once: what the server does not take, and whether it can weigh labels, is
found out for the price of one. All others wait until none can go on, and go out together. An answer that takes a second
request, such as a label chosen where weighing did not decide, waits for the next batch.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.canonical import hash_text
from compeffdist.errors import UserError
from compeffdist.models import ModelIdentity
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.batches import FOLDER, QUESTION, BatchClient, kept_jobs
from compeffdist.teacher.engine import OnAnswer, OnFailure, RequestFailed
from compeffdist.teacher.openai_engine import OpenAIEngine
from compeffdist.teacher.requests import Request


class BatchEngine(OpenAIEngine):
    """Batches of `runtime.openai_base_url`, looked at every `runtime.batch_poll_seconds`."""

    name = "openai-batch"

    def __init__(
        self, model: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None
    ) -> None:
        super().__init__(model, teacher, runtime, folder)
        self.kinds: set[tuple[bool, bool]] = set()
        """Of questions that were asked at once: whether of labels, whether under a schema."""

    async def _answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        async with self.open_client(BatchClient) as client:
            await client.check()

            async def answer(index: int) -> None:
                QUESTION.set(hash_text(requests[index].to_json())[:24])
                try:
                    got = await self.answer_one(client, requests[index])
                except RequestFailed as failure:
                    on_failure(index, str(failure))
                else:
                    on_answer(index, got)

            if kept := kept_jobs(client.place):
                # what the run that made them knew then: from there on it asks as that one did
                self._learn(kept[0].learned)
            client.at_once = True
            first = self._first_of_kinds(requests)
            for index in first:
                await answer(index)
            client.at_once = False
            await self._in_rounds(client, [answer(index) for index in range(len(requests)) if index not in first])
            client.done()

    def learned(self) -> dict[str, Any]:
        """As of any engine, and which kinds of questions were asked at once."""
        return {"kinds": sorted(self.kinds), **super().learned()}

    def _learn(self, learned: Mapping[str, Any]) -> None:
        """Take over what was known when a batch was made. Raises UserError if it cannot be read."""
        try:
            self.kinds |= {(bool(labels), bool(schema)) for labels, schema in learned["kinds"]}
            self.take_over(learned)
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{FOLDER}: holds a batch that this version cannot read; move it away to buy it again"
            ) from None

    def _first_of_kinds(self, requests: Sequence[Request]) -> list[int]:
        """The first request of each kind that was not asked yet."""
        found = []
        for index, request in enumerate(requests):
            kind = (bool(request.labels), bool(request.schema))
            if kind not in self.kinds:
                self.kinds.add(kind)
                found.append(index)
        return found

    async def _in_rounds(self, client: BatchClient, answers: Sequence[Coroutine[Any, Any, None]]) -> None:
        """Let everything go on until all wait for a batch, send that, and so on."""
        running = {asyncio.create_task(one) for one in answers}
        try:
            while running:
                while client.held < sum(not task.done() for task in running):
                    await asyncio.sleep(0)
                for task in [task for task in running if task.done()]:
                    running.discard(task)
                    task.result()
                if running:
                    await client.run_round(self.runtime.batch_poll_seconds, self.learned())
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
