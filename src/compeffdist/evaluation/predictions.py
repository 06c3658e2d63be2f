"""What a system answers on the evaluation rows: likelihoods of whole labels, from one prompt for all systems."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from compeffdist.errors import UserError
from compeffdist.params import QUESTION_FIELD, EvaluationParams, EvaluationTask, RuntimeParams
from compeffdist.progress import Progress, part
from compeffdist.prompting import closed_question, inline, with_input
from compeffdist.records import EvaluationRow, Prediction, Reject
from compeffdist.student.loading import load_student, system_prompt_of
from compeffdist.student.prediction import label_logprobs
from compeffdist.teacher.conversation import Conversation, label_question

Scorer = Callable[[Sequence[str], tuple[str, ...]], Sequence[Mapping[str, float]]]
"""(prompts, labels) -> for each prompt the natural-log probability of each whole label."""


def predict_rows(
    rows: Sequence[EvaluationRow], params: EvaluationParams, system: str, system_id: str, score: Scorer
) -> list[Prediction]:
    """Ask `score` about every row, task by task; predictions are sorted by row id within a task. Every task of `params`
    has a question (`Monitored.asked_in`)."""
    predictions: list[Prediction] = []
    for task in params.tasks:
        own = sorted((row for row in rows if row.task == task.name), key=lambda row: row.id)
        with part(task.name):
            logprobs = score([evaluation_prompt(row, task) for row in own], tuple(task.labels))
        predictions += [
            Prediction(
                row_id=row.id,
                task=row.task,
                system=system,
                system_id=system_id,
                gold=row.label,
                predicted=max(task.labels, key=given.__getitem__),
                probabilities=[math.exp(given[label]) for label in task.labels],
            )
            for row, given in zip(own, logprobs, strict=True)
        ]
    return predictions


def evaluation_prompt(row: EvaluationRow, task: EvaluationTask) -> str:
    """The user message for a row."""
    return with_input(task_instruction(task, row.question_fields), row.text)


def task_instruction(task: EvaluationTask, fields: Mapping[str, str] | None = None) -> str:
    """What stands before the text in a task's prompt: its question and the form of the answer. `fields` of a row are
    put into the question; without them, their places stay as they are."""
    question = task.question
    if fields is not None:
        question = QUESTION_FIELD.sub(lambda place: inline(fields[place[1]]), question)
    return closed_question(question, task.labels)


def teacher_scorer(talk: Conversation) -> Scorer:
    """Ask the teacher, through the response store. An unanswered row stops: a mean over holes is no figure."""

    def score(prompts: Sequence[str], labels: tuple[str, ...]) -> list[Mapping[str, float]]:
        questions = [label_question("", prompt, labels) for prompt in prompts]
        rows: list[Mapping[str, float]] = []
        for prompt, said in zip(prompts, talk.ask(questions, "evaluation"), strict=True):
            if isinstance(said, Reject):
                raise UserError(
                    f"evaluation row {prompt.splitlines()[-2][:80]!r}: the teacher gave no answer "
                    f"({said.detail}); run again: answered rows are kept"
                )
            chosen = {label: 0.0 if label == said.answer.text else -math.inf for label in labels}
            rows.append(said.answer.label_logprobs or chosen)
        return rows

    return score


def student_scorer(folder: Path, base: Path | None, runtime: RuntimeParams, label: str, system: str) -> Scorer:
    """Ask a student, or the base student, in this process; `system` is what stands before every question of a model
    whose folder does not say it."""
    model, tokenizer = load_student(folder, runtime.device, base=base)
    system = system_prompt_of(folder, system)

    def score(prompts: Sequence[str], labels: tuple[str, ...]) -> list[dict[str, float]]:
        with Progress(label, total=len(prompts)) as progress:
            return label_logprobs(
                model, tokenizer, prompts, labels, system=system, token_budget=runtime.token_budget, progress=progress
            )

    return score
