"""Asking a registered version in this process."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError, one_line
from compeffdist.files import read_jsonl
from compeffdist.registry.register import CANDIDATE
from compeffdist.registry.tracking import open_tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH_ROWS = 256


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a JSON Lines file, each with a `text` or a `prompt`; other fields are left out.

    Raises:
        UserError: naming the row that has neither, or both.
    """
    rows: list[dict[str, str]] = []
    for number, value in enumerate(read_jsonl(path), 1):
        keys = [key for key in ("text", "prompt") if isinstance(value, dict) and isinstance(value.get(key), str)]
        if len(keys) != 1:
            raise UserError(f"{path}: row {number}: expected a string `text` or a string `prompt`, and not both")
        rows.append({keys[0]: value[keys[0]]})
    if not rows:
        raise UserError(f"{path}: no rows")
    return rows


def ask_model(uri: str, rows: Sequence[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Results of a registered version, in the order of `rows` (see `registry.model`).

    Raises:
        UserError: if there is no such version, or it refuses a row.
    """
    import mlflow
    import pandas as pd

    client = open_tracking()
    try:
        model = mlflow.pyfunc.load_model(uri)
        for start in range(0, len(rows), BATCH_ROWS):
            yield from model.predict(pd.DataFrame(rows[start : start + BATCH_ROWS]))
    except mlflow.MlflowException as error:
        raise UserError(_no_candidate(client, uri) or f"{uri}: {one_line(error, 300)}") from None


def _no_candidate(client: "MlflowClient", uri: str) -> str:
    """What to do where alias candidate is asked for and no version has it; empty if that is not the matter."""
    from mlflow import MlflowException

    name, _, alias = uri.removeprefix("models:/").partition("@")
    if alias != CANDIDATE:
        return ""
    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException:
        return f"there is no registered model {name}: make one with dvc repro, or name another with --model"
    if CANDIDATE in aliases:
        return ""
    newest = max(int(version.version) for version in client.search_model_versions(f"name = '{name}'"))
    others = [f"models:/{name}@{other}" for other in sorted(aliases)]
    return (
        f"no version of {name} is {CANDIDATE}: no student has passed its gate yet (compeffdist results says why); to "
        f"ask one all the same, name it: --model {' or '.join([*others, f'models:/{name}/{newest}'])}"
    )
