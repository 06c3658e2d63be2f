"""What was resolved once is found again, and only while its files are the same."""

import json
import os
import shutil
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.models import (
    index,
    model_folder,
    resolve_model,
    resolving,
)

from .making import make_folder, params


def test_what_was_resolved_before_is_used_before_any_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "m")
    first = resolve_model("teacher", params(f"path:{folder}"), tmp_path / "c")
    monkeypatch.setattr(resolving, "_locate", lambda *_: pytest.fail("resolved again"))
    again = resolve_model("student", params("hf:org/model@main", f"path:{folder}"), tmp_path / "c")
    assert (again.id, again.role) == (first.id, "student")


def test_changed_weights_are_a_new_identity_and_the_old_card_finds_no_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    old = resolve_model("x", params(f"path:{folder}"), tmp_path / "c")
    shutil.rmtree(folder)
    make_folder(folder, seed=1)
    with pytest.raises(UserError, match=rf"{old.id} .* run: dvc repro -f -s resolve_models"):
        model_folder(old, tmp_path / "c")
    new = resolve_model("x", params(f"path:{folder}"), tmp_path / "c")
    assert new.id != old.id
    assert model_folder(new, tmp_path / "c") == folder


def test_a_touched_file_is_hashed_once_and_then_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "m")
    identity = resolve_model("x", params(f"path:{folder}"), tmp_path / "c")
    os.utime(folder / "model.safetensors", (1, 1))
    assert model_folder(identity, tmp_path / "c") == folder
    monkeypatch.setattr(index, "hash_file", lambda _: pytest.fail("hashed again"))
    assert model_folder(identity, tmp_path / "c") == folder


def test_an_unreadable_index_entry_is_made_again(tmp_path: Path) -> None:
    reference = params(f"path:{make_folder(tmp_path / 'm')}")
    identity = resolve_model("x", reference, tmp_path / "c")
    [entry] = (tmp_path / "c" / "models" / "index").glob("*.json")
    entry.write_text('{"identity": 1, "stamps": {}}')
    assert resolve_model("x", reference, tmp_path / "c") == identity
    assert json.loads(entry.read_text())["identity"]["id"] == identity.id
