"""The registered student as an MLflow pyfunc model: texts in, polarity out; prompts in, answers out.

Logged as code (`served.py`) and files, without a pickle. The version holds everything it needs to load
offline: the full weights (270 MB for a 135M student in bfloat16), or for an adapter (some MB) its base
weights as well, because a version that cannot be loaded without a download is not a version.

Inputs are bounded: this answers on a network port.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.pyfunc.model import PythonModel

from compeffdist.polarity import POLARITIES, polarity_prompt
from compeffdist.registry.artifacts import BASE, STUDENT
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import generate, label_logprobs

MAX_ROWS = 1024
"""Rows of one call."""
MAX_CHARACTERS = 8000
"""Of one text or prompt."""
MAX_NEW_TOKENS = 256
"""Of one generated answer."""
TOKEN_BUDGET = 4096
"""Tokens of one batch, padding included."""


class StudentModel(PythonModel):
    """A row with `text` gives `polarity` and `probabilities`; a row with `prompt` gives `answer`."""

    def load_context(self, context: Any) -> None:
        """Load weights and tokenizer from the version's own files."""
        base = context.artifacts.get(BASE)
        self.model, self.tokenizer = load_student(Path(context.artifacts[STUDENT]), base=Path(base) if base else None)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """One result a row, in order.

        Args:
            model_input: DataFrame with columns `text` and/or `prompt`; each row has exactly one of them.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE (HTTP 400) on rows out of bounds.
        """
        asked = _checked(model_input)
        texts = [index for index, (kind, _) in enumerate(asked) if kind == "text"]
        prompts = [index for index, (kind, _) in enumerate(asked) if kind == "prompt"]
        results: list[dict[str, Any]] = [{} for _ in asked]
        for index, result in zip(texts, self._polarities([asked[i][1] for i in texts]), strict=True):
            results[index] = result
        for index, result in zip(prompts, self._answers([asked[i][1] for i in prompts]), strict=True):
            results[index] = result
        return results

    def _polarities(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        prompts = [polarity_prompt(text) for text in texts]
        rows = label_logprobs(self.model, self.tokenizer, prompts, POLARITIES, token_budget=TOKEN_BUDGET)
        return [
            {
                "polarity": max(POLARITIES, key=lambda label: row[label]),
                "probabilities": {label: math.exp(row[label]) for label in POLARITIES},
            }
            for row in rows
        ]

    def _answers(self, prompts: Sequence[str]) -> list[dict[str, Any]]:
        answers = generate(self.model, self.tokenizer, prompts, MAX_NEW_TOKENS, token_budget=TOKEN_BUDGET)
        return [{"answer": answer} for answer in answers]


def _checked(model_input: pd.DataFrame) -> list[tuple[str, str]]:
    """(`text` or `prompt`, its value) of each row. Raises MlflowException naming the first out of bounds."""
    unknown = sorted(set(map(str, model_input.columns)) - {"text", "prompt"})
    if unknown:
        raise _invalid(f"unknown column {unknown[0]!r}; expected text or prompt")
    if model_input.columns.empty:  # a server drops columns that the signature does not name
        raise _invalid("no column is named text or prompt")
    if not 0 < len(model_input) <= MAX_ROWS:
        raise _invalid(f"expected 1 to {MAX_ROWS} rows, got {len(model_input)}")
    asked: list[tuple[str, str]] = []
    for number, row in enumerate(model_input.to_dict("records"), 1):
        given = [(kind, value) for kind, value in row.items() if isinstance(value, str) and value.strip()]
        if len(given) != 1:
            raise _invalid(f"row {number}: expected a non-empty text or a non-empty prompt, and not both")
        if len(given[0][1]) > MAX_CHARACTERS:
            raise _invalid(f"row {number}: {len(given[0][1])} characters, at most {MAX_CHARACTERS}")
        asked.append((str(given[0][0]), given[0][1]))
    return asked


def _invalid(message: str) -> Exception:
    from mlflow import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    return MlflowException(message, error_code=INVALID_PARAMETER_VALUE)


def signature() -> Any:
    """Columns `text` and `prompt`, both optional strings. Results differ by column, so none is declared."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    text, prompt = (ColSpec(DataType.string, name, required=False) for name in ("text", "prompt"))
    return ModelSignature(inputs=Schema([text, prompt]))


def input_example() -> pd.DataFrame:
    """A row as a client would send it."""
    return pd.DataFrame({"text": ["The battery lasts two days, but the screen scratches easily."]})
