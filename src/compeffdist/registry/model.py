"""The registered student as an MLflow pyfunc model: texts with a question in, labels out; prompts in, answers out.

Logged as code (`served.py`) and files, without a pickle. The version holds everything it needs to load
offline: the full weights (270 MB for a 135M student in bfloat16), or for an adapter (some MB) its base
weights as well, because a version that cannot be loaded without a download is not a version.

Labels are chosen by likelihood with the student's prior taken out (`label_priors`): the one the version carries of the
question; else one from the texts of the request, if there are enough; else one from inputs without content. With the
first and the last, what a row is answered does not depend on the other rows. This answers on a network port: requests
are bounded, by what they hold (`questions`) and by what they would take (`effort`), and answered one at a time, since
each uses all cores; MLflow's server is fenced (`fence`).
"""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.pyfunc.model import PythonModel

from compeffdist.errors import UserError
from compeffdist.label_priors import Prior, calibrate, likeliest, prior_of, shrunk_prior
from compeffdist.registry.artifacts import BASE, STRENGTH, STUDENT
from compeffdist.registry.bounds import TOO_LARGE, TooLarge, read_bounds
from compeffdist.registry.effort import Effort, Speedometer, measure_speed
from compeffdist.registry.fence import fence_server
from compeffdist.registry.questions import COLUMNS, Asked, Question, by_question, read_carried, read_request
from compeffdist.student.loading import load_student, read_provenance
from compeffdist.student.prediction import generate, label_logprobs

MAX_NEW_TOKENS = 256
"""Of one generated answer."""
TOKEN_BUDGET = 4096
"""Tokens of one batch, padding included."""
NEUTRAL = ("N/A", "[MASK]", "")
"""Inputs without content (Zhao et al. 2021, section 5)."""
NEUTRAL_SHARE = 0.5
"""… and how much of the strength their prior is taken out at: what a model says of them is a poor guide to what it says
of texts (docs/label-priors.md has the measurement)."""
REMEMBERED = 256
"""Questions whose prior from neutral inputs is kept; three forward passes each."""


class StudentModel(PythonModel):
    """A row with `text` gives `label`, `probabilities` and `prior` (whence it was: `version`, `request`, `neutral`,
    `none`), and the label under its domain's word for it if nothing else is asked; a row with `prompt`, or a task
    without labels, gives `answer`."""

    def load_context(self, context: Any) -> None:
        """Load weights, tokenizer and what is known of questions from the version's own files. Within MLflow's server,
        which is about to be made, that is fenced."""
        self.bounds = read_bounds(context.artifacts)
        base = context.artifacts.get(BASE)
        student = Path(context.artifacts[STUDENT])
        self.model, self.tokenizer = load_student(student, base=Path(base) if base else None)
        self.system = read_provenance(student)["system_prompt"]
        self.carried = read_carried(context.artifacts)
        self.neutral: dict[Question, Prior] = {}
        self.turn = threading.Lock()
        self.speedometer = Speedometer(lambda: measure_speed(self.model, self.tokenizer, self.system))
        if fence_server(self.bounds):
            self.speedometer.speed()  # measured now, before there are requests to wait

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One result a row, in order.

        Args:
            model_input: DataFrame with columns of `questions.COLUMNS`; what a row may hold, see `read_request`.
            params: `prior_strength`.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE (HTTP 400) on rows out of bounds, labels that cannot be told apart,
                prompts longer than the student's context; with `reason` TOO_LARGE (HTTP 413 from a server) if all of
                the request is too much, which is known before any of it is answered.
        """
        try:
            strength = self._strength(params or {})
            asked = read_request(model_input, self.carried, self.bounds)
            with self.turn:
                self._expect_effort(asked, strength)
                return self._results(asked, strength)
        except TooLarge as error:
            raise _invalid(str(error), reason=TOO_LARGE) from None
        except (ValueError, UserError) as error:
            raise _invalid(str(error)) from None

    def _expect_effort(self, asked: Sequence[Asked], strength: float) -> None:
        """Raises TooLarge if the request would take too many tokens, or too long."""
        effort = Effort(self.tokenizer, self.system, self.bounds)
        for question, places in by_question(asked).items():
            texts = dict.fromkeys(asked[place].text for place in places)
            if question.labels:
                effort.weigh(map(question.message, texts), question.labels)
                if strength and len(texts) < self.carried.least and not self._known_prior(question):
                    effort.weigh(map(question.message, NEUTRAL), question.labels)
        effort.answer(_free_prompts(asked), MAX_NEW_TOKENS)
        self.speedometer.expect_time(effort, TOKEN_BUDGET)

    def _results(self, asked: Sequence[Asked], strength: float) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = [{} for _ in asked]
        for question, places in by_question(asked).items():
            if question.labels:
                decided = self._labels(question, [asked[place].text for place in places], strength)
                for place, result in zip(places, decided, strict=True):
                    results[place] = result | ({self.carried.field: result["label"]} if asked[place].plain else {})
        free = [place for place, row in enumerate(asked) if not row.question.labels]
        for place, answer in zip(free, self._answers(list(_free_prompts(asked))), strict=True):
            results[place] = {"answer": answer}
        return results

    def _strength(self, params: dict[str, Any]) -> float:
        strength = params.get(STRENGTH)
        if strength is None:
            return self.carried.strength
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"{STRENGTH} must be from 0 to 1, got {strength}")
        return float(strength)

    def _labels(self, question: Question, texts: Sequence[str], strength: float) -> list[dict[str, Any]]:
        logprobs = self._logprobs(question, texts)
        prior, source = self._prior(question, texts, logprobs) if strength else (None, "none")
        decided = calibrate(logprobs, prior, strength * NEUTRAL_SHARE if source == "neutral" else strength)
        return [{"label": likeliest(row), "probabilities": row, "prior": source} for row in decided]

    def _prior(
        self, question: Question, texts: Sequence[str], logprobs: Sequence[dict[str, float]]
    ) -> tuple[Prior, str]:
        """The prior of a question, and where it is from."""
        if carried := self.carried.prior_of(question):
            return carried, "version"
        distinct = dict(zip(texts, logprobs, strict=True))
        if len(distinct) >= self.carried.least:
            return shrunk_prior(list(distinct.values())), "request"
        known = self.neutral.get(question)
        if known is None:
            known = prior_of(self._logprobs(question, NEUTRAL))
            if len(self.neutral) >= REMEMBERED:
                self.neutral.clear()
            self.neutral[question] = known
        return known, "neutral"

    def _known_prior(self, question: Question) -> bool:
        return bool(self.carried.prior_of(question)) or question in self.neutral

    def _logprobs(self, question: Question, texts: Sequence[str]) -> list[dict[str, float]]:
        """One of each text. Copies are asked once: it is cheaper, and rows of a batch differ in their last bits."""
        distinct = list(dict.fromkeys(texts))
        prompts = [question.message(text) for text in distinct]
        found = label_logprobs(
            self.model, self.tokenizer, prompts, question.labels, system=self.system, token_budget=TOKEN_BUDGET
        )
        by_text = dict(zip(distinct, found, strict=True))
        return [by_text[text] for text in texts]

    def _answers(self, prompts: Sequence[str]) -> list[str]:
        if not prompts:
            return []
        return generate(
            self.model, self.tokenizer, prompts, MAX_NEW_TOKENS, system=self.system, token_budget=TOKEN_BUDGET
        )


def _free_prompts(asked: Iterable[Asked]) -> Iterable[str]:
    return (row.question.message(row.text) for row in asked if not row.question.labels)


def _invalid(message: str, **more: str) -> Exception:
    from mlflow import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE, **more)


def signature() -> Any:
    """The columns, all optional strings, and the param. Results differ by column, so none is declared."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    columns: list[Any] = [ColSpec(DataType.string, name, required=False) for name in COLUMNS]
    return ModelSignature(
        inputs=Schema(columns), params=ParamSchema([ParamSpec(STRENGTH, DataType.double, default=None)])
    )


def input_example() -> pd.DataFrame:
    """A row as a client would send it."""
    return pd.DataFrame({"text": ["The battery lasts two days, but the screen scratches easily."]})
