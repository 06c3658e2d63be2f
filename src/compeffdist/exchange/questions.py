"""Every question that a run's artefacts imply, by asking them again of a teacher that only remembers.

Nothing keeps a list of what a run asked: most artefacts name the answers they came from, but a refused definition or
demonstration, the monitored label of a text and an evaluation row do not. So each stage that asks is run again as far
as its questions go, by the functions the stage itself calls, on the artefacts it read. What follows from an answer (a
task from an idea, a blind question from a demonstration) is followed, as long as the answer is known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compeffdist.artefacts import (
    ATTRIBUTES,
    CLUSTERS,
    EVALUATION,
    INSTRUCTIONS,
    PAIRS,
    SAMPLED,
    TASKS,
    TEACHER,
    TEXTS,
    TRIPLETS,
)
from compeffdist.declaration import read_pipeline
from compeffdist.domain import Domain, domain_of
from compeffdist.errors import UserError, one_line
from compeffdist.evaluation.predictions import predict_rows
from compeffdist.given import Given, given_to
from compeffdist.instructions.enumerate_attributes import enumerate_attributes
from compeffdist.instructions.generate_tasks import TaskWriter
from compeffdist.instructions.write_demonstrations import write_demonstrations
from compeffdist.models import ModelIdentity, read_identity
from compeffdist.params import Params
from compeffdist.records import Pair, by_id
from compeffdist.teacher.asking import Asked
from compeffdist.teacher.conversation import Conversation, label_question
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.requests import Answer, Request
from compeffdist.triplets.collect_responses import collect_responses
from compeffdist.triplets.collect_sampled import kept_triplets
from compeffdist.triplets.parts import SCORED, in_part


@dataclass
class RememberingTeacher:
    """Answers what is known, buys nothing, and notes what it was asked."""

    identity: ModelIdentity
    known: KnownAnswers
    questions: dict[str, Request] = field(default_factory=dict)
    """By key."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """Of those questions that are answered, by key."""

    def ask(self, requests: Sequence[Request], label: str) -> list[Asked]:
        """One result per request; without an answer where it is not known."""
        keys = [request.key(self.identity.id) for request in requests]
        self.questions |= dict(zip(keys, requests, strict=True))
        found = {key: row.parse() for key, row in self.known.rows(keys).items()}
        self.answers |= {key: answer for key, answer in found.items() if answer.ended}  # others are bought again
        return [Asked(key, self.answers.get(key), "" if key in self.answers else "not bought yet") for key in keys]


@dataclass(frozen=True)
class Questions:
    """What a run asked, as far as it can be told."""

    identity: ModelIdentity
    """Of the teacher."""
    requests: Mapping[str, Request]
    """By key."""
    answers: Mapping[str, Answer]
    """Of those that are answered, by key."""
    unknown: Mapping[str, str]
    """Stages whose questions cannot be rebuilt, and why."""


def questions_of(params: Params, known: KnownAnswers) -> Questions:
    """Every question that the artefacts of the working folder imply.

    A stage whose inputs are not there yet, or cannot be read, is named in `unknown`. So is none whose answers are
    missing: its questions are there, and those that would have followed from the answers are not.

    Raises:
        UserError: there is no teacher yet (resolve_models has not run), no such domain, or an answer was altered.
    """
    domain = domain_of(params)
    teacher = RememberingTeacher(read_identity(Path(TEACHER)), known)
    unknown: dict[str, str] = {}
    for stage in read_pipeline().values():
        if "teacher" in stage.params:
            talk = Conversation(teacher, domain, params.teacher, params.seed, stage.name)
            try:
                REPLAYS[stage.name](given_to(stage, params), domain, talk)
            except UserError as error:
                unknown[stage.name] = one_line(error, 200)
    return Questions(teacher.identity, teacher.questions, teacher.answers, unknown)


def _enumeration(given: Given, domain: Domain, talk: Conversation) -> None:
    enumerate_attributes(given[TEXTS], given.params.attributes, domain.attributes, talk)


def _tasks(given: Given, domain: Domain, talk: Conversation) -> None:
    perspectives, attributes = given[CLUSTERS], by_id(given[ATTRIBUTES])
    # what is a near-duplicate is decided once all are defined
    writer = TaskWriter(given.params.tasks, domain, talk)
    writer.analysis_tasks(perspectives, attributes)
    writer.define(writer.ideas(perspectives, attributes))


def _demonstrations(given: Given, domain: Domain, talk: Conversation) -> None:
    write_demonstrations(given[TASKS], given[TEXTS], given.params.demonstrations, domain.demonstrations, talk)


def _responses(given: Given, domain: Domain, talk: Conversation) -> None:
    _collect(given, domain, talk, in_part(given[PAIRS], SCORED))


def _sampled_responses(given: Given, domain: Domain, talk: Conversation) -> None:
    _, unanswered = kept_triplets(given[SAMPLED], given[TRIPLETS], given[PAIRS])
    _collect(given, domain, talk, unanswered)


def _collect(given: Given, domain: Domain, talk: Conversation, pairs: Sequence[Pair]) -> None:
    instructions, texts = by_id(given[INSTRUCTIONS]), by_id(given[TEXTS])
    collect_responses(pairs, instructions, texts, given.params.responses, domain.monitored, talk)


def _evaluation(given: Given, domain: Domain, talk: Conversation) -> None:
    def note(prompts: Sequence[str], labels: tuple[str, ...]) -> list[Mapping[str, float]]:
        # the stage's own scorer stops at the first row without an answer
        talk.ask([label_question("", prompt, labels) for prompt in prompts], "evaluation")
        return [dict.fromkeys(labels, 0.0)] * len(prompts)

    tasks = domain.monitored.asked_in(given.params.evaluation)
    predict_rows(given[EVALUATION], tasks, "teacher", talk.teacher_id, note)


REPLAYS: Mapping[str, Callable[[Given, Domain, Conversation], None]] = {
    "enumerate_attributes": _enumeration,
    "generate_tasks": _tasks,
    "write_demonstrations": _demonstrations,
    "collect_responses": _responses,
    "collect_sampled": _sampled_responses,
    "evaluate_teacher": _evaluation,
}
"""By stage that has the teacher's params in dvc.yaml, how its questions are asked: what it is given, domain and
conversation."""
