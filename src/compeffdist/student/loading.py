"""Loading a student: full weights or an adapter over its base, in a precision the machine is fast in.

A student folder says in `student.json`, its provenance, what it is. Weights are computed in `student_dtype`: bfloat16
ones in bfloat16 where the machine is fast in it, so that scores on two kinds of machine agree closely but not bit for
bit; float32 ones and adapters in float32, because a short training moves weights by less than bfloat16 tells apart.
"""

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from compeffdist import precision
from compeffdist.errors import UserError
from compeffdist.files import hash_file, read_json
from compeffdist.formatting import student_tokenizer
from compeffdist.imports import transformers_models
from compeffdist.precision import resolve_device
from compeffdist.records import content_id

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROVENANCE = "student.json"
STORED = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""How safetensors files call what PyTorch does."""


def student_dtype(device: str, requested: str = "auto", stored: "torch.dtype | None" = None) -> "torch.dtype":
    """The precision to compute in: "float32", "bfloat16" or "float16" as `requested`; `auto` is float32 for weights
    stored in it, else bfloat16 where the hardware multiplies it, else float32."""
    import torch

    if requested != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[requested]
    if stored == torch.float32:
        return torch.float32
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return getattr(torch, precision.affordable_dtype("bfloat16", on_cpu=True)) if device == "cpu" else torch.float32


def stored_dtype(folder: Path) -> "torch.dtype | None":
    """The precision that most parameters of a model folder's weights are stored in; None if it is no plain one.

    By the files' headers: a configuration may name no precision, or the one of a former saving. Raises UserError if a
    file of weights is broken.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    stored = Counter[str]()
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(file, framework="np") as tensors:
                parts = [tensors.get_slice(name) for name in list(tensors.keys())]
                for part in parts:
                    stored[part.get_dtype()] += math.prod(part.get_shape())
        except SafetensorError as error:
            raise UserError(f"{file}: not a complete safetensors file: {error}") from None
    name = STORED.get(max(stored, key=lambda key: stored[key], default=""))
    return getattr(torch, name) if name else None


def read_provenance(folder: Path) -> dict[str, Any]:
    """The provenance of a student folder. Raises UserError if there is none."""
    return read_json(Path(folder) / PROVENANCE)


def system_prompt_of(folder: Path, otherwise: str) -> str:
    """What stood before every prompt a student was trained on; `otherwise` of a model that is no student. Raises
    UserError if its provenance cannot be read."""
    return str(read_provenance(folder)["system_prompt"]) if (Path(folder) / PROVENANCE).exists() else otherwise


def student_id(folder: Path) -> str:
    """Hash over all of a student folder: weights or adapter, tokenizer, chat template, provenance (which names the
    base). Raises UserError if the folder holds no student."""
    read_provenance(folder)
    hashes = {path.relative_to(folder).as_posix(): hash_file(path) for path in folder.rglob("*") if path.is_file()}
    return content_id("student", hashes)


def load_student(
    folder: Path, device: str = "auto", dtype: str = "auto", base: Path | None = None
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load a model folder: a base model, a fully fine-tuned student, or an adapter with its base.

    Args:
        folder: a Hugging Face model folder, or an adapter folder as `fine_tune` writes it.
        device: as in `runtime.device`.
        dtype: as in `student_dtype`.
        base: folder with the base weights; needed for an adapter, else unused.

    Returns:
        The model in evaluation mode, and its tokenizer. An adapter in float32 is merged into its base, which saves
        two matrix products a layer; sums in fewer bits would lose part of it.

    Raises:
        UserError: if the folder is not a model, or an adapter's base is not given.
    """
    folder, device = Path(folder), resolve_device(device)
    if not (folder / "adapter_config.json").exists():
        return _load(folder, dtype, device), student_tokenizer(folder)
    import torch
    from peft import PeftModel

    if base is None:
        raise UserError(f"{folder}: an adapter of {read_provenance(folder)['base_id']}, whose folder was not given")
    dtype = "float32" if dtype == "auto" and device == "cpu" else dtype
    model: Any = PeftModel.from_pretrained(_load(base, dtype, device), str(folder))
    model = model.merge_and_unload() if next(model.parameters()).dtype == torch.float32 else model
    return model.eval(), student_tokenizer(folder)


def _load(folder: Path, requested: str, device: str) -> "PreTrainedModel":
    transformers = transformers_models()
    from transformers.utils import logging

    if not (folder / "config.json").exists():
        raise UserError(f"{folder}: not a model folder (no config.json); run the stage that writes it (dvc repro)")
    logging.disable_progress_bar()
    try:
        dtype = student_dtype(device, requested, stored_dtype(folder))
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: the weights could not be loaded: {error}") from None
    return cast("PreTrainedModel", model.to(device).eval())
