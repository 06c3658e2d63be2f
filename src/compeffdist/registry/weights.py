"""The weights of a model, wherever a reference says they are, opened to ask it evaluation rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compeffdist.domain import domain_here
from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import predict_rows, student_scorer
from compeffdist.models import find_model_folder
from compeffdist.models.references import short
from compeffdist.params import EvaluationParams, RuntimeParams
from compeffdist.records import EvaluationRow, Prediction
from compeffdist.registry.artifacts import BASE, STUDENT, artifact_folder, find_version, model_files
from compeffdist.registry.tracking import found_or_none, open_registry, store_errors
from compeffdist.student.loading import PROVENANCE, student_id
from compeffdist.tracking_uri import SCHEME

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

API = "api:"


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
