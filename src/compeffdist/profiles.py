"""Profiles: `base.yaml` or another profile plus what differs, composed into `params.yaml`.

DVC cannot compose params itself without re-running stages whose values did not change, so a command writes the
composed file and DVC sees plain values.
"""

from pathlib import Path
from typing import Any

import yaml

from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.params import PARAMS_FILE, validate_params
from compeffdist.yaml12 import read_yaml

PROFILES = Path("profiles")
BASE = "base"
OVER = "over"
"""The key by which a profile names the one it is laid over; without it that is base."""
NAMED_EDITS = 5
"""How many edited keys a refusal names."""


def profile_names(folder: Path = PROFILES) -> list[str]:
    """The profiles there are, base apart."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != BASE)


def compose(name: str, folder: Path = PROFILES) -> dict[str, Any]:
    """Base, or the profile that it names as `over`, with the profile's values laid over it, and every default spelled
    out, so that DVC sees all of them.

    Lists are replaced whole.

    Raises:
        UserError: no such profile, broken YAML, profiles that lie over each other, or params that do not validate.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if name not in profile_names(folder):
        raise UserError(f"{folder}: no profile {name!r}; there are {', '.join(profile_names(folder)) or 'none'}")
    try:
        values = OmegaConf.to_container(OmegaConf.merge(*_layers(name, folder)), resolve=True)
    except (OmegaConfBaseException, OSError, ValueError) as error:
        raise UserError(f"{folder}/{name}.yaml: {error}") from None
    assert isinstance(values, dict)
    composed = {"profile": name, **{str(key): value for key, value in values.items()}}
    return validate_params(composed, f"{folder}/{name}.yaml").model_dump(mode="json")


def _layers(name: str, folder: Path) -> list[dict[str, Any]]:
    """The files that a profile is made of, base first. Raises UserError as `compose`; OSError."""
    layers: list[dict[str, Any]] = []
    names: list[Any] = [name]
    while names[-1] != BASE:
        layers.insert(0, _read(names[-1], folder))
        below = layers[0].pop(OVER, BASE)
        if below in names or below not in [BASE, *profile_names(folder)]:
            others = ", ".join(of for of in [BASE, *profile_names(folder)] if of not in names)
            raise UserError(f"{folder}/{names[-1]}.yaml: {OVER}: must be one of {others} (got {below!r:.60})")
        names.append(below)
    return [_read(BASE, folder), *layers]


def _read(name: str, folder: Path) -> dict[str, Any]:
    path = folder / f"{name}.yaml"
    values = read_yaml(path.read_bytes(), str(path)) or {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: must be a mapping of params, as {folder}/{BASE}.yaml is")
    return values


def write_profile(
    name: str, target: Path = PARAMS_FILE, folder: Path = PROFILES, *, replace_edits: bool = False
) -> None:
    """Compose a profile and write it as `target`, atomically. Raises UserError as `compose`, and if `target`
    differs from its profile, unless `replace_edits`."""
    composed = compose(name, folder)
    if not replace_edits and (edits := _edits(target, folder)):
        named = ", ".join(edits[:NAMED_EDITS]) + (f" and {len(edits) - NAMED_EDITS} more" * (len(edits) > NAMED_EDITS))
        raise UserError(f"{target}: holds edits that would be lost ({named}); to replace it all the same, add --force")
    with atomic_file(target) as path:
        header = f"# Composed by `compeffdist profile {name}`. Edit freely; `dvc repro` re-runs what depends on it.\n"
        path.write_text(header + yaml.safe_dump(composed, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _edits(target: Path, folder: Path) -> list[str]:
    """Keys, dotted, in which a params file differs from the profile it says it is of."""
    if not target.exists():
        return []
    try:
        held = read_yaml(target.read_bytes(), str(target))
        profile = compose(str(held["profile"]), folder)
    except (UserError, TypeError, KeyError):
        return ["not a profile's params"]
    mine, its = _leaves(held), _leaves(profile)
    return sorted(key for key in mine.keys() | its.keys() if key not in mine or key not in its or mine[key] != its[key])


def _leaves(value: Any, key: str = "") -> dict[str, Any]:
    """Dotted key -> value, of nested mappings."""
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {
        name: leaf
        for part, inner in value.items()
        for name, leaf in _leaves(inner, f"{key}.{part}" if key else str(part)).items()
    }
