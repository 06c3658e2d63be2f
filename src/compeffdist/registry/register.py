"""Registering a trained student: a version that is proved to load and answer before any alias points to it.

The same student is registered once: a version of it with the same code is reused, unless its files are no
longer what was registered, and its tags refreshed, so a forced re-run makes no second version of the same bytes and
a new evaluation takes the place of the former one.
"""

import importlib.metadata
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from compeffdist.artefacts import EVALUATED, TRAINING, TRIPLETS
from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError, one_line
from compeffdist.files import folder_md5, hash_file
from compeffdist.fingerprints import own_fingerprint
from compeffdist.git import Git, NoRepository
from compeffdist.models import ModelIdentity
from compeffdist.models.naming import short_name
from compeffdist.params import Params, RegistryParams
from compeffdist.registry.artifacts import (
    BASE,
    MANIFEST,
    SIGNATURE,
    STUDENT,
    artifact_folder,
    carries,
    file_problems,
    log_attachments,
    manifest,
    model_files,
)
from compeffdist.registry.bounds import without_effort
from compeffdist.registry.local_store import belongs_elsewhere
from compeffdist.registry.signing import is_signed_by, sign_files
from compeffdist.registry.tracking import experiment_id, may_write, open_tracking, store_errors
from compeffdist.student.loading import read_provenance, student_id

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

STAGE = "register_student"
CANDIDATE = "candidate"
CODE_TAG = "code"
"""Of a version: the fingerprint of the stage, which covers the code that is registered with it."""
NO_COMMIT = "unknown"
REQUIREMENTS = ("mlflow", "torch", "transformers", "peft", "pandas", "pydantic", "pyyaml", "jinja2")
"""What a version needs to load; pinned to what is installed."""


@dataclass(frozen=True)
class Registration:
    """The outcome, as metrics/registration.json holds it."""

    model_name: str
    version: int
    alias: str
    """Empty if its gate refused it."""
    student_id: str
    run_id: str
    reused: bool
    """Whether this student had a version already."""
    model_bytes: int
    """Size of the registered files."""
    tried: list[dict[str, Any]]
    """What the loaded version answered before it was given any alias."""
    tags: dict[str, str]


@store_errors()
def register_student(
    folder: Path,
    base_folder: Path,
    settings: RegistryParams,
    tags: Mapping[str, str],
    run_id: str = "",
    attachments: Mapping[str, bytes] = MappingProxyType({}),
    earned: bool = True,
    carried: Mapping[str, Any] = MappingProxyType({}),
    private_key: Path | None = None,
) -> Registration:
    """Register the student in `folder`, try the version, then point the alias `candidate` at it if it has earned it.

    Args:
        base_folder: the base model, registered with an adapter so that the version loads offline.
        tags: of the version; `student_id` and `code` are added.
        run_id: the training run to log the model in; a run of its own if the store does not know it.
        attachments: how the student was evaluated (`artifacts.evaluation_attachments`), which promotion asks for.
        carried: what it knows of questions (`Carried.to_files`). A version that carries something else is another.
        earned: whether it gets the alias. If not, the alias stays where it was, unless that is this version.
        private_key: signs the version, as soon as it is logged. One that this key has not signed is another.

    Raises:
        UserError: if the version does not load or answer; no alias is set then. If the key cannot sign.
    """
    client = open_tracking()
    identifier = student_id(folder)
    files = {name: canonical_json(contents).encode() for name, contents in carried.items()}
    code = own_fingerprint(STAGE)
    known = _sound_version(client, settings.model_name, {"student_id": identifier, CODE_TAG: code}, files, private_key)
    tags = {**tags, "student_id": identifier, CODE_TAG: code}
    adapter = (folder / "adapter_config.json").exists()
    weights = {STUDENT: folder} | ({BASE: base_folder} if adapter else {})
    version = known or _new_version(client, weights, settings, run_id, tags, files)
    attachments = {**attachments, **({} if known else _of_files(client, version, identifier, private_key))}
    tags |= log_attachments(client, str(version.run_id), attachments)
    for key, value in tags.items():
        client.set_model_version_tag(settings.model_name, version.version, key, value)
    tried = _try(client, settings.model_name, version.version)
    if earned:
        client.set_registered_model_alias(settings.model_name, CANDIDATE, version.version)
    elif str(client.get_registered_model(settings.model_name).aliases.get(CANDIDATE)) == str(version.version):
        client.delete_registered_model_alias(settings.model_name, CANDIDATE)
    return Registration(
        model_name=settings.model_name,
        version=int(version.version),
        alias=CANDIDATE if earned else "",
        student_id=identifier,
        run_id=str(version.run_id),
        reused=known is not None,
        model_bytes=sum(p.stat().st_size for kept in weights.values() for p in kept.rglob("*") if p.is_file()),
        tried=tried,
        tags=dict(tags),
    )


def version_tags(
    params: Params, teacher: ModelIdentity, base: ModelIdentity, student: Path, headline: Mapping[str, float]
) -> dict[str, str]:
    """Where a version comes from: commit, data, models, params, and how well it did; what versions are searched by.

    `headline` are the figures people compare versions by; they become tags `metric.NAME`.
    """
    provenance = read_provenance(student)
    tags = {
        "git_commit": git_commit(),
        "profile": params.profile,
        "params_sha256": hash_file(Path("params.yaml")),
        "dataset_md5": hash_file(Path(TRAINING), "md5"),
        "triplets_md5": hash_file(Path(TRIPLETS), "md5"),
        "student_md5": folder_md5(student),
        "training_set_sha256": provenance["training_set_sha256"],
        "domain": params.domain,
        "training_rows": str(provenance["rows"]),
        "teacher": short_name(teacher),
        "teacher_id": teacher.id,
        "teacher_reference": teacher.reference,
        "base": short_name(base),
        "base_id": base.id,
        "base_reference": base.reference,
        "licence": base.licence,
        "method": provenance["method"],
        "label_priors.strength": f"{params.label_priors.strength:g}",
    }
    if Path("dvc.lock").exists():  # absent when the stage is run by hand, outside a pipeline
        tags["dvc_lock_sha256"] = hash_file(Path("dvc.lock"))
    return tags | {f"metric.{name}": f"{value:.4f}" for name, value in sorted(headline.items())}


def headline_metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """The `headline` of an evaluation and the ends of the gain's interval, name -> figure. Raises UserError if it has
    none."""
    headline, mean = evaluation.get("headline"), evaluation.get("mean")
    if not headline or not mean:
        raise UserError(f"{EVALUATED}: no headline figures; run the stage that writes it (dvc repro)")
    gain = mean["student_minus_base"]
    return {**headline, "gain_low": gain["low"], "gain_high": gain["high"]}


def git_commit() -> str:
    """The commit checked out, with "-dirty" if tracked files of this folder differ from it; "unknown" outside git, or
    before the first commit. Raises UserError if there is a repository, but git cannot or will not read it."""
    here = Git(Path())
    try:
        commit = here.head()
    except NoRepository:
        return NO_COMMIT
    return commit + ("-dirty" if here.changed() else "") if commit else NO_COMMIT


def _sound_version(
    client: "MlflowClient", name: str, tags: Mapping[str, str], carried: Mapping[str, bytes], private_key: Path | None
) -> "ModelVersion | None":
    """The latest version that has these tags, that carries these files, and whose files are what was registered; with a
    key, what it signed: nothing is signed because it lay in the registry."""
    versions = client.search_model_versions(f"name = '{name}'")
    same = [version for version in versions if tags.items() <= version.tags.items()]
    newest_first = sorted(same, key=lambda version: int(version.version), reverse=True)
    for version in newest_first:
        sound = _is_ours(client, version) and not file_problems(client, name, version) and carries(version, carried)
        if sound and (private_key is None or is_signed_by(client, version, private_key)):
            return version
    return None


def _is_ours(client: "MlflowClient", version: "ModelVersion") -> bool:
    """Whether a version's files may be added to: in a copy of a checkout it may name those of the original."""
    places = (
        client.get_model_version_download_uri(version.name, version.version),
        client.get_run(str(version.run_id)).info.artifact_uri,
    )
    return not any(belongs_elsewhere(place) for place in places)


def _of_files(
    client: "MlflowClient", version: "ModelVersion", identifier: str, private_key: Path | None
) -> dict[str, bytes]:
    """The attachments on the files of a new version, from these as the store gives them back."""
    with model_files(client, version.name, version.version) as stored:
        student = artifact_folder(stored, STUDENT)
        if student is None or student_id(student) != identifier:
            raise UserError(f"{version.name} version {version.version}: the store gives back other files; try again")
        signature = {SIGNATURE: sign_files(stored, private_key)} if private_key else {}
        return {MANIFEST: canonical_json(manifest(stored)).encode(), **signature}


def _new_version(
    client: "MlflowClient",
    weights: Mapping[str, Path],
    settings: RegistryParams,
    run_id: str,
    tags: Mapping[str, str],
    carried: Mapping[str, bytes],
) -> "ModelVersion":
    """Log and register. The tags come with the version, so that one left by a crash still says what it learnt from."""
    import mlflow

    from compeffdist.registry import model

    package = Path(__file__).parents[1]
    artifacts = {name: str(folder) for name, folder in weights.items()}
    experiment = experiment_id(client, settings.experiment)
    run = client.get_run(run_id) if may_write(client, run_id) else client.create_run(experiment, run_name=STAGE)
    with tempfile.TemporaryDirectory() as extra, mlflow.start_run(run_id=run.info.run_id):
        for name, contents in carried.items():
            artifacts[name] = str(Path(extra) / f"{name}.json")
            Path(artifacts[name]).write_bytes(contents)
        info = mlflow.pyfunc.log_model(
            name="student",
            python_model=str(package / "registry" / "served.py"),
            artifacts=artifacts,
            code_paths=[str(package)],
            signature=model.signature(),
            input_example=model.input_example(),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
        )
        return mlflow.register_model(info.model_uri, settings.model_name, tags=dict(tags))


def _try(client: "MlflowClient", name: str, version: str) -> list[dict[str, Any]]:
    """Load the version offline and ask it once, however tight its bounds and busy this machine. MLflow registers
    versions that cannot answer, too."""
    import mlflow

    from compeffdist.registry.model import input_example

    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        loaded = mlflow.pyfunc.load_model(f"models:/{name}/{version}")
        inside = loaded.unwrap_python_model()
        inside.bounds = without_effort(inside.bounds)
        answers = loaded.predict(input_example())
        shares = answers[0]["probabilities"].values()
        if not all(0.0 <= share <= 1.0 for share in shares) or abs(sum(shares) - 1.0) >= 1e-3:
            raise ValueError(f"probabilities {answers[0]['probabilities']}")
    except Exception as error:  # whatever it is, the version is unfit and must say so
        client.set_model_version_tag(name, version, "predict", "failed")
        raise UserError(
            f"{name} version {version} does not answer: {one_line(error, 300)}; alias {CANDIDATE} was not set"
        ) from error
    client.set_model_version_tag(name, version, "predict", "ok")
    return list(answers)
