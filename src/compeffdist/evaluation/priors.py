"""Label priors of evaluation tasks: what a system says on average of the run's own texts, asked a task's question.

No gold label and no text of an evaluation row is used. A task whose question has further fields (the target of a
stance, say) is asked with those of its rows in turn. Predictions keep the likelihoods as they were given, so that
figures at any strength can be had of the same answers.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import Prediction, Scorer, evaluation_prompt
from compeffdist.evaluation.tasks import EvaluationRow
from compeffdist.files import read_json
from compeffdist.label_priors import Prior, calibrate, estimate_prior, likeliest
from compeffdist.params import EvaluationTask

TaskPriors = Mapping[str, Prior]
"""Task -> prior; a task without an answer that has likelihoods is missing."""


def estimate_priors(
    rows: Sequence[EvaluationRow], tasks: Sequence[EvaluationTask], texts: Sequence[str], score: Scorer
) -> dict[str, Prior]:
    """The prior of each task, from `texts` asked its question.

    Args:
        rows: of all tasks; of these only what a question needs beside the text.
        score: the system.
    """
    priors: dict[str, Prior] = {}
    for task in tasks if texts else ():
        own = sorted((row for row in rows if row.task == task.name), key=lambda row: row.id)
        # a row's id covers its text, so it is made anew
        asked = [
            dataclasses.replace(own[place % len(own)], id="", text=text) for place, text in enumerate(texts) if own
        ]
        if prior := estimate_prior(score([evaluation_prompt(row, task) for row in asked], tuple(task.labels))):
            priors[task.name] = prior
    return priors


def take_out(
    predictions: Sequence[Prediction], tasks: Sequence[EvaluationTask], priors: TaskPriors, strength: float
) -> list[Prediction]:
    """The predictions with the label that is likeliest once the prior of its task is taken out at `strength`;
    likelihoods stay as they are. A task without a prior is answered by the likelihoods alone."""
    labels = {task.name: task.labels for task in tasks}
    decided = []
    for prediction in predictions:
        given = dict(zip(labels[prediction.task], prediction.probabilities, strict=True))
        logprobs = {label: math.log(value) if value else -math.inf for label, value in given.items()}
        prior = priors.get(prediction.task)
        probabilities = calibrate([logprobs], prior, strength)[0] if prior else given
        decided.append(dataclasses.replace(prediction, predicted=likeliest(probabilities)))
    return decided


def read_system_priors(source: Path) -> dict[str, TaskPriors]:
    """System -> task -> prior, as the evaluation stages wrote them. Raises UserError if the file is not that."""
    value: Any = read_json(source)
    if not isinstance(value, dict) or not all(isinstance(tasks, dict) for tasks in value.values()):
        raise UserError(f"{source}: not label priors by system and task; run the stage that writes it again")
    return value
