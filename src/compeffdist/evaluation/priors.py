"""Label priors of evaluation tasks: what a system says on average of a task's own texts, and its answers without it.

The rows of a task are one request, as a user would make it of a question that a version carries no prior of: the prior
is the mean of the likelihoods of its answers (Batch Calibration, Zhou et al. 2023). No gold label is used. Predictions
keep the likelihoods as they were given, so that figures at any strength can be had of the same answers.
"""

import dataclasses
import math
from collections.abc import Sequence

from compeffdist.label_priors import Prior, calibrate, estimate_prior, likeliest
from compeffdist.params import EvaluationTask
from compeffdist.records import Prediction


def estimate_priors(predictions: Sequence[Prediction], tasks: Sequence[EvaluationTask]) -> dict[str, Prior]:
    """The prior of each task, from one system's answers to its rows; none of a task without likelihoods."""
    priors: dict[str, Prior] = {}
    for task in tasks:
        given = [_logprobs(prediction, task) for prediction in predictions if prediction.task == task.name]
        if prior := estimate_prior(given):
            priors[task.name] = prior
    return priors


def take_out(predictions: Sequence[Prediction], tasks: Sequence[EvaluationTask], strength: float) -> list[Prediction]:
    """One system's predictions with the label that is likeliest once the prior of its task is taken out at `strength`;
    likelihoods stay as they are. A task without a prior is answered by the likelihoods alone."""
    priors = estimate_priors(predictions, tasks) if strength else {}
    by_name = {task.name: task for task in tasks}
    decided = []
    for prediction in predictions:
        task = by_name[prediction.task]
        prior = priors.get(task.name)
        given = dict(zip(task.labels, prediction.probabilities, strict=True))
        left = calibrate([_logprobs(prediction, task)], prior, strength)[0] if prior else given
        decided.append(dataclasses.replace(prediction, predicted=likeliest(left)))
    return decided


def _logprobs(prediction: Prediction, task: EvaluationTask) -> dict[str, float]:
    given = zip(task.labels, prediction.probabilities, strict=True)
    return {label: math.log(value) if value else -math.inf for label, value in given}
