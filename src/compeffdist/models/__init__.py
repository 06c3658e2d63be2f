"""A model reference (`hf:`, `path:`, `pypi:`, `api:`) becomes a Hugging Face folder and an identity.

`references` reads what params say, `resolving` finds or makes the folder (`gguf` converts), `inspection` and `identity`
say what it is, `index` remembers it.
"""

from compeffdist.models.identity import ModelIdentity, read_identity
from compeffdist.models.references import parse_reference
from compeffdist.models.resolving import (
    altered_files,
    cache_folder,
    find_model_folder,
    indexed_identities,
    model_folder,
    obtain_folder,
    resolve_model,
)

__all__ = [
    "ModelIdentity",
    "altered_files",
    "cache_folder",
    "find_model_folder",
    "indexed_identities",
    "model_folder",
    "obtain_folder",
    "parse_reference",
    "read_identity",
    "resolve_model",
]
