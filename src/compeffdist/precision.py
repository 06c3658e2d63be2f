"""Where a model is computed, and in which precision."""

from compeffdist.errors import UserError

INSTRUCTIONS = {
    "bfloat16": frozenset({"amx_bf16", "avx512_bf16", "bf16"}),
    "float16": frozenset({"amx_fp16", "avx512_fp16", "fp16_arith"}),
}
"""Any of these multiplies matrices of a precision, by the names that torch and Linux give to what a CPU has; `bf16` and
`fp16_arith` are ARM's."""


def resolve_device(device: str) -> str:
    """`auto` becomes "cuda" or "mps" where there is one, else "cpu"; other names are checked.

    Raises:
        UserError: if the named device is not there.
    """
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, there in present.items() if there)
    if not present.get(device, False):
        raise UserError(f"runtime.device: this machine has no {device!r}; use auto or cpu")
    return device


def affordable_dtype(stored: str, on_cpu: bool) -> str:
    """`stored`, or float32 on a CPU without instructions for 16-bit matrix products.

    float32 holds every bfloat16 and float16 weight exactly, so the model is the same and only rounding between its
    layers is finer; without such instructions 16-bit products are emulated, several times slower than float32. It
    costs twice the memory.
    """
    return stored if not on_cpu or stored == "float32" or cpu_multiplies(stored) else "float32"


def cpu_multiplies(dtype: str) -> bool:
    """Whether this CPU has instructions for matrix products of `dtype`, "bfloat16" or "float16".

    oneDNN alone is no judge: it takes bfloat16 on every CPU with AVX-512, and emulates it where the instructions are
    missing, at a third of float32's speed.
    """
    import torch

    supported = {
        "bfloat16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
        "float16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    has = torch.cpu.get_capabilities()
    return bool(supported[dtype]()) and any(has.get(name, False) for name in INSTRUCTIONS[dtype])
