"""Loading: devices, precision, and what is not a student."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from compeffdist import precision
from compeffdist.errors import UserError
from compeffdist.params import FineTuningParams
from compeffdist.precision import resolve_device
from compeffdist.student.loading import load_student, stored_dtype, student_dtype, student_id
from compeffdist.student.training import TrainingRow, fine_tune
from tests.fakes import SYSTEM


def test_auto_precision_is_bfloat16_exactly_where_the_cpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for multiplies, expected in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(precision, "cpu_multiplies", lambda dtype, value=multiplies: value)
        assert student_dtype("cpu") == expected
        assert student_dtype("cpu", stored=torch.float32) == torch.float32


def test_weights_have_the_precision_of_their_file_whatever_the_configuration_says(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    assert stored_dtype(folder) == torch.bfloat16
    weights = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert AutoConfig.from_pretrained(folder).dtype == torch.bfloat16
    assert stored_dtype(folder) == torch.float32 == load_student(folder, "cpu")[0].dtype
    (folder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(UserError, match="not a complete safetensors file"):
        load_student(folder, "cpu")


def test_a_missing_device_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"runtime\.device"):
        resolve_device("cuda")


def test_a_folder_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a model folder"):
        load_student(tmp_path, "cpu")
    with pytest.raises(UserError, match="no such file"):
        student_id(tmp_path)


def test_a_student_id_follows_the_training_and_nothing_else(tiny_folder: Path, tmp_path: Path) -> None:
    def trained(name: str, response: str) -> str:
        rows = [TrainingRow("sample_a", "the film was great", response)]
        settings = FineTuningParams(epochs=1.0, learning_rate=1e-3)
        fine_tune(
            tiny_folder,
            rows,
            settings,
            base_id="b",
            seed=1,
            output=tmp_path / name,
            stage="s",
            device="cpu",
            system=SYSTEM,
        )
        return student_id(tmp_path / name)

    assert trained("one", "positive") == trained("two", "positive")
    assert trained("three", "negative") != trained("one", "positive")
