"""Asking models in this process: a registered version what a request may ask of it, any model evaluation rows."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.domain import domain_here
from compeffdist.errors import UserError, one_line
from compeffdist.evaluation.predictions import predict_rows, student_scorer
from compeffdist.files import read_json
from compeffdist.models import find_model_folder
from compeffdist.models.references import short
from compeffdist.params import EvaluationParams, RuntimeParams
from compeffdist.records import EvaluationRow, Prediction
from compeffdist.registry.artifacts import BASE, STRENGTH, STUDENT, TASKS, artifact_folder, find_version, model_files
from compeffdist.registry.local_store import located
from compeffdist.registry.register import CANDIDATE
from compeffdist.registry.tracking import found_or_none, open_registry, raise_if_lost, store_errors
from compeffdist.student.loading import PROVENANCE, student_id
from compeffdist.texts.normalise import whole_characters
from compeffdist.tracking_uri import SCHEME

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

API = "api:"
BATCH_ROWS = 256


def ask_model(
    uri: str, rows: Sequence[Mapping[str, str]], strength: float | None = None, numbers: Sequence[int] | None = None
) -> Iterator[dict[str, Any]]:
    """Results of a registered version, in the order of `rows` (see `registry.model`).

    Rows are sent in requests of about the same size: a prior is estimated from the texts of a request.

    Args:
        strength: how much of a label prior is taken out; None: as the version says.
        numbers: of the rows in their file, for the message that one is refused; None: from 1.

    Raises:
        UserError: if there is no such version, or it refuses a row.
    """
    if not rows:
        return
    import mlflow
    import pandas as pd

    client = open_registry()
    numbers, part = numbers or range(1, len(rows) + 1), range(0)
    try:
        model = _loaded(client, uri)
        if strength is not None and not (model.metadata.signature and model.metadata.signature.params):
            raise UserError(f"{uri}: an older version, which takes no label prior out; register the student anew")
        params = None if strength is None else {STRENGTH: strength}
        for part in even_parts(len(rows), BATCH_ROWS):
            # a frame cannot hold halves of characters
            whole = [{key: whole_characters(value) for key, value in rows[place].items()} for place in part]
            results: Any = model.predict(pd.DataFrame(whole), params=params)
            yield from results
    except (mlflow.MlflowException, ImportError) as error:
        raise_if_lost(error)
        said = _renumbered(str(error), numbers[part.start : part.stop])
        raise UserError(f"{uri}: {one_line(said, 300)}") from None


def _renumbered(message: str, numbers: Sequence[int]) -> str:
    """A version's message with the number that the row it names has in the file in place of that in the request."""
    named = re.match(r"row (\d+): ", message)
    if named is None or not 0 < int(named[1]) <= len(numbers):
        return message
    return f"row {numbers[int(named[1]) - 1]}: {message[named.end() :]}"


def _loaded(client: "MlflowClient", uri: str) -> Any:
    """A version as MLflow loads it, where it lies: nothing is written beside it, not even compiled code."""
    import mlflow

    version = _named(client, uri)
    place = located(client.get_model_version_download_uri(version.name, version.version)) if version else None
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return mlflow.pyfunc.load_model(uri if place is None else str(place))
    finally:
        sys.dont_write_bytecode = written


def _named(client: "MlflowClient", uri: str) -> "ModelVersion | None":
    """The registered version that is meant, none if it is something else MLflow can load. Raises UserError if there is
    no such version."""
    if not re.fullmatch(r"models:/[^/@]+(/[0-9]+|@[^/]+)", uri):
        return None
    try:
        return named_version(client, uri)
    except UserError as error:
        raise UserError(_no_candidate(client, uri) or str(error)) from None


def even_parts(count: int, most: int) -> list[range]:
    """The fewest ranges of at most `most` that cover `count`, their sizes equal plus or minus one."""
    parts = -(-count // most)
    return [range(count * place // parts, count * (place + 1) // parts) for place in range(parts)]


def tasks_of(uri: str) -> list[dict[str, Any]]:
    """The tasks a registered version is asked by name, each with `name`, `prompt` and `labels` (none: a free answer).
    Raises UserError if there is no such version, or it carries no tasks."""
    client = open_registry()
    version = _named(client, uri)
    if version is None:
        raise UserError(f"{uri}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
    with model_files(client, version.name, version.version) as folder:
        found = artifact_folder(folder, TASKS)
        if found is None:
            raise UserError(f"{uri}: an older version, which names no tasks; register the student anew")
        return list(read_json(found))


def _no_candidate(client: "MlflowClient", uri: str) -> str:
    """What to do where alias candidate is asked for and no version has it; empty if that is not the matter."""
    from mlflow import MlflowException

    name, _, alias = uri.removeprefix(SCHEME).partition("@")
    if alias != CANDIDATE:
        return ""
    try:
        model = found_or_none(client.get_registered_model, name)
    except MlflowException as error:
        raise_if_lost(error)
        return ""
    if model is None:
        return f"there is no registered model {name}: make one with dvc repro, or name another with --model"
    if CANDIDATE in model.aliases:
        return ""
    numbers = [int(version.version) for version in client.search_model_versions(f"name = '{name}'")]
    if not numbers:
        return f"{name} has no versions: make one with dvc repro, or name another model with --model"
    others = [f"models:/{name}@{other}" for other in sorted(model.aliases)]
    return (
        f"no version of {name} is {CANDIDATE}: no student has passed its gate yet (compeffdist results says why); to "
        f"ask one all the same, name it: --model {' or '.join([*others, f'models:/{name}/{max(numbers)}'])}"
    )


@dataclass(frozen=True)
class OpenedModel:
    """Where a model's weights lie."""

    folder: Path
    base: Path | None
    """Of the base weights, where the folder holds an adapter."""
    id: str
    """The student's id, or what the model was called where it is no student."""


@contextmanager
def open_model(reference: str, runtime: RuntimeParams, base: str = "") -> Iterator[OpenedModel]:
    """The weights of a model while the block runs. Raises UserError if there is none, or if the base of an adapter is
    not named.

    Args:
        reference: `models:/NAME/VERSION`, `models:/NAME@ALIAS`, a folder, or a reference as in `models.student`.
        base: the same of its base model, for a folder with an adapter; a registered version has its own.
    """
    if reference.startswith(SCHEME):
        client = open_registry()
        version = named_version(client, reference)
        with model_files(client, version.name, version.version) as files:
            student = artifact_folder(files, STUDENT)
            if student is None:
                raise UserError(f"{reference}: it holds no student")
            yield OpenedModel(student, artifact_folder(files, BASE), version.tags.get("student_id", reference))
        return
    if reference.startswith(API):
        raise UserError(f"{reference}: a model behind an API cannot be asked here: its weights are elsewhere")
    folder = find_model_folder(reference, runtime.cache)
    if (folder / "adapter_config.json").exists() and not base:
        raise UserError(f"{reference}: holds an adapter; name the model it was trained on with --base")
    own_id = student_id(folder) if (folder / PROVENANCE).exists() else reference
    yield OpenedModel(folder, find_model_folder(base, runtime.cache) if base else None, own_id)


def named_version(client: "MlflowClient", reference: str) -> "ModelVersion":
    """The version that `models:/NAME/VERSION` or `models:/NAME@ALIAS` names. Raises UserError if there is none."""
    name, at, alias = reference.removeprefix(SCHEME).rpartition("@")
    if not at:
        name, _, number = reference.removeprefix(SCHEME).rpartition("/")
        if not name:
            raise UserError(f"{reference}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
        return find_version(client, name, number)
    # stores differ in how they say that there is no such alias, hence the model, which either is there or not
    with store_errors():
        model = found_or_none(client.get_registered_model, name)
        aliases = model.aliases if model else {}
        if alias in aliases:
            return client.get_model_version_by_alias(name, alias)
    raise UserError(f"{reference}: there is no such version (aliases: {', '.join(sorted(aliases)) or 'none'})")


def ask_rows(
    reference: str, rows: Sequence[EvaluationRow], params: EvaluationParams, runtime: RuntimeParams, base: str = ""
) -> list[Prediction]:
    """What a model answers to evaluation rows, as `predict_rows`. Raises UserError as `open_model`."""
    with open_model(reference, runtime, base) as model:
        label, system = f"evaluation of {short(reference)}", domain_here().system_prompts.student
        score = student_scorer(model.folder, model.base, runtime, label, system)
        return predict_rows(rows, params, reference, model.id, score)
