"""In which precision weights of a given stored precision are computed with."""


def compute_dtype(stored: str, on_cpu: bool) -> str:
    """`stored`, or float32 on a CPU without instructions for 16-bit matrix products.

    float32 holds every bfloat16 and float16 weight exactly, so the model is the same and only rounding between its
    layers is finer; without such instructions 16-bit products are emulated, several times slower than float32. It
    costs twice the memory.
    """
    return stored if not on_cpu or stored == "float32" or cpu_multiplies(stored) else "float32"


def cpu_multiplies(dtype: str) -> bool:
    """Whether this CPU has instructions for matrix products of `dtype`, "bfloat16" or "float16"."""
    import torch

    supported = {
        "bfloat16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
        "float16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return bool(supported[dtype]())
