"""Asking a model about a benchmark: the same prompts for any, in this process or as the teacher of this folder."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from compeffdist.artefacts import TEACHER
from compeffdist.benchmark.cost import Usage
from compeffdist.benchmark.prompts import benchmark_prompt, draw_shots
from compeffdist.benchmark.rows import BenchmarkRow
from compeffdist.benchmark.tasks import BenchmarkTask
from compeffdist.domain import domain_here
from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import teacher_scorer
from compeffdist.params import RuntimeParams, load_params
from compeffdist.progress import Progress
from compeffdist.records import Reject
from compeffdist.registry.weights import open_model
from compeffdist.student.loading import load_student, system_prompt_of
from compeffdist.student.prediction import generate, label_logprobs
from compeffdist.teacher.asking import BuyingTeacher, open_teacher, release_engine
from compeffdist.teacher.conversation import Conversation, Question
from compeffdist.teacher.requests import Answer

TEACHER_HERE = "teacher"
"""As a model's name: the teacher of the params in the working folder, asked through its engine and response store."""
IN_THIS_PROCESS = "transformers"
"""The engine of every other model."""


class Respondent(Protocol):
    """Whoever is asked."""

    @property
    def id(self) -> str:
        """Content id of the model, or its name."""
        ...

    def labels(self, prompts: Sequence[str], labels: tuple[str, ...], title: str) -> Sequence[Mapping[str, float]]:
        """For each prompt the natural-log probability of each whole label."""
        ...

    def tuples(self, prompts: Sequence[str], schema: Mapping[str, Any], max_tokens: int, title: str) -> list[str]:
        """For each prompt an answer held to the schema, cut off behind `max_tokens` tokens."""
        ...

    def usage(self, asked: Sequence["Asked"]) -> Usage:
        """What its answers took, `asked` being all of them."""
        ...


@dataclass(frozen=True)
class Asked:
    """A task's answers of one model: for each seed a list as the rows."""

    answers: dict[int, list[Mapping[str, float]] | list[str]]
    seconds: float
    """Spent on them; answers out of the response store cost none."""

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.answers.values()))


class ModelHere:
    """A model in this process."""

    def __init__(self, folder: Path, base: Path | None, own_id: str, runtime: RuntimeParams, system: str) -> None:
        self.id, self.runtime, self.system = own_id, runtime, system_prompt_of(folder, system)
        self.model, self.tokenizer = load_student(folder, runtime.device, base=base)

    def labels(self, prompts: Sequence[str], labels: tuple[str, ...], title: str) -> Sequence[Mapping[str, float]]:
        """See `Respondent.labels`."""
        with Progress(title, total=len(prompts)) as progress:
            return label_logprobs(
                self.model,
                self.tokenizer,
                prompts,
                labels,
                system=self.system,
                token_budget=self.runtime.token_budget,
                progress=progress,
            )

    def tuples(self, prompts: Sequence[str], schema: Mapping[str, Any], max_tokens: int, title: str) -> list[str]:
        """See `Respondent.tuples`."""
        with Progress(title, total=len(prompts)) as progress:
            return generate(
                self.model,
                self.tokenizer,
                prompts,
                max_tokens,
                system=self.system,
                schema=schema,
                token_budget=self.runtime.token_budget,
                progress=progress,
            )

    def usage(self, asked: Sequence[Asked]) -> Usage:
        """See `Respondent.usage`."""
        return Usage(IN_THIS_PROCESS, sum(one.count for one in asked), sum(one.seconds for one in asked))


class TeacherHere:
    """The teacher, whose answers are kept."""

    def __init__(self, talk: Conversation, teacher: BuyingTeacher) -> None:
        self.talk, self.teacher, self.id = talk, teacher, talk.teacher_id

    def labels(self, prompts: Sequence[str], labels: tuple[str, ...], title: str) -> Sequence[Mapping[str, float]]:
        """See `Respondent.labels`."""
        return teacher_scorer(self.talk)(prompts, labels)

    def tuples(self, prompts: Sequence[str], schema: Mapping[str, Any], max_tokens: int, title: str) -> list[str]:
        """See `Respondent.tuples`."""
        questions = [Question("", prompt, Answer.whole_text, max_tokens, schema) for prompt in prompts]
        answers = []
        for said in self.talk.ask(questions, title):
            if isinstance(said, Reject):
                raise UserError(f"{title}: the teacher gave no answer ({said.detail}); run again: answers are kept")
            answers.append(said.value)
        return answers

    def usage(self, asked: Sequence[Asked]) -> Usage:
        """See `Respondent.usage`. Tokens are those that answers cost when they were bought, in whatever run."""
        # a server that counts no tokens says 0 of its prompts
        counted = [answer for answer in self.teacher.used.values() if answer is not None and answer.prompt_tokens]
        return Usage(
            engine=self.talk.params.engine,
            answers=self.teacher.counts["bought"],
            seconds=self.teacher.seconds,
            counted=len(counted),
            prompt_tokens=sum(answer.prompt_tokens for answer in counted),
            answer_tokens=sum(answer.completion_tokens for answer in counted),
        )


@contextmanager
def open_respondent(reference: str, runtime: RuntimeParams, base: str = "") -> Iterator[Respondent]:
    """A model that can be asked while the block runs.

    Args:
        reference: as `open_model`, or `teacher`.

    Raises:
        UserError: as `open_model` and `open_teacher`.
    """
    system = domain_here().system_prompts.student
    if reference != TEACHER_HERE:
        with open_model(reference, runtime, base) as model:
            yield ModelHere(model.folder, model.base, model.id, runtime, system)
        return
    params = load_params()
    with open_teacher(Path(TEACHER), params) as teacher:
        yield TeacherHere(Conversation(teacher, domain_here(), params.teacher, params.seed, "benchmark"), teacher)
    release_engine()


def ask_task(
    respondent: Respondent,
    task: BenchmarkTask,
    rows: Sequence[BenchmarkRow],
    pool: Sequence[BenchmarkRow],
    shots: int,
    seeds: Sequence[int],
    title: str,
) -> Asked:
    """A model's answers to a task's rows.

    Args:
        pool: rows that demonstrations are drawn from.
        seeds: of the draws. Without demonstrations every seed asks the same, so that the first alone is asked.
    """
    answers: dict[int, list[Mapping[str, float]] | list[str]] = {}
    started = time.monotonic()
    for seed in seeds if shots else seeds[:1]:
        prompts = [benchmark_prompt(task, row, draw_shots(pool, row, shots, seed)) for row in rows]
        if task.labels:
            answers[seed] = list(respondent.labels(prompts, tuple(task.labels), title))
        else:
            answers[seed] = respondent.tuples(prompts, task.answer_schema, task.max_tokens, title)
    return Asked(answers, time.monotonic() - started)
