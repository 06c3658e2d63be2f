"""The teacher in several vLLM servers that Ray places, asked as several servers of one model are (`replicated_engine`).

Questions are put as to the one local server (`vllm_engine`), so their answers are the same. Servers are shared by the
stages of a run (`vllm_placing`); one that dies is done without, and what it was asked is asked elsewhere; another that
is started in its place is asked as soon as it is ready.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from compeffdist.environment import bypass_proxies
from compeffdist.errors import UserError
from compeffdist.models import ModelIdentity
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.engine import Engine, OnAnswer, OnFailure
from compeffdist.teacher.pace import Pace
from compeffdist.teacher.replicas import Replica
from compeffdist.teacher.replicated_engine import Round, look_at
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.server_client import ServerClient
from compeffdist.teacher.vllm_engine import SERVED_NAME, VllmEngine
from compeffdist.teacher.vllm_placing import placed
from compeffdist.teacher.vllm_supervisor import Attachment, telling_line

LOOK_SECONDS = 1.0
"""From one look at which servers there are to the next."""


def open_vllm(model: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None) -> Engine:
    """The engine for the one server of this machine, or for those that Ray places; an `EngineOpener`."""
    return (VllmReplicas if runtime.executor == "ray" else VllmEngine)(model, teacher, runtime, folder)


@dataclass
class Seat:
    """One server, as `Asks`."""

    engine: VllmEngine
    pace: Pace
    model: str = SERVED_NAME

    async def answer_one(self, client: Any, request: Request) -> Answer:
        """See `VllmEngine.answer_one`."""
        return await self.engine.answer_one(client, request)


class VllmReplicas(VllmEngine):
    """vLLM servers for the model in `folder`, placed when first asked, shared where they run."""

    def _placing(self) -> list[str]:
        return [placed(self.runtime)]

    async def _answer(
        self, server: Attachment, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure
    ) -> None:
        in_use = asyncio.create_task(self._keep_touching(server))
        try:
            async with AsyncExitStack() as stack:
                replicas = [await self._open(server, address, stack) for address in await self._there(server)]
                # one that takes another's place may have its weights to load first
                patience = max(self.runtime.busy_seconds, self.runtime.engine_start_seconds)
                asked = Round(replicas, patience, requests, on_answer, on_failure)
                asked.begin(self._keep_finding(server, asked, stack))
                await asked.run()
        finally:
            in_use.cancel()
            with suppress(asyncio.CancelledError):
                await in_use

    async def _there(self, server: Attachment) -> list[str]:
        """Where servers are, at least one. Raises UserError if their supervisor has ended, or none comes in time."""
        deadline = time.monotonic() + self.runtime.engine_start_seconds
        while not (addresses := self._addresses(server)):
            if time.monotonic() > deadline:
                log = server.files.log
                raise UserError(f"no vLLM server is ready again within runtime.engine_start_seconds; see {log}")
            await asyncio.sleep(LOOK_SECONDS)
        return addresses

    def _addresses(self, server: Attachment) -> list[str]:
        """Where servers are. Raises UserError if their supervisor has ended."""
        state = server.files.read_state()
        if state is None:
            log = server.files.log
            raise UserError(f"the vLLM servers have ended: {telling_line(log)} (whole log: {log})")
        return state.replicas

    async def _open(self, server: Attachment, address: str, stack: AsyncExitStack) -> Replica:
        bypass_proxies(str(urlsplit(address).hostname))
        pace = Pace(self.runtime.concurrency, self.runtime.busy_seconds, others=True)
        pace.there = True  # its supervisor has seen it
        client = ServerClient(address, server.api_key, self.runtime, f"see {self.files.log}", self.meter, pace)
        replica = Replica(Seat(self, pace))
        replica.client = await stack.enter_async_context(client)
        await look_at(replica)
        return replica

    async def _keep_finding(self, server: Attachment, asked: Round, stack: AsyncExitStack) -> None:
        """Have those asked, too, that come to be there."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            known = {replica.client.url for replica in asked.replicas}
            for address in self._addresses(server):
                if address not in known:
                    asked.join(await self._open(server, address, stack))
