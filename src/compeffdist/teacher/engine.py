"""What every teacher engine does, and which one a run opens.

An engine is given requests and hands back each answer as it finishes, so that the caller can keep it at once.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from compeffdist.engines import BEHIND_API, ENGINES
from compeffdist.models import ModelIdentity
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import Meter, Spent

OnAnswer = Callable[[int, Answer], None]
"""Called with the index of the request, in the thread that called `Engine.answer`."""
OnFailure = Callable[[int, str], None]
"""Called with the index of a request that has no answer, and the reason."""


class RequestFailed(Exception):
    """One request has no answer; the message is the reason. The others go on."""


class Engine(Protocol):
    """Answers requests. Every index is reported exactly once, as answered or as failed, in any order. Raises UserError
    from `answer`, if the engine as a whole cannot go on; what was reported before stands."""

    name: str
    starts: int
    """Servers started, or models loaded, on behalf of this engine."""
    meter: Meter
    """Counts every reply, before the answer or failure that comes of it is reported."""

    def at_most(self, request: Request) -> Spent:
        """The most that a request can take, as far as the engine knows its model."""
        ...

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """Answer all requests, reporting each as it finishes."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...


EngineOpener = Callable[[ModelIdentity, TeacherParams, RuntimeParams, Path | None], Engine]
"""Called with the teacher's identity, both sections of params, and the folder of its weights, None behind an API."""


def open_engine(model: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None) -> Engine:
    """The engine that `teacher.engine` names, as an `EngineOpener`. Raises UserError if the engine cannot run here or
    its server cannot be reached."""
    if folder is None and teacher.engine not in BEHIND_API:
        raise ValueError(f"engine {teacher.engine} needs the folder of the teacher's weights")
    module, _, name = ENGINES[teacher.engine].partition(":")
    opener: EngineOpener = getattr(importlib.import_module(module), name)
    return opener(model, teacher, runtime, folder)
