"""What every teacher engine does, and which one a run uses.

An engine is given requests and hands back each answer as it finishes, so that the caller can keep it at once.
To add one: a module with a class that fits `Engine`, and a line in `open_engine`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from compeffdist.params import RuntimeParams, TeacherParams
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


class ModelCard(Protocol):
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


EngineOpener = Callable[[ModelCard, TeacherParams, RuntimeParams, Path | None], Engine]


def open_engine(model: ModelCard, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None) -> Engine:
    """The engine that `teacher.engine` names; `folder` holds the weights, None for a model behind an API.

    Raises:
        UserError: if the engine cannot run here or its server cannot be reached.
    """
    if teacher.engine == "openai":
        from compeffdist.teacher.openai_engine import OpenAIEngine

        return OpenAIEngine(model.served_name.rpartition("@")[0], runtime)
    if folder is None:
        raise ValueError(f"engine {teacher.engine} needs the folder of the teacher's weights")
    if teacher.engine == "vllm":
        from compeffdist.teacher.vllm_engine import VllmEngine

        return VllmEngine(folder, model.dtype, teacher, runtime)
    from compeffdist.teacher.transformers_engine import TransformersEngine

    return TransformersEngine(folder, model.dtype, teacher, runtime)
