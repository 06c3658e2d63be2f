"""The model versions of the registry, and which state of the data each was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from compeffdist.artefacts import STUDENT, TRAINING, TRIPLETS
from compeffdist.errors import UserError
from compeffdist.lineage.repository import Lock, Repository
from compeffdist.registry.local_store import belongs_elsewhere
from compeffdist.registry.tracking import found_or_none, open_registry, store_errors
from compeffdist.tracking_uri import SCHEME, database, shown_uri

TAGS_OF_DATA: Mapping[str, str] = {"dataset_md5": TRAINING, "triplets_md5": TRIPLETS, "student_md5": STUDENT}
"""Tag of a version -> the out of the lock whose hash it repeats."""


@dataclass(frozen=True)
class Version:
    """A model version as the registry has it."""

    name: str
    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    registered_at: str
    elsewhere: str = ""
    """Where its files lie, if they are another checkout's, of which this registry is a copy."""

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
    """The versions of a registered model, the newest first; none where there is no registry yet. Raises UserError if
    the registry cannot be read."""
    if absent_store(repository):
        return []
    client = open_registry()
    with store_errors():
        found = client.search_model_versions(f"name = '{name}'")
        model = found_or_none(client.get_registered_model, name)
        places = [client.get_model_version_download_uri(version.name, version.version) for version in found]
    aliases = sorted(model.aliases.items()) if model else []  # which a search leaves out
    versions = [
        Version(
            name=version.name,
            number=int(version.version),
            aliases=tuple(alias for alias, number in aliases if int(number) == int(version.version)),
            tags={key: value for key, value in version.tags.items() if not key.startswith("mlflow.")},
            registered_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
            elsewhere=str(belongs_elsewhere(place) or ""),
        )
        for version, place in zip(found, places, strict=True)
    ]
    return sorted(versions, key=lambda version: -version.number)


def find_version(versions: list[Version], reference: str) -> Version:
    """The version that `models:/name/3`, `models:/name@alias`, `3` or an alias names. Raises UserError if there is
    none."""
    wanted = reference.removeprefix(SCHEME)
    for version in versions:
        own = version.reference.removeprefix(SCHEME)
        aliased = [f"{version.name}@{alias}" for alias in version.aliases]
        if wanted in (own, str(version.number), *aliased, *version.aliases):
            return version
    known = ", ".join(version.reference for version in versions[:5]) or "none"
    raise UserError(f"{reference}: no such model version (known: {known})")


def absent_store(repository: Repository) -> str:
    """The store's address if it is a file that is not there: nothing was ever registered in it, though elsewhere
    something may have been. Looking must not make one."""
    path = database()
    return shown_uri() if path is not None and not (repository.root / path).exists() else ""
