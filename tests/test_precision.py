"""In which precision a CPU computes, by what its kind tells of itself."""

import pytest
import torch

from compeffdist.precision import affordable_dtype, cpu_multiplies

ICE_LAKE = {"avx2": True, "avx512_f": True, "avx512_vl": True, "avx512_vnni": True, "avx512_bf16": False}
ZEN_4 = ICE_LAKE | {"avx512_bf16": True}
SAPPHIRE_RAPIDS = ICE_LAKE | {"avx512_bf16": True, "amx_tile": True, "amx_bf16": True, "avx512_fp16": True}
GRAVITON_3 = {"neon": True, "bf16": True, "fp16_arith": True}


@pytest.mark.parametrize(
    ("has", "takes", "bfloat16", "float16"),
    [
        pytest.param(ICE_LAKE, {"bfloat16"}, False, False, id="emulated by oneDNN"),
        pytest.param({"avx2": True}, set(), False, False, id="AVX2 alone"),
        pytest.param(ZEN_4, {"bfloat16"}, True, False, id="Zen 4"),
        pytest.param(SAPPHIRE_RAPIDS, {"bfloat16", "float16"}, True, True, id="Sapphire Rapids"),
        pytest.param(GRAVITON_3, {"bfloat16", "float16"}, True, True, id="Graviton 3"),
        pytest.param(GRAVITON_3, set(), False, False, id="without a library that uses them"),
    ],
)
def test_a_precision_is_multiplied_in_where_the_cpu_and_its_library_do_it(
    has: dict[str, bool], takes: set[str], bfloat16: bool, float16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    for short, dtype in (("bf16", "bfloat16"), ("fp16", "float16")):
        monkeypatch.setattr(torch.ops.mkldnn, f"_is_mkldnn_{short}_supported", lambda dtype=dtype: dtype in takes)
    assert (cpu_multiplies("bfloat16"), cpu_multiplies("float16")) == (bfloat16, float16)
    assert affordable_dtype("bfloat16", on_cpu=True) == ("bfloat16" if bfloat16 else "float32")
    assert affordable_dtype("bfloat16", on_cpu=False) == "bfloat16"
