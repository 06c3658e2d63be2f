"""What is kept with a model version, so that it can be checked and judged wherever the tracking server is reached.

Small files, the attachments, lie in the version's run, each in a folder named by its SHA-256, which a tag of the
version holds: the manifest of the registered files, the predictions of student and base student, and the
evaluation rows they are of (ids, tasks and labels; no text); where versions are signed, the signature. A new
evaluation adds files and moves the tags, so that no crash leaves a version with half of each.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from compeffdist.canonical import canonical_json, hash_bytes
from compeffdist.errors import UserError, one_line
from compeffdist.files import folder_md5, hash_file, read_jsonl
from compeffdist.params import EvaluationTask
from compeffdist.registry.bytecode import planted_bytecode, source_of
from compeffdist.registry.local_store import located
from compeffdist.registry.tracking import found_or_none

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MANIFEST = "files.json"
"""Path in the registered model -> SHA-256, of every file."""
PREDICTIONS = "student_predictions.parquet"
ROWS = "evaluation_rows.json"
"""Task -> its `labels`, its `question` and `subject`, and its `rows`: row id -> gold label."""
SIGNATURE = "signature.sig"
"""Of the registered files, where they were signed (`signing`)."""
NOTE_OF_ORIGIN = "registered_model_meta"
"""A file that MLflow leaves in a model it was asked for by a version's name."""
STUDENT, BASE = "student", "base"
"""A version's two models, by which its files and its predictions are named. It has files of `base` only with an
adapter."""
TASKS, PRIORS, MONITORED = "tasks", "label_priors", "monitored"
"""Of what a version carries beside its weights (`questions`), the files less their ending `.json`."""
SERVING = "serving"
"""… and the file of what it is served within (`bounds`)."""
STRENGTH = "prior_strength"
"""Param of a request to a version: how much of a label prior is taken out, 0 to 1, in place of what it says itself."""
FOLDER = "evidence"
"""Of a run's artifacts, where they lie."""


def tag_of(name: str) -> str:
    """The tag of a version that holds the SHA-256 of an attachment, e.g. `files_sha256`."""
    return f"{Path(name).stem}_sha256"


def evaluation_attachments(predictions: Path, rows: Path, tasks: Sequence[EvaluationTask]) -> dict[str, bytes]:
    """The attachments of an evaluation, name -> contents, from data/student_predictions.parquet and
    data/evaluation.jsonl. Raises UserError if one is missing."""
    if not predictions.exists():
        raise UserError(f"{predictions}: no such file; run the stage that writes it (dvc repro)")
    answered = list(read_jsonl(rows))
    described = {
        task.name: {
            "labels": task.labels,
            "question": task.question,
            "subject": task.subject,
            "rows": {row["id"]: row["label"] for row in answered if row["task"] == task.name},
        }
        for task in tasks
    }
    return {PREDICTIONS: predictions.read_bytes(), ROWS: canonical_json(described).encode()}


def log_attachments(client: "MlflowClient", run_id: str, attachments: Mapping[str, bytes]) -> dict[str, str]:
    """Store attachments in a run; returns the tags the version is to have, once all of it is there."""
    here = located(client.get_run(run_id).info.artifact_uri)
    digests = {name: hash_bytes(contents) for name, contents in attachments.items()}
    with tempfile.TemporaryDirectory() as folder:
        for name, digest in digests.items():
            # MLflow remembers where a run's files lay when this process first asked
            target = (here or Path(folder)) / FOLDER / digest
            target.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(attachments[name])
            if here is None:
                client.log_artifact(run_id, str(target / name), f"{FOLDER}/{digest}")
    return {tag_of(name): digest for name, digest in digests.items()}


def read_attachment(version: "ModelVersion", name: str) -> bytes:
    """The contents of an attachment, checked against its tag. Raises UserError if the version has none, it cannot be
    fetched, or it is not what was stored."""
    from mlflow import MlflowClient, MlflowException

    digest = version.tags.get(tag_of(name))
    if not digest:
        raise UserError(
            f"{name} is not kept with the version (no tag {tag_of(name)}): its registration is an old one or was cut "
            "short; register anew, at its commit: dvc repro -f -s register_student"
        )
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = MlflowClient().get_run(str(version.run_id)).info.artifact_uri
            contents = _here_or_fetched(run, folder, f"{FOLDER}/{digest}/{name}").read_bytes()
        except (MlflowException, OSError, ImportError) as error:
            raise UserError(f"{name} cannot be fetched from run {version.run_id}: {one_line(error, 200)}") from None
    if hash_bytes(contents) != digest:
        raise UserError(f"{name} in run {version.run_id} is not what was stored: its SHA-256 is not tag {tag_of(name)}")
    return contents


@contextmanager
def model_files(client: "MlflowClient", name: str, version: str) -> Iterator[Path]:
    """The registered files of a version: where they lie if that is a folder here, else a copy that is removed
    afterwards. Raises UserError if they cannot be fetched."""
    from mlflow import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            # not by models:/NAME/VERSION, which writes a file into the model on every download
            fetched = _here_or_fetched(client.get_model_version_download_uri(name, version), folder)
            if not (fetched / "MLmodel").is_file():
                raise FileNotFoundError(f"there is no model in {fetched}")
        except (MlflowException, OSError, ImportError) as error:
            raise UserError(
                f"the files of {name} version {version} cannot be fetched: {one_line(error, 200)}"
            ) from None
        yield fetched


def _here_or_fetched(uri: str, folder: str, path: str = "") -> Path:
    """What lies at `path` of a place that MLflow names, copied into `folder` unless that place is a folder here."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    here = located(uri)
    return Path(get_artifact_repository(uri).download_artifacts(path, folder)) if here is None else here / path


def artifact_folder(model: Path, role: str) -> Path | None:
    """Where a registered model keeps the weights of `student` or `base`; none if it has none."""
    flavour = yaml.safe_load((model / "MLmodel").read_text(encoding="utf-8"))["flavors"]["python_function"]
    entry = flavour["artifacts"].get(role)
    return model / entry["path"] if entry else None


def manifest(model: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file of a registered model, but for what loading it in place leaves there: MLflow's
    note of where it came from, and the bytecode Python keeps beside the code (`planted_bytecode`)."""
    return {
        path.relative_to(model).as_posix(): hash_file(path)
        for path in sorted(model.rglob("*"))
        if path.is_file() and path != model / NOTE_OF_ORIGIN and path.parent.name != "__pycache__"
    }


def carries(version: "ModelVersion", files: Mapping[str, bytes]) -> bool:
    """Whether a version's artifacts beside its weights are these, name (less `.json`) -> contents, by its manifest."""
    kept: dict[str, str] = json.loads(read_attachment(version, MANIFEST))
    beside = {path: digest for path, digest in kept.items() if re.fullmatch(r"artifacts/[^/]+\.json", path)}
    return beside == {f"artifacts/{name}.json": hash_bytes(contents) for name, contents in files.items()}


def file_problems(client: "MlflowClient", name: str, version: "ModelVersion", student_md5: str = "") -> list[str]:
    """How the registered files differ from the version's manifest, one line a file; empty if they do not.

    Args:
        student_md5: of the student that must be among them, as DVC hashes a folder; not looked at if empty.
    """
    try:
        expected: dict[str, str] = json.loads(read_attachment(version, MANIFEST))
        with model_files(client, name, version.version) as folder:
            found = manifest(folder)
            planted, other = planted_bytecode(folder), []
            student = artifact_folder(folder, STUDENT) if student_md5 else None
            if student_md5 and (student is None or folder_md5(student) != student_md5):
                other.append(f"the registered student is not the one with MD5 {student_md5} that its data leads to")
    except UserError as error:
        return [str(error)]
    changed = sorted(path for path, digest in found.items() if expected.get(path, digest) != digest)
    missing = sorted(expected.keys() - found.keys())
    return [
        *(f"{path} is missing from the registered model" for path in missing),
        *(f"{path} of the registered model is not what was registered" for path in changed),
        *(f"{path} was added to the registered model" for path in sorted(found.keys() - expected.keys())),
        # of a source that is not as it was registered, enough is said
        *(
            f"{path} is not bytecode of the source beside it: remove it"
            for path in planted
            if source_of(path) not in {*changed, *missing}
        ),
        *other,
    ]


def verify_version(client: "MlflowClient", name: str, version: int | str, student_md5: str = "") -> list[str]:
    """What of a version is not as it was registered: its files (see `file_problems`), its attachments. One line each;
    empty if all is. Raises UserError if there is no such version."""
    found = find_version(client, name, version)
    problems = file_problems(client, name, found, student_md5)
    for name_of in (PREDICTIONS, ROWS):
        try:
            read_attachment(found, name_of)
        except UserError as error:
            problems.append(str(error))
    return problems


def find_version(client: "MlflowClient", name: str, version: int | str) -> "ModelVersion":
    """A version of a registered model. Raises UserError naming the versions there are."""
    from mlflow import MlflowException

    try:
        found = found_or_none(client.get_model_version, name, str(version))
    except MlflowException as error:
        raise UserError(f"{name} version {version}: {one_line(error, 300)}") from None
    if found is not None:
        return found
    there = sorted(int(other.version) for other in client.search_model_versions(f"name = '{name}'"))
    known = f"there are {', '.join(map(str, there))}" if there else "there are none; run dvc repro"
    raise UserError(f"{name} has no version {version}; {known}")
