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


def write_gguf(path: Path) -> Path:
    """A Llama of two layers with a byte-level vocabulary and a chat template."""
    from gguf import GGUFWriter, TokenType

    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "!!", *(chr(c) for c in range(33, 94))]
    width, hidden, layers = 32, 64, 2
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(width // 4)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges(["! !"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(CHAT_TEMPLATE)
    generator = np.random.default_rng(0)
    shapes = {"token_embd": (len(tokens), width), "output_norm": (width,)}
    for n in range(layers):
        attention = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (width, width))
        feed_forward = {"ffn_gate": (hidden, width), "ffn_up": (hidden, width), "ffn_down": (width, hidden)}
        norms = dict.fromkeys(("attn_norm", "ffn_norm"), (width,))
        shapes |= {f"blk.{n}.{k}": shape for k, shape in (attention | feed_forward | norms).items()}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", generator.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
