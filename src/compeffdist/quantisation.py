"""int8 weights for a teacher on a CPU: a quarter of float32's memory, and products at integer speed.

Weights of the decoder's linear layers become int8 with one scale per output channel, w = scale x round(w / scale),
scale = max|w| / 127; activations are quantised by the engine as it runs, one scale per token. Embeddings, norms and
the output head keep their precision. The folder is in the compressed-tensors format ("int-quantized", W8A8), which
vLLM and transformers load as it is, on a CPU or a GPU. No calibration data is needed, so the result is a function of
the weights alone: the same bytes on every machine.
"""

import shutil
from pathlib import Path
from typing import Any

from compeffdist.files import read_json, write_json

QUANTISED = "_proj.weight"
"""Names of linear layers in the decoder blocks of Llama-like models (Llama, Qwen, Gemma, Mistral, SmolLM) end so."""
LARGEST = 127


def quantise_int8(source: Path, target: Path) -> int:
    """Write an int8 copy of the Hugging Face folder `source` into the empty folder `target`.

    Returns:
        The number of layers quantised.

    Raises:
        ValueError: if the folder has no layer by a name that is known here.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    layers = 0
    for shard in sorted(source.glob("*.safetensors")):
        tensors: dict[str, Any] = {}
        with safe_open(shard, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118 - not a mapping
                weight = stored.get_tensor(name)
                if name.endswith(QUANTISED):
                    tensors[name], tensors[f"{name}_scale"] = per_channel(weight)
                    layers += 1
                else:
                    tensors[name] = weight
        save_file(tensors, target / shard.name, metadata={"format": "pt"})
    if not layers:
        raise ValueError(f"no layer named *{QUANTISED}: int8 knows Llama-like models only")
    for file in source.iterdir():
        if file.suffix != ".safetensors" and file.name != "model.safetensors.index.json":
            shutil.copyfile(file, target / file.name)
    write_json(target / "config.json", read_json(source / "config.json") | {"quantization_config": SCHEME})
    return layers


def per_channel(weight: Any) -> tuple[Any, Any]:
    """`weight` [out, in] as int8 [out, in] and scales [out, 1] in float32; a row of zeros keeps scale 1."""
    import torch

    exact = weight.to(torch.float32)
    largest = exact.abs().amax(dim=1, keepdim=True)
    scale = torch.where(largest > 0, largest / LARGEST, torch.ones_like(largest))
    return torch.round(exact / scale).to(torch.int8), scale


def _numbers(strategy: str, dynamic: bool) -> dict[str, Any]:
    return {"num_bits": 8, "type": "int", "symmetric": True, "strategy": strategy, "dynamic": dynamic}


SCHEME = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": _numbers("channel", dynamic=False),
            "input_activations": _numbers("token", dynamic=True),
        }
    },
}
