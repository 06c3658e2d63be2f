"""One of several servers of the same model: whether it is well, what it is being asked, and that it is the same model.

    WELL  ->  GONE     it is not there, or nothing that it is asked is answered any more (`ServerGone`, `Unreachable`)
    GONE  ->  ON_TRIAL it answers a look at its models, which is repeated with growing pauses
    ON_TRIAL -> WELL   it answers a question; until then it is asked one at a time, and the next fault is its own
    GONE  ->  OUT      it is back with another model: it is not asked again in this run

What is in flight at a replica that is gone may still be answered, and is paid for then: it is given up only once a look
at the replica fails, too. A server that died has no connection left by then, one that hangs lets them stand.
"""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from compeffdist.errors import one_line
from compeffdist.teacher.dialect import Dialect
from compeffdist.teacher.pace import Pace
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.server_client import ServerClient

FIRST_LOOK, LONGEST_PAUSE = 1.0, 60.0
"""Seconds from one look at a replica that is gone to the next: doubled each time, until it answers a question."""
TELLING = ("root", "max_model_len", "meta")
"""What servers say of a model beside its name: vLLM where its weights lie and what it reads at most, llama.cpp its
sizes."""


class State(Enum):
    """How a replica is."""

    WELL = auto()
    ON_TRIAL = auto()
    GONE = auto()
    OUT = auto()


class Asks(Protocol):
    """Puts questions to one server."""

    pace: Pace

    @property
    def model(self) -> str:
        """Its name at the server."""
        ...

    async def answer_one(self, client: Any, request: Request) -> Answer:
        """The answer to a request, by way of whoever passes on what it asks. Raises RequestFailed or UserError."""
        ...


@dataclass
class Replica:
    """A server, with what is known of it in `engine`: its pace, and what it takes."""

    engine: Asks
    state: State = State.WELL
    why: str = ""
    """What was seen of it when it went."""
    listed: Any = None
    """What it said of its models."""
    pause: float = field(default_factory=lambda: FIRST_LOOK)
    """Seconds until it is looked at once more."""
    flying: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    """What it is being asked, by the questions' indices."""
    client: ServerClient = field(init=False)
    """Of the event loop that is running."""

    @property
    def name(self) -> str:
        """Its address, as it may be shown."""
        return self.client.place

    @property
    def is_there(self) -> bool:
        """Whether it is asked anything."""
        return self.state in (State.WELL, State.ON_TRIAL)

    @property
    def has_slot(self) -> bool:
        """Whether it can be asked one more, as soon as it may be asked at all."""
        most = int(self.engine.pace.limit) if self.state is State.WELL else 1
        return self.is_there and len(self.flying) < most

    def closed_for(self) -> float:
        """Seconds until it may be asked, by what it said itself."""
        return max(0.0, self.engine.pace.open_at - time.monotonic())

    def go(self, why: str) -> bool:
        """It is not to be asked for now. Whether that was news, which is told once in a run."""
        news, self.state, self.why = self.is_there, State.GONE, why
        if news:
            self._tell_once("gone", f"is gone ({why}): others are asked in its place, it is looked at again")
        return news

    def come_back(self) -> None:
        """It is there again."""
        self.state, self.client.trouble = State.ON_TRIAL, 0
        self.engine.pace.begin()
        self._tell_once("back", "is there again")

    def answered(self) -> bool:
        """It has answered a question. Whether it is well by that, and was not before."""
        if self.state is not State.ON_TRIAL:
            return False
        self.state, self.pause = State.WELL, FIRST_LOOK
        return True

    def leave_out(self, why: str) -> None:
        """It is not to be asked again."""
        self.state, self.why = State.OUT, why
        self._tell_once("out", f"is left out: {why}")

    def next_pause(self) -> float:
        """Seconds until it is looked at again."""
        pause, self.pause = self.pause, min(LONGEST_PAUSE, 2 * self.pause)
        return pause

    def _tell_once(self, matter: str, told: str) -> None:
        if matter not in self.engine.pace.told:
            print(f"{self.name} {told}", file=sys.stderr)
        self.engine.pace.told.add(matter)


# ---------------------------------------------------------------- the same model


def listed_model(listed: Any, model: str) -> Mapping[str, Any] | None:
    """What a server's list of models says of one, versions and paths of its name apart: None if it lists none at all,
    nothing if it lists others."""
    entries = listed.get("data") if isinstance(listed, Mapping) else None
    named = [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []
    if not named:
        return None
    exactly = [entry for entry in named if entry.get("id") == model]
    alike = [entry for entry in named if entry.get("id") and not Dialect.other_model({"model": model}, _said(entry))]
    return next(iter(exactly + alike), {})


def other_model(model: str, lists: Mapping[str, Any]) -> str:
    """Why servers do not serve one and the same model, by the list that each gave; empty if nothing says so."""
    found = {place: listed_model(listed, model) for place, listed in lists.items()}
    told = {place: entry for place, entry in found.items() if entry}
    lacking = [place for place, entry in found.items() if entry is not None and not entry]
    if told and lacking:
        return f"{lacking[0]} lists no model {model!r}, which {next(iter(told))} does"
    for field_name in TELLING:
        said = {place: _plain(entry[field_name]) for place, entry in told.items() if entry.get(field_name)}
        first = next(iter(said), "")
        for place, value in said.items():
            if value != said[first]:
                values = f"{one_line(said[first], 80)!r} and {one_line(value, 80)!r}"
                return f"{first} and {place} do not serve the same model {model!r}: {field_name} is {values}"
    return ""


def not_told(model: str, lists: Mapping[str, Any]) -> list[str]:
    """The servers whose lists do not say that they serve a model."""
    return [place for place, listed in lists.items() if not listed_model(listed, model)]


def _said(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"model": entry["id"]}


def _plain(value: Any) -> str:
    """A value to compare: of a path its last part, as weights lie elsewhere on each machine."""
    return value.rstrip("/").rpartition("/")[2] if isinstance(value, str) else str(value)


def lists_of(replicas: Sequence[Replica]) -> dict[str, Any]:
    """What each replica that is there said of its models."""
    return {replica.name: replica.listed for replica in replicas if replica.is_there}
