"""A folder or package that is no whole model is refused with what is missing."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from compeffdist.errors import UserError
from compeffdist.files import write_json
from compeffdist.models import (
    resolve_model,
)

from .making import make_folder, params


def test_sharded_weights_are_hashed_shard_by_shard_and_a_missing_one_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    save_file({"c": np.zeros(7, np.float32)}, folder / "model-2.safetensors")
    shards = {"a.weight": "model-1.safetensors", "c": "model-2.safetensors"}
    write_json(folder / "model.safetensors.index.json", {"weight_map": shards})
    identity = resolve_model("x", params(f"path:{folder}"), tmp_path / "c")
    assert sorted(identity.weights) == ["model-1.safetensors", "model-2.safetensors"]
    assert identity.parameters == 17
    (folder / "model-2.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-2\.safetensors is missing"):
        resolve_model("x", params(f"path:{folder}"), tmp_path / "c")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "is missing"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_refused(tmp_path: Path, missing: str, message: str) -> None:
    folder = make_folder(tmp_path / "m")
    (folder / missing).unlink()
    with pytest.raises(UserError, match=message):
        resolve_model("x", params(f"path:{folder}"), tmp_path / "c")


def test_weights_cut_short_are_refused(tmp_path: Path) -> None:
    weights = make_folder(tmp_path / "m") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    with pytest.raises(UserError, match="not a complete safetensors file"):
        resolve_model("x", params(f"path:{tmp_path / 'm'}"), tmp_path / "c")
