"""What every teacher engine does: it is given requests and hands back each answer as it finishes, so that the caller
can keep it at once."""

from collections.abc import Callable, Sequence
from typing import Protocol

from compeffdist.teacher.requests import Answer, Request

OnAnswer = Callable[[int, Answer], None]
"""Called with the index of the request, in the thread that called `Engine.answer`."""
OnFailure = Callable[[int, str], None]
"""Called with the index of a request that has no answer, and the reason."""


class RequestFailed(Exception):
    """One request has no answer; the message is the reason. The others go on."""


class Engine(Protocol):
    """Answers requests. Every index is reported exactly once, as answered or as failed, in any order.

    Raises:
        UserError: from `answer`, if the engine as a whole cannot go on; what was reported before stands.
    """

    name: str
    starts: int
    """Servers started, or models loaded, on behalf of this engine."""

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        """Answer all requests, reporting each as it finishes."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...


class TeacherIdentity(Protocol):
    """What an engine and the store need of a model's identity."""

    @property
    def id(self) -> str:
        """Content id of the model."""
        ...

    @property
    def dtype(self) -> str:
        """Precision the weights are loaded in."""
        ...

    @property
    def served_name(self) -> str:
        """`NAME@SERVER` of a model behind an API."""
        ...
