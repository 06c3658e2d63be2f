"""What a base student answered, kept outside DVC's outs: another student of the same base is held against the same
answers, and they need not be computed again.

Kept are likelihoods to their last bit, under a key over everything they depend on: weights, tokenizer and template,
prompts, labels, device and threads, batching and the code that computes them.
"""

import importlib.metadata
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from compeffdist.canonical import hash_json
from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import Scorer
from compeffdist.files import read_json, write_json
from compeffdist.fingerprints import code_hash
from compeffdist.params import RuntimeParams
from compeffdist.precision import resolve_device

FOLDER = "answers"
"""In `runtime.scores`."""
OWN_CODE = (
    *("labels.py", "formatting.py", "chat_template.py", "precision.py", "student/loading.py", "student/batching.py"),
    *("student/head.py", "student/prediction.py"),
)
"""From a folder of weights and texts to likelihoods."""


def keeping_scorer(open_scorer: Callable[[], Scorer], weights: str, runtime: RuntimeParams, system: str) -> Scorer:
    """A scorer that computes what is not kept yet; a file that is not what was written is computed again.

    Args:
        open_scorer: loads the model; called once, if something has to be computed.
        weights: a hash over model weights, tokenizer and chat template.
        system: what stands before every question.
    """
    folder = Path(runtime.scores) / FOLDER
    depends = {
        "weights": weights,
        "system": system,
        "device": _device(runtime.device),
        "token_budget": runtime.token_budget,
        "code": {name: code_hash(Path(__file__).parents[1] / name) for name in OWN_CODE},
        "libraries": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers")},
    }
    opened: list[Scorer] = []

    def score(prompts: Sequence[str], labels: tuple[str, ...]) -> Sequence[Mapping[str, float]]:
        path = folder / f"{hash_json({**depends, 'prompts': list(prompts), 'labels': list(labels)})}.json"
        if (rows := _read(path, len(prompts), labels)) is not None:
            return rows
        if not opened:
            opened.append(open_scorer())
        rows = [dict(row) for row in opened[0](prompts, labels)]
        if all(math.isfinite(value) for row in rows for value in row.values()):  # JSON has no infinity
            write_json(path, {"rows": rows, "sha256": hash_json(rows)})
        return rows

    return score


def _device(named: str) -> str:
    """What computes, with the precision it has instructions for."""
    import torch

    device = resolve_device(named)
    kind = torch.cuda.get_device_name() if device == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"{device}, {kind}, {torch.get_num_threads()} threads"


def _read(path: Path, count: int, labels: Sequence[str]) -> list[dict[str, float]] | None:
    """The rows of a file, in the order of `labels`; None if it is not there or damaged."""
    if not path.exists():
        return None
    try:
        kept = read_json(path)
        rows = kept["rows"]
        whole = kept["sha256"] == hash_json(rows) and len(rows) == count
        return [{label: float(row[label]) for label in labels} for row in rows] if whole else None
    except (UserError, ValueError, KeyError, TypeError):
        return None
