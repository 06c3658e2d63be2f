"""Sentence embeddings from a local folder: no network, no remote code, float64.

Pooling is what the folder's sentence-transformers configuration says: mean for MiniLM, CLS for UAE-Large-V1.
A folder without that configuration is refused, because the library would then fall back to mean pooling,
which is silently wrong for a CLS model.

Perspectives and tasks hang on comparisons of vectors, and everything bought afterwards hangs on those, so that
they must come out alike on every machine. The last bits of a vector depend on how texts were padded together and on the
machine's instructions: in float32 2e-7 between batches of 7 and 32 (MiniLM, 164 names), in float64 6e-16, for twice the
time, which is a second for a thousand names. Whatever compares vectors rounds on top of that, so that a difference of
the last bits decides nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compeffdist.artefacts import EMBEDDER
from compeffdist.errors import UserError
from compeffdist.given import Given
from compeffdist.imports import sentence_transformers
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.precision import resolve_device


def stage_embedder(given: Given) -> Callable[[Sequence[str]], NDArray[np.float64]]:
    """`embed` with the run's embedder, for a stage that depends on its identity. Raises UserError as `embed`."""
    runtime = given.params.runtime
    folder = model_folder(read_identity(given.path(EMBEDDER)), cache_folder(runtime.cache))
    return partial(embed, folder=folder, device=runtime.device)


def embed(texts: Sequence[str], folder: Path, device: str, batch_size: int = 32) -> NDArray[np.float64]:
    """Unit-length embeddings of `texts`, in their order.

    Args:
        texts: n strings, without prompt or prefix.
        folder: a sentence-transformers model on this disk.
        device: `cpu`, `cuda`, `mps`, or `auto` for the best there is.

    Returns:
        (n, d) float64, rows of length 1; (0, 0) for no texts. On a device without float64 (MPS) it is computed in
        float32.

    Raises:
        UserError: if the folder is not a sentence-transformers model, or a vector is not finite.
    """
    if not texts:
        return np.zeros((0, 0), dtype=np.float64)
    if not (Path(folder) / "modules.json").is_file():
        raise UserError(
            f"{folder}: not a sentence-transformers model: modules.json, which names its pooling, is missing"
        )
    import torch

    device = resolve_device(device)
    model = sentence_transformers().SentenceTransformer(
        str(folder),
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"dtype": torch.float32 if device == "mps" else torch.float64, "use_safetensors": True},
    )
    vectors = model.encode(
        list(texts), batch_size=batch_size, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
    )
    vectors = np.asarray(vectors, dtype=np.float64).reshape(len(texts), -1)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{folder}: the embedding of {texts[int(np.argmin(finite))]!r} is not finite; choose another model"
        )
    return vectors
