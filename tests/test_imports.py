"""Lean imports: what is left out is loaded when it is used, and nothing of it stays behind."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from compeffdist.imports import lean_imports


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    return done.stdout.strip()


def test_a_module_stands_in_for_another_only_while_a_library_is_imported() -> None:
    kept = sys.modules.pop("colorsys", None)
    try:
        with lean_imports(deferred=("colorsys",)):
            import colorsys as later
            from colorsys import rgb_to_hsv
        assert "colorsys" not in sys.modules
        assert rgb_to_hsv(1, 1, 1) == (0.0, 0.0, 1)
        assert later.hsv_to_rgb(0.0, 0.0, 1) == (1, 1, 1)
        with pytest.raises(AttributeError):
            _ = later.no_such_thing
        assert sys.modules["colorsys"] is not later
    finally:
        if kept is not None:
            sys.modules["colorsys"] = kept


def test_an_absent_package_cannot_be_imported_meanwhile_and_can_afterwards() -> None:
    code = """
from compeffdist.imports import lean_imports
with lean_imports(absent=("fractions",)):
    try:
        import fractions
    except ImportError:
        print("absent")
import fractions
print(fractions.Fraction(1, 2))
"""
    assert run(code) == "absent\n1/2"


def test_modules_that_are_loaded_stay_as_they_are() -> None:
    import json

    with lean_imports(deferred=("json",), absent=("json",)):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json


def test_a_block_that_fails_leaves_nothing_behind() -> None:
    with pytest.raises(RuntimeError), lean_imports(deferred=("wave",), absent=("aifc",)):
        raise RuntimeError
    assert "wave" not in sys.modules and "aifc" not in sys.modules


@pytest.mark.parametrize(
    ("library", "left_out"),
    [
        ("great_expectations", ("scipy.stats", "altair", "google", "sqlalchemy")),
        ("transformers_models", ("sklearn", "scipy", "sympy", "triton", "torch._dynamo", "torch.distributed.tensor")),
        ("sentence_transformers", ("sklearn", "scipy.stats")),
    ],
)
def test_libraries_are_imported_without_what_no_stage_uses(library: str, left_out: tuple[str, ...]) -> None:
    code = f"""
import sys
from compeffdist import imports
imports.{library}()
print([name for name in {left_out!r} if name in sys.modules])
import sklearn.metrics, scipy.stats, sqlalchemy
print(scipy.stats.spearmanr([1, 2, 3], [1, 2, 4]).statistic > 0.99, sklearn.metrics.roc_curve.__module__)
"""
    assert run(code).splitlines() == ["[]", "True sklearn.metrics._ranking"]


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_afterwards_if_it_was_before(collects: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        with pytest.raises(RuntimeError), lean_imports():
            raise RuntimeError
        assert gc.isenabled() is collects
    finally:
        (gc.enable if before else gc.disable)()


INNER = "xml.dom.minidom"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (f"import {INNER} as config; print(config.__name__)", INNER),
        (f"from {INNER} import parseString; print(type(parseString).__name__)", "function"),
        (f"import {INNER} as one; print(one is sys.modules[one.__name__], one.__spec__.name)", f"True {INNER}"),
        ("from colorsys import rgb_to_hsv; print(rgb_to_hsv(1, 1, 1))", "(0.0, 0.0, 1)"),
    ],
)
def test_what_is_used_while_a_library_is_imported_is_the_real_module(asked: str, told: str) -> None:
    code = f"""
import sys
from compeffdist.imports import lean_imports
with lean_imports(deferred=("xml.dom", "colorsys")):
    {asked}
assert not any(type(finder).__name__ == "_Within" for finder in sys.meta_path)
"""
    assert run(code) == told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            "import torch._dynamo as compiler; compiler.config.cache_size_limit = 5; "
            "print(hasattr(compiler, 'no_such_thing'), sys.modules['torch._dynamo'].config.cache_size_limit)",
            "False 5",
        ),
        ("from torch._dynamo import disable; disable(lambda: print('ran'))()", "ran"),
    ],
)
def test_the_compiler_is_loaded_for_what_is_no_mark_of_it(asked: str, told: str) -> None:
    code = f"""
import sys, torch
from compeffdist.imports import COMPILER, lean_imports
with lean_imports(deferred=(COMPILER, COMPILER + "._trace_wrapped_higher_order_op")):
    {asked}
"""
    assert run(code) == told


PLAIN = """
import sys
from pathlib import Path
import transformers as library
import torch
from transformers import LlamaConfig, LlamaForCausalLM
heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "vocab_size": 16}
def small():
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads))
"""
MODEL = PLAIN.replace(
    "import transformers as library",
    "from compeffdist.imports import transformers_models\nlibrary = transformers_models()",
)


def test_a_model_is_loaded_and_asked_without_the_compiler(tmp_path: Path) -> None:
    saved = run(f"""{PLAIN}
torch.manual_seed(1)
model = small().eval()
model.save_pretrained({str(tmp_path)!r})
print(model(input_ids=torch.arange(8)[None]).logits.tolist())
""")
    code = f"""{MODEL}
loaded = library.AutoModelForCausalLM.from_pretrained({str(tmp_path)!r}).eval()
with torch.inference_mode():
    print(loaded(input_ids=torch.arange(8)[None]).logits.tolist())
print([name for name in ("torch._dynamo", "triton", "torch.distributed.tensor", "scipy") if name in sys.modules])
"""
    assert run(code).splitlines() == [saved, "[]"]


def test_a_step_of_training_gives_the_weights_that_it_gives_in_plain_transformers() -> None:
    step = """
from hashlib import sha256
torch.manual_seed(1)
model = small().train()
model.gradient_checkpointing_enable()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
ids = torch.arange(8)[None]
before = model.model.embed_tokens.weight.detach().clone()
model(input_ids=ids, labels=ids).loss.backward()
optimizer.step()
print(torch.equal(before, model.model.embed_tokens.weight))
print(sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).hexdigest())
"""
    plain = run(PLAIN + step)
    assert plain.startswith("False\n") and run(MODEL + step) == plain


def test_what_was_marked_for_the_compiler_is_marked_once_it_is_there() -> None:
    code = f"""{MODEL}
seen = []
compiled = torch.compile(small(), backend=lambda graph, inputs: seen.append(graph) or graph.forward)
compiled(input_ids=torch.arange(8)[None])
print("torch._dynamo" in sys.modules, bool(seen))
from transformers.integrations.eager_paged import eager_paged_attention_forward as paged
inside = [cell.cell_contents for cell in paged.__closure__ if callable(cell.cell_contents)]
print(any(getattr(cell(), "_torchdynamo_disable", False) for cell in inside if hasattr(cell, "cache_info")))
"""
    assert run(code).splitlines() == ["True True", "True"]


def test_spread_weights_are_still_told_from_others() -> None:
    code = f"""{MODEL}
import torch.distributed as group
from transformers.distributed.utils import is_dtensor
print(is_dtensor(torch.ones(1)))
group.init_process_group("gloo", init_method="tcp://127.0.0.1:0", rank=0, world_size=1)
from torch.distributed.tensor import Replicate, distribute_tensor, init_device_mesh
spread = distribute_tensor(torch.ones(1), init_device_mesh("cpu", (1,)), [Replicate()])
print(is_dtensor(spread), is_dtensor(torch.ones(1)))
group.destroy_process_group()
"""
    assert run(code).splitlines() == ["False", "True False"]


def test_great_expectations_can_still_read_files() -> None:
    code = """
from compeffdist.imports import great_expectations
great_expectations()
from great_expectations.datasource.fluent.pandas_filesystem_datasource import PandasFilesystemDatasource
print(PandasFilesystemDatasource.__name__)
"""
    assert run(code) == "PandasFilesystemDatasource"


FRAMES = """
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from compeffdist.imports import spare_pandas
spare_pandas()
spare_pandas()
import pyarrow as pa
import pyarrow.parquet
table = pa.Table.from_pylist([{"a": 1, "b": ["x"]}])
assert table.to_pylist() == [{"a": 1, "b": ["x"]}] and pa.array([None, 2.0]).null_count == 1
assert find_spec("pandas") and "pandas" not in sys.modules
assert pa.__spec__.origin and type(pa.__loader__) is type(pa.__spec__.loader) is SourceFileLoader
"""


@pytest.mark.parametrize("first", ["import pandas as pd", "pd = type(table.to_pandas()); import pandas as pd"])
def test_arrays_are_made_without_pandas_until_that_is_imported(first: str) -> None:
    code = f"""{FRAMES}
{first}
series = pd.Series([1, None, 3], dtype="Int64")
assert pa.array(series).to_pylist() == [1, None, 3] and pa.array(pd.Series([0.5, float("nan")])).null_count == 1
assert pa.Table.from_pandas(table.to_pandas(), preserve_index=False).schema.names == ["a", "b"]
assert pd.__spec__.origin and pd.io.parquet
print(type(pa.array(pd.Categorical(["u", "v", "u"]))).__name__)
"""
    assert run(code) == "DictionaryArray"


def test_a_pandas_that_was_there_first_is_known_to_pyarrow() -> None:
    code = """
from compeffdist.imports import spare_pandas
spare_pandas()
import pandas as pd
import pyarrow as pa
print(pa.array(pd.Series([0.5, float("nan")])).null_count)
"""
    assert run(code) == "1"


def test_a_pyarrow_that_was_there_first_looks_for_pandas_itself() -> None:
    code = """
import pyarrow as pa
from compeffdist.imports import spare_pandas
spare_pandas()
pa.array([1])
import pandas as pd
print(pa.array(pd.Series([0.5, float("nan")])).null_count)
"""
    assert run(code) == "1"
