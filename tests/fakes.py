"""A teacher that answers from a function, for tests of what is asked and how answers are read."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from compeffdist.domain import load_domain
from compeffdist.params import TeacherParams
from compeffdist.teacher.asking import Asked
from compeffdist.teacher.conversation import Conversation
from compeffdist.teacher.requests import Answer, Request

TEACHER = TeacherParams()
SENTIMENT = load_domain("sentiment", Path(__file__).parents[1] / "domains")
SYSTEM = SENTIMENT.system_prompts.student
"""Of students."""


class FakeTeacher:
    """`reply` gives the answer's text, an Answer, or None for a failed request."""

    def __init__(self, reply: Callable[[Request], Any]) -> None:
        self.reply, self.asked = reply, list[Request]()
        self.identity = SimpleNamespace(id="model_fake")

    def ask(self, requests: Sequence[Request], label: str) -> list[Asked]:
        self.asked += requests
        return [self._one(request) for request in requests]

    def talk(self, stage: str = "stage") -> Conversation:
        """A stage's conversation with it."""
        return Conversation(self, SENTIMENT, TEACHER, 1, stage)

    def _one(self, request: Request) -> Asked:
        reply = self.reply(request)
        if reply is None:
            return Asked(request.key("model_fake"), None, "timed out")
        answer = reply if isinstance(reply, Answer) else Answer(reply, None, 1, 0, 1, "stop")
        return Asked(request.key("model_fake"), answer, "")


def conversation(reply: Callable[[Request], Any], stage: str = "stage") -> Conversation:
    """A stage's conversation with a teacher that answers from a function."""
    return FakeTeacher(reply).talk(stage)


def put_domains(folder: Path = Path()) -> None:
    """The domains' files, in a checkout made for a test."""
    shutil.copytree(Path(__file__).parents[1] / "domains", folder / "domains", dirs_exist_ok=True)
