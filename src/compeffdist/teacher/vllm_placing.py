"""Several vLLM servers for a whole run, placed by Ray: what their supervisor does in place of starting the one.

The supervisor is the process that has joined Ray, or had one started, so that stages of a run share what it holds and
all ends with it. Each server is the child of an actor on its node, bound to that node's address (127.0.0.1 where Ray
was started here), and takes none but who knows the key of this run; it ends with its actor. In place of one that dies
another is started, of which those who ask read in the state (`EngineFiles`).
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError, one_line
from compeffdist.executor.session import ray_session, replica_options
from compeffdist.params import RuntimeParams
from compeffdist.teacher.vllm_supervisor import (
    GRACE_SECONDS,
    PLACED,
    TICK_SECONDS,
    EngineFiles,
    Supervisor,
    answers,
    end_group,
    free_port,
    start_server,
    telling_line,
)

MODULE = "compeffdist.teacher.vllm_server"
FIELDS = ("executor", "ray_address", "replicas", "replica_resources")
"""Of `runtime`, what the supervisor has to know."""
STARTS_EACH = 3
"""Times that a replica may be started, all in all, before it is done without."""


def placed(runtime: RuntimeParams) -> str:
    """The supervisor's argument that has Ray place servers."""
    return f"{PLACED}{runtime.model_dump_json(include=set(FIELDS))}"


class PlacedServer:
    """A vLLM server on the node that Ray chose, as long as this actor is there."""

    def __init__(self, module: str, arguments: Sequence[str], api_key: str) -> None:
        import ray

        # Ray's token is none of vLLM's business, and vLLM starts nothing by Ray
        known = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.host = ray.util.get_node_ip_address()
        self.port = free_port(self.host)
        self.folder = tempfile.TemporaryDirectory(prefix="compeffdist-")
        self.log = Path(self.folder.name, "log")
        command = [sys.executable, "-m", module, "--host", self.host, "--port", str(self.port), *arguments]
        with self.log.open("wb") as log:
            self.server = start_server(command, api_key, self.folder.name, known, log)

    def look(self) -> tuple[str, str]:
        """The server's address once it is ready, else nothing; and, if it has ended, the line of its log that tells
        why."""
        if self.server.poll() is not None:
            return "", telling_line(self.log)
        return (f"http://{self.host}:{self.port}/v1" if answers(self.port, self.host) else ""), ""

    def end(self) -> None:
        """End the server."""
        end_group(self.server)
        self.folder.cleanup()


@dataclass
class Place:
    """One of the servers there are to be."""

    actor: Any
    looked: Any
    """What is awaited of it."""
    starts: int = 1
    address: str = ""
    """Where it is, once it is ready."""


class RaySupervisor(Supervisor):
    """Has Ray place servers and ends them when nobody needs them any more."""

    module = MODULE

    def __init__(self, files: EngineFiles, idle_seconds: float, arguments: Sequence[str]) -> None:
        super().__init__(files, idle_seconds, arguments[1:])
        self.arguments = [*arguments[1:]]
        self.runtime = RuntimeParams(**json.loads(arguments[0].removeprefix(PLACED)))
        self.why = ""

    def run(self) -> None:
        """Until servers are no longer needed. Raises UserError if none is left, or as `ray_session`."""
        self._heed_term()
        self.files.write_state(self.state)
        try:
            with ray_session(self.runtime) as self.ray:
                places = [self._start() for _ in range(self.runtime.replicas)]
                try:
                    self._attend(places)
                finally:
                    self._remove_state()
                    self._end_all(places)
        finally:
            self._remove_state()

    def _attend(self, places: list[Place]) -> None:
        while not self.told_to_end:
            for place in [*places]:
                self._look_at(place, places)
            if not places:
                raise UserError(f"no vLLM server is left: {self.why}")
            there = [place.address for place in places if place.address]
            if there != self.state.replicas:
                self.state = replace(self.state, ready=self.state.ready or bool(there), replicas=there)
                self.files.write_state(self.state)
            if self._unneeded() and self._leave():
                return
            time.sleep(TICK_SECONDS)

    def _start(self) -> Place:
        actor = self.ray.remote(PlacedServer).options(**replica_options(self.ray, self.runtime))
        server = actor.remote(self.module, self.arguments, self.state.api_key)
        return Place(server, server.look.remote())

    def _look_at(self, place: Place, places: list[Place]) -> None:
        """Take what a server tells, if it has; in place of one that has ended another is started."""
        if not self.ray.wait([place.looked], timeout=0)[0]:
            return
        try:
            address, why = self.ray.get(place.looked)
        except self.ray.exceptions.RayError as error:
            address, why = "", one_line(error, 300)
        if not why:
            place.address = address or place.address
            place.looked = place.actor.look.remote()
            return
        print(f"a vLLM server has ended: {why}", file=sys.stderr, flush=True)
        self.why = why
        with suppress(Exception):  # it is dead, or nearly
            self.ray.kill(place.actor)
        places.remove(place)
        # one that never was ready would not be the next time
        if place.address and place.starts < STARTS_EACH:
            places.append(replace(self._start(), starts=place.starts + 1))

    def _end_all(self, places: Sequence[Place]) -> None:
        ends = [place.actor.end.remote() for place in places]
        with suppress(Exception):  # those that died with their servers
            self.ray.wait(ends, num_returns=len(ends), timeout=GRACE_SECONDS)
