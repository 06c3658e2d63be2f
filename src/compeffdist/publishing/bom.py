"""The models and data of a run as a bill of materials: CycloneDX 1.6 with the model cards of an ML-BOM.

Components, licences, hashes and dependencies come from the library, which also holds what is written against the
schema. It has no classes for model cards and data yet: these parts are put into its JSON before it checks.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist import __version__
from compeffdist.artefacts import EVALUATED, EVALUATION, IDENTITIES, STUDENT, TEXTS, TRAINING, rejects_of
from compeffdist.canonical import indented_json
from compeffdist.errors import UserError, one_line
from compeffdist.files import hash_file, read_json
from compeffdist.lineage.repository import Repository, files_in
from compeffdist.lineage.snapshot import TRAINED_BY
from compeffdist.models import ModelIdentity
from compeffdist.models.naming import public, short_name
from compeffdist.publishing.finished import FinishedRun, open_run
from compeffdist.publishing.licences import is_unknown, shown
from compeffdist.publishing.materials import TextsFrom, model_address, text_sources
from compeffdist.publishing.writing import Export, export_file, refuse_file

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

KIND = "bom"
NEEDED = (STUDENT, TRAINING, rejects_of(TRAINED_BY), TEXTS, EVALUATION, EVALUATED, *IDENTITIES)
NAMESPACE = uuid.UUID("8d1c33f4-2a4e-5c0a-9d55-7b4f0c2f6a11")
"""Of serial numbers: the same contents, the same number."""
STUDENT_REF, TRAINING_REF, EVALUATION_REF = "student", "data:training", "data:evaluation"
PROPERTY = "compeffdist:"
ROLES = {"teacher": "teacher", "student": "base student", "embedder": "embedder"}
"""What each model of the run is to the student that came of it."""


def export_bom(target: Path, repository: Repository, *, force: bool = False) -> Export:
    """Write the bill of materials of the run in the working folder. Raises UserError as `open_run` and `refuse_file`;
    or the student's folder is not the one of the run."""
    refuse_file(target, force, is_bom)
    run = open_run(repository, NEEDED)
    written = bom_json(run)
    with export_file(target, force, is_bom) as path:
        path.write_text(written, encoding="utf-8")
    components = json.loads(written)["components"]
    models = sum(component["type"] == "machine-learning-model" for component in components)
    return Export(KIND, target, run.commit, {"models": models + 1, "data sets": len(components) - models})


def bom_json(run: FinishedRun) -> str:
    """The bill of materials. Raises ValueError if it does not fit the schema: a defect of this code."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    student, sources = _student(run), text_sources(run)
    models = {role: _model(role, identity) for role, identity in run.identities.items()}
    texts = [_source(one) for one in sources]
    data = [_training(run), _evaluation(run)]
    bom = Bom(serial_number=uuid.UUID(int=0), components=[*models.values(), *texts, *data])
    bom.metadata.component = student
    bom.metadata.timestamp = run.time
    bom.metadata.tools.components.add(_tool())
    bom.register_dependency(student, [models["student"], data[0]])
    bom.register_dependency(data[0], [*texts, models["teacher"], models["embedder"], models["student"]])
    value = json.loads(JsonV1Dot6(bom).output_as_string())
    _add_cards(value, run, sources)
    del value["serialNumber"]
    value["serialNumber"] = _serial_number(value)
    text = indented_json(value)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"not CycloneDX: {one_line(fault, 300)}")
    return text


def is_bom(path: Path) -> bool:
    """Whether a file is a bill of materials as `bom_json` made it, which its serial number tells."""
    try:
        value = read_json(path)
        return bool(value.pop("serialNumber") == _serial_number(value))
    except (UserError, KeyError, AttributeError, TypeError, ValueError):  # another file, or other JSON
        return False


def _serial_number(value: Mapping[str, Any]) -> str:
    """Of the contents but for it."""
    return f"urn:uuid:{uuid.uuid5(NAMESPACE, indented_json(value))}"


def _tool() -> "Component":
    from cyclonedx.model.component import Component, ComponentType

    return Component(type=ComponentType.APPLICATION, name="compeffdist", version=__version__, bom_ref="compeffdist")


def _student(run: FinishedRun) -> "Component":
    """The student with each of its files; its licence is that of its base."""
    folder = run.repository.root / STUDENT
    if not folder.is_dir() or run.repository.md5_of(folder) != run.lock.md5(STUDENT):
        raise UserError(f"{STUDENT}: not the student that dvc.lock names: dvc checkout, or make it: dvc repro")
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in files_in(folder)}
    properties = {"commit": run.commit, "dvc_lock_sha256": run.lock_sha256, "md5": run.lock.md5(STUDENT)}
    return _component(
        STUDENT_REF, "model", run.name, run.lock.md5(STUDENT)[:12], run.identities["student"].licence, properties, files
    )


def _model(role: str, identity: ModelIdentity) -> "Component":
    properties = {
        "role": ROLES[role],
        "identity": identity.id,
        "reference": one_line(public(identity.reference)),
        "dtype": identity.dtype,
        "parameters": str(identity.parameters or ""),
        "source_sha256": identity.source_sha256,
    }
    purl, _ = model_address(identity)
    name, version = one_line(short_name(identity), 120), identity.revision
    return _component(_model_ref(role), "model", name, version, identity.licence, properties, identity.weights, purl)


def _model_ref(role: str) -> str:
    return f"model:{ROLES[role].replace(' ', '-')}"


def _source(one: TextsFrom) -> "Component":
    properties = {"texts": str(one.texts), "kind": one.kind, "location": one_line(one.location)}
    files = {"data file": one.sha256} if one.sha256 else {}
    return _component(_source_ref(one), "data", one_line(one.name, 120), "", one.licence, properties, files)


def _source_ref(one: TextsFrom) -> str:
    return one_line(f"texts:{one.name}:{one.licence}")


def _training(run: FinishedRun) -> "Component":
    rows = str(len(run.trained_rows()))
    properties = {"rows": rows, "md5": run.lock.md5(TRAINING), "path": str(TRAINING)}
    file = run.file(TRAINING)
    return _component(
        TRAINING_REF, "data", "training rows", "", None, properties, {Path(TRAINING).name: hash_file(file)}
    )


def _evaluation(run: FinishedRun) -> "Component":
    file = run.file(EVALUATION)
    licences = sorted(set(run.snapshot.values(EVALUATION, "licence")))
    rows = str(len(run.snapshot.values(EVALUATION, "id")))
    properties = {"rows": rows, "licences": one_line(", ".join(map(shown, licences))), "path": str(EVALUATION)}
    licence = licences[0] if len(licences) == 1 else None
    return _component(
        EVALUATION_REF, "data", "evaluation rows", "", licence, properties, {Path(EVALUATION).name: hash_file(file)}
    )


def _component(
    ref: str,
    kind: str,
    name: str,
    version: str,
    licence: str | None,
    properties: Mapping[str, str],
    files: Mapping[str, str],
    purl: str = "",
) -> "Component":
    """A component. One file is itself; several are components within it. `licence` None: no one licence holds."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    def hashed(digest: str) -> list[HashType]:
        return [HashType(alg=HashAlgorithm.SHA_256, content=digest)]

    parts = [
        Component(type=ComponentType.FILE, name=one_line(path), hashes=hashed(digest), bom_ref=f"{ref}/{path}")
        for path, digest in sorted(files.items())
    ]
    stated = "unknown" if licence is not None and is_unknown(licence) else licence
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL if kind == "model" else ComponentType.DATA,
        name=name,
        version=version or None,
        bom_ref=ref,
        licenses=[LicenseFactory().make_from_string(one_line(stated, 120))] if stated else [],
        purl=PackageURL.from_string(purl) if purl else None,
        hashes=hashed(next(iter(files.values()))) if len(files) == 1 else [],
        components=parts if len(parts) > 1 else [],
        properties=[Property(name=f"{PROPERTY}{key}", value=value) for key, value in properties.items() if value],
    )


def _add_cards(value: dict[str, Any], run: FinishedRun, sources: Iterable[TextsFrom]) -> None:
    """What the library has no class for: model cards of models, contents of data."""
    described = {_source_ref(one): f"{one.texts:,} texts of users" for one in sources}
    described |= {TRAINING_REF: "rows of instruction, text and a teacher's answer", EVALUATION_REF: "labelled texts"}
    architectures = {_model_ref(role): identity.architecture for role, identity in run.identities.items()}
    value["metadata"]["component"]["modelCard"] = _student_card(run)
    for component in value["components"]:
        ref = component["bom-ref"]
        if component["type"] == "data":
            component["data"] = [{"type": "dataset", "name": component["name"], "description": described[ref]}]
        else:
            component["modelCard"] = {"modelParameters": _parameters(architectures[ref], "")}


def _student_card(run: FinishedRun) -> dict[str, Any]:
    base = run.identities["student"]
    parameters = _parameters(base.architecture, "text classification and extraction by instruction")
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            **parameters,
            "datasets": [{"ref": TRAINING_REF}, {"ref": EVALUATION_REF}],
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(run.json(EVALUATED)))},
    }


def _parameters(architecture: str, task: str) -> dict[str, str]:
    told = {"task": task, "architectureFamily": "transformer", "modelArchitecture": one_line(architecture, 120)}
    return {key: value for key, value in told.items() if value}


def _metrics(evaluation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The student's figures, with the intervals of their confidence in the type, for there is no other place."""
    tasks = {**evaluation["tasks"], "mean of the tasks": evaluation["mean"]}
    for slice_, task in tasks.items():
        for metric, name in (("macro_f1", "macro-F1"), ("accuracy", "accuracy")):
            figure = task[metric]["student"]
            yield {
                "type": f"{name}, {100 * evaluation['confidence']:g}% interval",
                "value": f"{figure['estimate']:.4f}",
                "slice": slice_,
                "confidenceInterval": {"lowerBound": f"{figure['low']:.4f}", "upperBound": f"{figure['high']:.4f}"},
            }
