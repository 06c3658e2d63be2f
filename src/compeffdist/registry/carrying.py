"""What a version is given to know of questions when it is registered: the tasks it was taught, and label priors.

Priors are estimated here for the domain's question and the user's own tasks: `label_priors.texts` likelihoods each,
about ten seconds for a hundred texts and a 135M student on two slow cores. For the others, of which there may be
hundreds, they are estimated from a request's own texts when they are asked.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from compeffdist.domain import Monitored
from compeffdist.instructions.answers import choices
from compeffdist.instructions.own_tasks import is_own
from compeffdist.label_priors import Prior, estimate_prior
from compeffdist.params import LabelPriorsParams, RuntimeParams
from compeffdist.progress import Progress
from compeffdist.records import Instruction
from compeffdist.registry.questions import Carried, Question
from compeffdist.student.loading import load_student, read_provenance
from compeffdist.student.prediction import label_logprobs, label_trie


def tasks_carried(
    instructions: Sequence[Instruction], taught: Collection[str], monitored: Monitored
) -> dict[str, Question]:
    """The tasks a version is asked by name: the domain's question, the user's own, then the generated ones by name. Of
    those that share a name the later have a number behind it.

    Args:
        taught: ids of the instructions that the training set has rows of; a generated task is left out without.
    """
    own = [instruction for instruction in instructions if is_own(instruction)]
    others = [i for i in instructions if not is_own(i) and i.id in taught]
    tasks = {monitored.name: Question(monitored.instruction(), tuple(monitored.labels))}
    for instruction in [*own, *sorted(others, key=lambda i: (i.task_name, i.id))]:
        question = Question(instruction.prompt, tuple(choices(instruction)))
        if tasks.get(instruction.task_name) != question:
            tasks[_free_name(instruction.task_name, tasks)] = question
    return tasks


def _free_name(name: str, taken: Collection[str]) -> str:
    number = 1
    while (candidate := name if number == 1 else f"{name} ({number})") in taken:
        number += 1
    return candidate


def carried_by(
    folder: Path,
    base: Path,
    instructions: Sequence[Instruction],
    taught: Collection[str],
    texts: Sequence[str],
    params: LabelPriorsParams,
    runtime: RuntimeParams,
    monitored: Monitored,
) -> Carried:
    """What the student in `folder` carries.

    Args:
        base: the base model, for an adapter.
        taught: as `tasks_carried`.
        texts: unlabelled texts of the run; without any, no prior is estimated.
        monitored: what is asked of a text alone.
    """
    tasks = tasks_carried(instructions, taught, monitored)
    asked = {monitored.name, *(instruction.task_name for instruction in instructions if is_own(instruction))}
    questions = {name: question for name, question in tasks.items() if name in asked and question.labels}
    priors = _priors(folder, base, questions, texts, runtime) if texts else {}
    return Carried(tasks, priors, params.strength, params.least, monitored.name, monitored.field)


def _priors(
    folder: Path, base: Path, questions: dict[str, Question], texts: Sequence[str], runtime: RuntimeParams
) -> dict[str, Prior]:
    model, tokenizer = load_student(folder, runtime.device, base=base)
    priors: dict[str, Prior] = {}
    system = read_provenance(folder)["system_prompt"]
    passes = sum(len(label_trie(tokenizer, question.labels).branches) for question in questions.values())
    with Progress("label priors", total=passes * len(texts)) as progress:
        for name, question in questions.items():
            prompts = [question.message(text) for text in texts]
            logprobs = label_logprobs(
                model,
                tokenizer,
                prompts,
                question.labels,
                system=system,
                token_budget=runtime.token_budget,
                progress=progress,
            )
            priors[name] = estimate_prior(logprobs)
    return priors
