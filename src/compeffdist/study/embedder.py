"""The embedder of the run in the working folder."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from compeffdist.arrays import Floats
from compeffdist.artefacts import EMBEDDER
from compeffdist.embedding import embed
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import Params


def run_embedder(params: Params) -> Callable[[Sequence[str]], Floats]:
    """Texts in, (n, d) vectors of length 1 out. Raises UserError if its identity or weights are missing."""
    folder = model_folder(read_identity(Path(EMBEDDER)), cache_folder(params.runtime.cache))
    return partial(embed, folder=folder, device=params.runtime.device)
