"""Who is champion: by the ledger, by the registry's aliases, and what it means when the two differ.

The ledger is written first, then the aliases, then the registered model's tags `ledger_head` and `ledger_length`.
So at the next command:

- the tags name the last entry and alias `champion` is where it says: nothing to do;
- the tags name the entry before the last: the process died in between, and what it meant to do is done now;
- the tags name an entry this ledger does not hold: this checkout is behind, or its ledger was cut;
- alias `champion` is anywhere else: somebody set it with other means.

Entries carry the id of the registry they are about (a tag of the registered model, made at the first promotion), so
that one ledger in git can outlive a local store and several stores do not get in each other's way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compeffdist.errors import UserError
from compeffdist.ledger import PROMOTIONS, Entry, Ledger
from compeffdist.registry.tracking import found_or_none, is_missing
from compeffdist.tracking_uri import CHAMPION

if TYPE_CHECKING:
    from mlflow import MlflowClient

FORMER = "former-champion"
"""Alias; the former champion is the version that a rollback would make champion."""
PROMOTE, ROLLBACK = "promote", "rollback"
"""Actions of the ledger."""
REGISTRY, HEAD, LENGTH = "registry_id", "ledger_head", "ledger_length"
"""Tags of the registered model."""


@dataclass(frozen=True)
class AliasState:
    """What ledger and registry say of a registered model."""

    model_name: str
    registry_id: str
    """Empty before the first promotion."""
    entries: tuple[Entry, ...]
    """The ledger's, of this registry."""
    champion: int | None
    """Version alias `champion` points to."""
    former: int | None
    head: str
    """Hash of the last entry whose aliases were set."""
    length: str
    """Number of that entry."""

    @property
    def by_ledger(self) -> int | None:
        """The champion according to the ledger."""
        made = champions(self.entries)
        return made[-1] if made else None

    def unfinished(self) -> Entry | None:
        """The last entry, if its aliases were not set though nothing else has set them since."""
        known = [entry.hash for entry in self.entries]
        seen = known.index(self.head) + 1 if self.head in known else 0
        if len(known) - seen != 1 or (self.head and not seen):
            return None
        last = self.entries[-1]
        return last if self.champion in (last.body["from"], last.body["to"]) else None

    def fault(self) -> str:
        """Why ledger and registry cannot be trusted to agree, in a line; empty if they do, or will once what is
        unfinished is finished."""
        if self.head and self.head not in {entry.hash for entry in self.entries}:
            return (
                f"this checkout's ledger is behind the registry's: {PROMOTIONS} lacks entry {self.length}, which the "
                "registry has seen; git pull"
            )
        if self.unfinished() or self.champion == self.by_ledger:
            return ""
        points, says = (f"points to version {v}" if v else "is not set" for v in (self.champion, self.by_ledger))
        return f"alias {CHAMPION} {points}, but by the ledger it {says}: it was changed outside compeffdist"


def champions(entries: Sequence[Entry]) -> list[int]:
    """The champions an entry after another made, the present one last: a promotion adds one, a rollback takes away
    all after the one it returns to. A champion set outside that a promotion then replaced counts."""
    made: list[int] = []
    for entry in entries:
        before, after = entry.body["from"], entry.body["to"]
        if entry.action == ROLLBACK and after in made:
            made = made[: len(made) - made[::-1].index(after)]
            continue
        for version in (before, after):
            if version is not None and made[-1:] != [version]:
                made.append(version)
    return made


def read_alias_state(client: "MlflowClient", ledger: Ledger, model_name: str) -> AliasState:
    """Read ledger and registry. Raises UserError if the ledger is broken, or there is no such registered model,
    MlflowException if the store cannot be asked."""
    model = found_or_none(client.get_registered_model, model_name)
    if model is None:
        raise UserError(f"there is no registered model {model_name}; run dvc repro first")
    entries = ledger.entries()  # after the registry: read before, it could lack what the registry has seen since
    registry_id = model.tags.get(REGISTRY, "")
    aliases = {alias: int(version) for alias, version in model.aliases.items()}
    return AliasState(
        model_name=model_name,
        registry_id=registry_id,
        entries=tuple(entry for entry in entries if registry_id and entry.body.get("registry") == registry_id),
        champion=aliases.get(CHAMPION),
        former=aliases.get(FORMER),
        head=model.tags.get(HEAD, ""),
        length=model.tags.get(LENGTH, ""),
    )


def apply_ledger(client: "MlflowClient", model_name: str, entries: Sequence[Entry]) -> None:
    """Make the registry say what the ledger says: aliases first, then the tags that say that it is done."""
    made = champions(entries)
    _point(client, model_name, FORMER, made[-2] if len(made) > 1 else None)
    _point(client, model_name, CHAMPION, made[-1])
    client.set_registered_model_tag(model_name, LENGTH, str(entries[-1].number))
    client.set_registered_model_tag(model_name, HEAD, entries[-1].hash)


def _point(client: "MlflowClient", model_name: str, alias: str, version: int | None) -> None:
    """Set an alias, or remove it if there is no version to point to (or no longer, for the former champion)."""
    from mlflow import MlflowException

    if version is not None:
        try:
            return client.set_registered_model_alias(model_name, alias, str(version))
        except MlflowException as error:
            if alias == CHAMPION or not is_missing(error):
                raise
    return client.delete_registered_model_alias(model_name, alias)


def finished_line(entry: Entry, state: AliasState) -> str:
    """What finishing an entry did, for the user."""
    before = f"version {state.champion}" if state.champion else "none"
    return (
        f"repaired: entry {entry.number} ({entry.action} of {entry.at} by {entry.who}) was written but not carried out "
        f"to the end; {CHAMPION}: {before} -> version {entry.body['to']}"
    )
