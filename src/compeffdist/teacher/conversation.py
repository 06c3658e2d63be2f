"""One conversation with the teacher: a stage asks, and has of each question what was read of the answer, or a reject.

    talk = Conversation(teacher, domain, params.teacher, params.seed, "enumerate_attributes")
    for said in talk.ask([json_question(text.id, prompt, schema, max_tokens=512)], "attributes"):
        ...  # a Reject, or a Said with a `value`

System prompt, decoding, seed and the stage's name are the conversation's, so that no stage can put them differently.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from compeffdist.domain import Domain
from compeffdist.params import TeacherParams
from compeffdist.records import Reject
from compeffdist.seeds import stage_seed
from compeffdist.teacher.asking import Teacher
from compeffdist.teacher.parsing import BadAnswer, parse_json
from compeffdist.teacher.requests import Answer, Request

T = TypeVar("T")

SEEDED_AS = {"collect_sampled": "collect_responses"}
"""Stages that ask another one's questions, by whose seed sampled answers are drawn then: the same question is the same
purchase, whichever stage asks it."""


@dataclass(frozen=True)
class Question(Generic[T]):
    """What is asked on behalf of one record, and how its answer is read."""

    owner: str
    """Id of that record: a reject is its."""
    prompt: str
    read: Callable[[Answer], T]
    """Raises BadAnswer, or another ValueError if the answer cannot be parsed."""
    max_tokens: int = 1
    schema: Mapping[str, Any] | None = None
    """JSON schema that the answer is held to."""
    labels: tuple[str, ...] = ()
    """Answered by the likelihood of each; nothing is generated."""


@dataclass(frozen=True)
class Said(Generic[T]):
    """An answer and what was read of it."""

    request: Request
    answer_id: str
    answer: Answer
    value: T


def json_question(owner: str, prompt: str, schema: Mapping[str, Any], max_tokens: int) -> Question[Any]:
    """A question answered in JSON; read is the value under the schema."""
    held = dict(schema)
    return Question(owner, prompt, lambda answer: parse_json(answer.whole_text(), held), max_tokens, schema)


def label_question(owner: str, prompt: str, labels: Sequence[str]) -> Question[Answer]:
    """A question answered by labels weighed or chosen; read is the answer as it is, to be calibrated among others."""
    return Question(owner, prompt, lambda answer: answer, labels=tuple(labels))


class Conversation:
    """A stage's questions to the teacher; `seed` is the run's."""

    def __init__(self, teacher: Teacher, domain: Domain, params: TeacherParams, seed: int, stage: str) -> None:
        self.teacher, self.params, self.stage = teacher, params, stage
        self.system = domain.system_prompts.teacher if params.system_prompt is None else params.system_prompt
        self.seed = stage_seed(seed, SEEDED_AS.get(stage, stage))

    @property
    def teacher_id(self) -> str:
        """Content id of the model that answers."""
        return self.teacher.identity.id

    def ask(self, questions: Sequence[Question[T]], label: str) -> list[Said[T] | Reject]:
        """What came of each question, in their order; `label` names the work in progress and errors.

        A reject has the reason of BadAnswer, or `no_answer`, or `unparsable`.

        Raises:
            UserError: as `BuyingTeacher.ask`.
        """
        requests = [self.request(question) for question in questions]
        found: list[Said[T] | Reject] = []
        for question, request, asked in zip(questions, requests, self.teacher.ask(requests, label), strict=True):
            if asked.answer is None:
                found.append(self.reject(question.owner, "no_answer", asked.reason))
                continue
            try:
                found.append(Said(request, asked.answer_id, asked.answer, question.read(asked.answer)))
            except BadAnswer as bad:
                found.append(self.reject(question.owner, bad.reason, bad.detail))
            except ValueError as error:
                found.append(self.reject(question.owner, "unparsable", str(error)))
        return found

    def request(self, question: Question[Any]) -> Request:
        """The question as it is bought."""
        if question.labels:
            return Request.likelihood(self.system, question.prompt, question.labels)
        max_tokens, schema = question.max_tokens, question.schema
        return Request.generation(self.system, question.prompt, self.params, max_tokens, self.seed, schema)

    def reject(self, record_id: str, reason: str, detail: str = "") -> Reject:
        """A reject of this stage."""
        return Reject(stage=self.stage, record_id=record_id, reason=reason, detail=detail)
