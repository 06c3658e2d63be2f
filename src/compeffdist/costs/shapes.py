"""How large the models of a run are, from what is known of them without a network and without reading weights.

Known are a model that was resolved on this machine before, one whose identity `resolve_models` wrote for the same
reference, and a teacher whose answers are recorded. Of any other nothing is known: a name is no size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.models import ModelIdentity, cache_folder, parse_reference, read_identity
from compeffdist.models.index import IndexEntry
from compeffdist.params import ModelParams, Params
from compeffdist.teacher.recorded import recorded_identities

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Layers:
    """What config.json says of a decoder."""

    count: int
    hidden: int
    inner: int
    """Width of the MLP."""
    heads: int
    """Of attention's queries."""
    key_values: int
    """Width of the keys, and of the values."""
    vocabulary: int


@dataclass(frozen=True)
class Shape:
    """Of one model."""

    parameters: int
    stored: int
    """Bytes of its files of weights."""
    here: bool
    """Whether its weights are in this machine's cache."""
    layers: Layers | None
    """None where its configuration is not here, or is of another kind."""

    @property
    def stored_width(self) -> int:
        """Bytes of a parameter in its files."""
        return max(1, round(self.stored / self.parameters))


def shape_of(role: str, params: Params) -> Shape | None:
    """The size of the model `models.ROLE`; None if it is not known, as of one behind an API."""
    settings: ModelParams = getattr(params.models, role)
    for identity, folder in _candidates(role, settings, params):
        if identity.parameters and identity.weight_bytes:
            here = folder is not None and all((folder / name).is_file() for name in identity.weights)
            layers = _layers(folder / "config.json") if folder is not None and here else None
            return Shape(identity.parameters, identity.weight_bytes, here, layers)
    return None


def recorded_teacher(params: Params) -> ModelIdentity | None:
    """The teacher, if its answers are recorded: then its weights are fetched when something has to be bought."""
    settings = params.models.teacher
    wanted = {parse_reference(text).sha256 for text in settings.reference} - {""}
    for identity in recorded_identities(params.runtime):
        if identity.source_sha256 in wanted and identity.dtype == settings.dtype:
            return identity
    return None


def _candidates(role: str, settings: ModelParams, params: Params) -> Iterator[tuple[ModelIdentity, Path | None]]:
    """Identities that are this model's, the one whose folder is here first."""
    references = [parse_reference(text) for text in settings.reference]
    cache = cache_folder(params.runtime.cache)
    for reference in references:
        entry = (
            IndexEntry.read(IndexEntry.place(reference, settings.dtype, cache)) if reference.scheme != "api" else None
        )
        if entry is not None:
            yield entry.identity, entry.folder
    file = Path(f"models/{role}.json")
    if file.exists():
        identity = read_identity(file)
        if identity.reference in settings.reference and identity.dtype == settings.dtype:
            yield identity, None
    recorded = recorded_teacher(params) if role == "teacher" else None
    if recorded is not None:
        yield recorded, None


def _layers(config: Path) -> Layers | None:
    try:
        value = read_json(config)
        heads = int(value["num_attention_heads"])
        hidden = int(value["hidden_size"])
        each = int(value.get("head_dim") or hidden // heads)
        return Layers(
            count=int(value["num_hidden_layers"]),
            hidden=hidden,
            inner=int(value["intermediate_size"]),
            heads=heads,
            key_values=each * int(value.get("num_key_value_heads") or heads),
            vocabulary=int(value["vocab_size"]),
        )
    except (UserError, KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError):
        return None
