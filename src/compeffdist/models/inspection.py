"""What a Hugging Face folder holds: is it a whole model, which one, how large.

Hostile or broken folders end in one line; pickled weights are never looked at.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.canonical import canonical_json, hash_json, hash_text
from compeffdist.errors import UserError
from compeffdist.files import hash_file, read_json
from compeffdist.models.identity import ModelIdentity
from compeffdist.models.index import IndexEntry, Stamp
from compeffdist.models.references import Reference, expect_hash
from compeffdist.params import ModelParams
from compeffdist.progress import Progress

_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"),
)
_CHAT_TEMPLATE_FILE = "chat_template.jinja"
_CONFIG_FILES = ("config.json", "generation_config.json", "modules.json", "sentence_bert_config.json")
# What a saving library notes about itself or the place: no part of what the model is.
_CONFIG_NOTES = {"transformers_version", "_name_or_path", "_model_name_or_path", "dtype", "torch_dtype"}


@dataclass(frozen=True)
class Found:
    """A Hugging Face folder on this machine."""

    folder: Path
    revision: str = ""
    gguf_sha256: str = ""
    """Of the file it was converted from; empty if it was not."""


def identify(role: str, reference: Reference, found: Found, params: ModelParams, cache: Path) -> IndexEntry:
    """Hash a folder. Raises UserError if it is no complete model, or not the one the reference states."""
    folder = found.folder
    architecture = _architecture(folder)
    shards = _weight_files(folder)
    configs = _present(folder, [part + name for part in _module_folders(folder) for name in _CONFIG_FILES])
    tokenizer = _present(folder, _TOKENIZER_FILES)
    if not tokenizer:
        raise UserError(f"{folder}: no tokenizer in this folder")
    template = _present(folder, [_CHAT_TEMPLATE_FILE])
    hashes = _hash_all(folder, [*shards, *configs, *tokenizer, *template])
    weights_sha256 = hashes[shards[0]] if len(shards) == 1 else hash_json({n: hashes[n] for n in shards})
    if reference.sha256 and not reference.is_gguf:
        expect_hash("weights", reference.sha256, weights_sha256)
    identity = ModelIdentity(
        role=role,
        reference=reference.text,
        revision=found.revision,
        source_sha256=found.gguf_sha256 or weights_sha256,
        weights={name: hashes[name] for name in shards},
        tokenizer_sha256=hash_json({name: hashes[name] for name in tokenizer}),
        chat_template_sha256=chat_template_hash(folder),
        config_sha256=hash_json({name: _settings(folder / name) for name in configs}),
        parameters=sum(_count_parameters(folder / name) for name in shards),
        weight_bytes=sum((folder / name).stat().st_size for name in shards),
        licence=params.licence,
        dtype=params.dtype,
        architecture=architecture,
    )
    stamps = {name: Stamp.of(folder / name, sha256) for name, sha256 in hashes.items()}
    return IndexEntry(IndexEntry.place(reference, params.dtype, cache), identity, folder, stamps)


def _present(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if (folder / name).is_file()]


def _hash_all(folder: Path, names: list[str]) -> dict[str, str]:
    hashes: dict[str, str] = {}
    with Progress("hashing model files", total=len(names)) as progress:
        for name in names:
            hashes[name] = hash_file(folder / name)
            progress.advance()
    return hashes


def _architecture(folder: Path) -> str:
    """Model class (or family) by config.json. Raises UserError if the folder holds no Hugging Face model."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: not a Hugging Face model folder (no config.json)")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"{folder / 'config.json'}: expected a JSON object")
    architectures = config.get("architectures") or [config.get("model_type", "")]
    if not isinstance(architectures, list):
        raise UserError(f"{folder / 'config.json'}: architectures: expected a list of names")
    return str(architectures[0])


def _module_folders(folder: Path) -> list[str]:
    """Prefixes of the model's own folder and, for a sentence-transformers model, of its modules' folders."""
    if not (folder / "modules.json").is_file():
        return [""]
    try:
        paths = [str(module.get("path", "")) for module in read_json(folder / "modules.json")]
    except (TypeError, AttributeError):
        raise UserError(f"{folder / 'modules.json'}: not a list of modules") from None
    return ["", *(f"{path}/" for path in paths if path)]


def _weight_files(folder: Path) -> list[str]:
    """The safetensors files a loader reads. Raises UserError if there are none or a shard is missing."""
    index = folder / "model.safetensors.index.json"
    own = ["model.safetensors"]
    if index.is_file():
        try:
            own = sorted({Path(name).as_posix() for name in read_json(index)["weight_map"].values()})
            if any(Path(name).is_absolute() or ".." in Path(name).parts for name in own):
                raise ValueError("leads out of the folder")
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(f"{index}: not an index of weight files") from None
    if missing := sorted(set(own) - set(_present(folder, own))):
        raise UserError(f"{folder}: {missing[0]} is missing (pickled weights are not loaded)")
    modules = [f"{part}model.safetensors" for part in _module_folders(folder) if part]
    return [*own, *_present(folder, modules)]


def _count_parameters(weights: Path) -> int:
    """Parameters stored in a safetensors file, by its header (int64 tensors are position buffers). Raises UserError if
    the file is cut short or broken."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="np") as tensors:
            slices = [tensors.get_slice(name) for name in list(tensors.keys())]
            return sum(math.prod(part.get_shape()) for part in slices if part.get_dtype() != "I64")
    except SafetensorError as error:
        raise UserError(f"{weights}: not a complete safetensors file: {error}") from None


def chat_template_hash(folder: Path) -> str:
    """Of the template's text, wherever the folder keeps it; empty where there is none."""
    template = folder / _CHAT_TEMPLATE_FILE
    if template.is_file():
        return hash_file(template)
    if not (folder / "tokenizer_config.json").is_file():
        return ""
    # older tokenizers keep it inside, as a text or as a list of named texts
    config = read_json(folder / "tokenizer_config.json")
    inside = config.get("chat_template") if isinstance(config, dict) else None
    if not inside:
        return ""
    return hash_text(inside) if isinstance(inside, str) else hash_json(inside)


def _settings(config: Path) -> Any:
    """Contents of a configuration file without the notes of the library that saved it. Raises UserError if it holds
    half a character, of which there is no hash."""
    value = read_json(config)
    try:
        canonical_json(value).encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{config}: holds half a character (a lone surrogate)") from None
    return {key: value[key] for key in value.keys() - _CONFIG_NOTES} if isinstance(value, dict) else value
