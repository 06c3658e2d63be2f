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
from compeffdist.domain import DOMAINS, Domain, domain_of
from compeffdist.errors import UserError, one_line
from compeffdist.evaluation.predictions import predict_rows
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


def questions_of(params: Params, known: KnownAnswers, root: Path = Path()) -> Questions:
    """Every question that the artefacts of a checkout imply.

    A stage whose inputs are not there yet, or cannot be read, is named in `unknown`. So is none whose answers are
    missing: its questions are there, and those that would have followed from the answers are not.

    Raises:
        UserError: there is no teacher yet (resolve_models has not run), no such domain, or an answer was altered.
    """
    domain = domain_of(params, root / DOMAINS)
    teacher = RememberingTeacher(read_identity(root / TEACHER), known)
    unknown: dict[str, str] = {}
    for stage, replay in REPLAYS.items():
        try:
            replay(root, params, domain, Conversation(teacher, domain, params.teacher, params.seed, stage))
        except UserError as error:
            unknown[stage] = one_line(error, 200)
    return Questions(teacher.identity, teacher.questions, teacher.answers, unknown)


def _enumeration(root: Path, params: Params, domain: Domain, talk: Conversation) -> None:
    enumerate_attributes(TEXTS.read(root), params.attributes, domain.attributes, talk)


def _tasks(root: Path, params: Params, domain: Domain, talk: Conversation) -> None:
    perspectives = CLUSTERS.read(root)
    attributes = by_id(ATTRIBUTES.read(root))
    # what is a near-duplicate is decided once all are defined
    writer = TaskWriter(params.tasks, domain, talk)
    writer.analysis_tasks(perspectives, attributes)
    writer.define(writer.ideas(perspectives, attributes))


def _demonstrations(root: Path, params: Params, domain: Domain, talk: Conversation) -> None:
    tasks = TASKS.read(root)
    write_demonstrations(tasks, TEXTS.read(root), params.demonstrations, domain.demonstrations, talk)


def _responses(root: Path, params: Params, domain: Domain, talk: Conversation) -> None:
    _collect(root, params, domain, talk, in_part(PAIRS.read(root), SCORED))


def _sampled_responses(root: Path, params: Params, domain: Domain, talk: Conversation) -> None:
    draws = SAMPLED.read(root)
    triplets = TRIPLETS.read(root)
    _, unanswered = kept_triplets(draws, triplets, PAIRS.read(root))
    _collect(root, params, domain, talk, unanswered)


def _collect(root: Path, params: Params, domain: Domain, talk: Conversation, pairs: Sequence[Pair]) -> None:
    instructions = by_id(INSTRUCTIONS.read(root))
    texts = by_id(TEXTS.read(root))
    collect_responses(pairs, instructions, texts, params.responses, domain.monitored, talk)


def _evaluation(root: Path, params: Params, domain: Domain, talk: Conversation) -> None:
    rows = EVALUATION.read(root)

    def note(prompts: Sequence[str], labels: tuple[str, ...]) -> list[Mapping[str, float]]:
        # the stage's own scorer stops at the first row without an answer
        talk.ask([label_question("", prompt, labels) for prompt in prompts], "evaluation")
        return [dict.fromkeys(labels, 0.0)] * len(prompts)

    predict_rows(rows, domain.monitored.asked_in(params.evaluation), "teacher", talk.teacher_id, note)


REPLAYS: Mapping[str, Callable[[Path, Params, Domain, Conversation], None]] = {
    "enumerate_attributes": _enumeration,
    "generate_tasks": _tasks,
    "write_demonstrations": _demonstrations,
    "collect_responses": _responses,
    "collect_sampled": _sampled_responses,
    "evaluate_teacher": _evaluation,
}
"""By stage, every one that asks the teacher: checkout, params, domain and conversation -> its questions, asked."""
