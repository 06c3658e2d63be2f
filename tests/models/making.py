"""Model folders of a few bytes, and the params that name them."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from compeffdist.canonical import hash_text
from compeffdist.files import write_json
from compeffdist.models import ModelIdentity
from compeffdist.params import ModelParams

SHA = "ab" * 32
CHAT_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def make_folder(folder: Path, *, seed: int = 0, template: str = CHAT_TEMPLATE, **config: Any) -> Path:
    """A Hugging Face folder of 2 x 3 + 4 parameters."""
    folder.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)
    tensors = {"a.weight": weights, "b.bias": np.zeros(4, np.float32), "position_ids": np.arange(5)}
    save_file(tensors, folder / "model.safetensors")
    write_json(folder / "config.json", {"architectures": ["TinyForCausalLM"], "transformers_version": "1", **config})
    write_json(folder / "tokenizer.json", {"model": {"vocab": {"a": 0}}})
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def params(*references: str, licence: str = "MIT", dtype: Any = "float32") -> ModelParams:
    return ModelParams(reference=list(references), licence=licence, dtype=dtype)


def make_identity(name: str, role: str = "teacher", **fields: Any) -> ModelIdentity:
    """The identity of a model that there is not; those of two names differ."""
    known: dict[str, Any] = {
        "reference": f"path:{name}",
        "revision": "",
        "source_sha256": hash_text(name),
        "weights": {"model.safetensors": hash_text(name)},
        "tokenizer_sha256": "t",
        "chat_template_sha256": "c",
        "config_sha256": "c",
        "parameters": 1,
        "weight_bytes": 2,
        "licence": "Apache-2.0",
        "dtype": "bfloat16",
        "architecture": "LlamaForCausalLM",
    }
    return ModelIdentity(role=role, **(known | fields))
