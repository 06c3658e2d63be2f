"""The model versions of the registry, and which state of the data each was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from compeffdist.errors import UserError
from compeffdist.lineage.artefacts import STUDENT, TRAINING, TRIPLETS
from compeffdist.lineage.repository import Lock, Repository
from compeffdist.registry.tracking import DEFAULT_URI, SQLITE, open_tracking, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

SCHEME = "models:/"
TAGS_OF_DATA = {"dataset_md5": TRAINING, "triplets_md5": TRIPLETS, "student_md5": STUDENT}
"""Tag of a version -> the out of the lock whose hash it repeats."""


@dataclass(frozen=True)
class Version:
    """A model version as the registry has it."""

    name: str
    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    registered_at: str
    run_id: str

    @property
    def reference(self) -> str:
        """As MLflow names it: `models:/name/3`."""
        return f"{SCHEME}{self.name}/{self.number}"

    def is_of(self, lock: Lock) -> bool:
        """Whether this version's student is the one of `lock`, by the hashes of its data and weights."""
        held = {tag: path for tag, path in TAGS_OF_DATA.items() if tag in self.tags}
        return "dataset_md5" in held and all(self.tags[tag] == lock.md5(path) for tag, path in held.items())

    def lock(self, locks: list[Lock]) -> Lock | None:
        """The state of the data it was trained on, None if no commit, experiment or working folder has it."""
        return next((lock for lock in locks if self.is_of(lock)), None)


def read_versions(repository: Repository, name: str) -> list[Version]:
    """The versions of a registered model, the newest first; none where there is no registry yet.

    Raises:
        UserError: if the registry cannot be read.
    """
    if _absent(repository):
        return []
    found = open_tracking().search_model_versions(f"name = '{name}'")
    # a search leaves aliases out
    aliases: dict[int, list[str]] = {}
    for alias, number in _aliases(name).items():
        aliases.setdefault(int(number), []).append(alias)
    versions = [_version(version, tuple(sorted(aliases.get(int(version.version), ())))) for version in found]
    return sorted(versions, key=lambda version: -version.number)


def find_version(versions: list[Version], reference: str) -> Version:
    """The version that `models:/name/3`, `models:/name@alias`, `3` or an alias names.

    Raises:
        UserError: if there is none.
    """
    wanted = reference.removeprefix(SCHEME)
    for version in versions:
        own = version.reference.removeprefix(SCHEME)
        aliased = [f"{version.name}@{alias}" for alias in version.aliases]
        if wanted in (own, str(version.number), *aliased, *version.aliases):
            return version
    known = ", ".join(version.reference for version in versions[:5]) or "none"
    raise UserError(f"{reference}: no such model version (known: {known})")


def _absent(repository: Repository) -> bool:
    """Whether the default store is to be used and nothing was ever written to it: looking must not make one."""
    uri = tracking_uri()
    return uri == DEFAULT_URI and not (repository.root / Path(uri.removeprefix(SQLITE))).exists()


def _aliases(name: str) -> dict[str, str]:
    from mlflow import MlflowException

    try:
        return dict(open_tracking().get_registered_model(name).aliases)
    except MlflowException:  # no such model: no version was ever registered
        return {}


def _version(version: "ModelVersion", aliases: tuple[str, ...]) -> Version:
    at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    tags = {key: value for key, value in version.tags.items() if not key.startswith("mlflow.")}
    return Version(version.name, int(version.version), aliases, tags, at, str(version.run_id))
