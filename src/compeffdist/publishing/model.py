"""The student of a run as a plain Hugging Face folder: weights, tokenizer, chat template, card."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from compeffdist.artefacts import EVALUATED, IDENTITIES, STUDENT, TEXTS, TRAINING
from compeffdist.canonical import indented_json
from compeffdist.errors import UserError, one_line
from compeffdist.files import folder_md5, hash_file, read_json
from compeffdist.lineage.repository import Lock, Repository
from compeffdist.lineage.versions import find_version, read_versions
from compeffdist.models import ModelIdentity, cache_folder, model_folder
from compeffdist.params import RuntimeParams
from compeffdist.publishing.finished import FinishedRun, gate_outs, lock_here, open_run
from compeffdist.publishing.licences import is_unknown, refuse_unfit
from compeffdist.publishing.materials import text_sources
from compeffdist.publishing.model_card import model_card
from compeffdist.publishing.writing import Export, export_folder, refuse_folder
from compeffdist.registry.weights import open_model
from compeffdist.student.loading import STORED, load_student, read_provenance, stored_dtype
from compeffdist.tracking_uri import SCHEME

CARD = "README.md"
KIND = "model"
NEEDED = (STUDENT, EVALUATED, TRAINING, TEXTS, *IDENTITIES)


def export_model(
    target: Path,
    repository: Repository,
    runtime: RuntimeParams,
    *,
    reference: str = STUDENT,
    allow_unknown_licence: bool = False,
    despite_licence: Collection[str] = (),
    force: bool = False,
) -> Export:
    """Write the student of the working folder, or a registered version of it.

    An adapter is merged into its base, in float32.

    Args:
        reference: `models/student`, or `models:/NAME/VERSION`, `models:/NAME@ALIAS`.

    Raises:
        UserError: as `open_run`, `refuse_folder` and `refuse_unfit`, the licence being that of the base student; the
            weights are not those of the run; no state of the data is the one that a version learnt from.
    """
    refuse_folder(target, KIND, force)
    lock = _lock_of(repository, reference)
    run = open_run(repository, [*NEEDED, *gate_outs(lock)], lock)
    base = run.identities["student"]
    refuse_unfit([("models.student", base.licence)], allow_unknown_licence, despite_licence)
    with _weights(run, reference, runtime) as (student, base_folder), export_folder(target, KIND, run, force) as folder:
        if folder_md5(student) != run.lock.md5(STUDENT):
            raise UserError(f"{reference}: not the student that dvc.lock names: dvc checkout, or make it: dvc repro")
        if base_folder is not None:
            _expect_weights(base_folder, base)
        write_weights(student, base_folder, folder)
        (folder / CARD).write_text(model_card(run, read_provenance(student)), encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    unknown = [one_line(one.name) for one in text_sources(run) if is_unknown(one.licence)]
    notes = [f"licence unknown of texts it learnt from: {', '.join(unknown)}; the card says so"] if unknown else []
    return Export(KIND, target, run.commit, {"bytes of weights": size}, tuple(notes))


def _lock_of(repository: Repository, reference: str) -> Lock:
    """The state of the data that a version learnt from, of those in commits; for the student in the working folder,
    that of the working folder."""
    if not reference.startswith(SCHEME):
        if Path(reference) != Path(STUDENT):
            raise UserError(
                f"{one_line(reference, 120)}: expected {STUDENT}, models:/NAME/VERSION or models:/NAME@ALIAS"
            )
        return lock_here(repository)
    name = reference.removeprefix(SCHEME).partition("@")[0].partition("/")[0]
    committed = [lock for lock in repository.locks() if lock.commits]
    lock = find_version(read_versions(repository, name), reference).lock(committed)
    if lock is None:
        raise UserError(
            f"{reference}: no commit here has the data that it learnt from, which say its figures and licences"
            f"{repository.shallow_hint or ': git fetch'}"
        )
    return lock


@contextmanager
def _weights(run: FinishedRun, reference: str, runtime: RuntimeParams) -> Iterator[tuple[Path, Path | None]]:
    """The student's folder, and that of its base where it is an adapter."""
    if reference.startswith(SCHEME):
        with open_model(reference, runtime) as opened:
            yield opened.folder, opened.base
        return
    folder = run.repository.root / STUDENT
    if not folder.is_dir():
        raise UserError(f"{STUDENT}: no such folder: dvc checkout, or make it: dvc repro")
    adapter = (folder / "adapter_config.json").exists()
    yield folder, model_folder(run.identities["student"], cache_folder(runtime.cache)) if adapter else None


def _expect_weights(folder: Path, identity: ModelIdentity) -> None:
    """Raises UserError if a folder's weights are not those of a model."""
    for name, digest in identity.weights.items():
        if not (folder / name).is_file() or hash_file(folder / name) != digest:
            raise UserError(f"{folder / name}: not the weights of {identity.id}, the base of the student's adapter")


def write_weights(student: Path, base: Path | None, folder: Path) -> None:
    """Files that plain transformers loads, in the precision that they are stored in."""
    if base is None:
        for path in sorted(student.rglob("*")):
            if path.is_file():
                (folder / path.relative_to(student)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / path.relative_to(student))
    else:
        model, tokenizer = load_student(student, device="cpu", dtype="float32", base=base)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        shutil.copyfile(student / "student.json", folder / "student.json")
        for path in folder.glob("*.safetensors"):
            path.chmod((folder / "student.json").stat().st_mode)
    _state_precision(folder)


def _state_precision(folder: Path) -> None:
    """config.json names the precision of the weights: by it transformers loads them, whatever they are stored in."""
    stored = stored_dtype(folder)
    names = [name for name in STORED.values() if str(stored) == f"torch.{name}"]
    config = read_json(folder / "config.json")
    if names and config.get("dtype") != names[0]:
        config.pop("torch_dtype", None)  # its former name, which would be read as well
        (folder / "config.json").write_text(indented_json(config | {"dtype": names[0]}), encoding="utf-8")
