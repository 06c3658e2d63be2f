"""In which precision weights of a given stored precision are computed with."""


def compute_dtype(stored: str, on_cpu: bool) -> str:
    """`stored`, or "float32" on a CPU without instructions for 16-bit matrix products.

    float32 holds every bfloat16 and float16 weight exactly, so the model is the same and only its rounding
    is finer; without such instructions 16-bit products are emulated, many times slower. It costs
    twice the memory.
    """
    if not on_cpu:
        return stored
    import torch

    has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if stored == "bfloat16" and has_bfloat16 else "float32"
