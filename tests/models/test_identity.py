"""A model is known by its bytes and by whatever else changes what it does."""

from pathlib import Path
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.files import hash_file, write_json
from compeffdist.models import (
    model_folder,
    read_identity,
    resolve_model,
)

from .making import CHAT_TEMPLATE, make_folder, params


def test_the_card_of_a_folder_describes_it(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    identity = resolve_model("student", params(f"path:{folder}"), tmp_path / "cache")
    assert identity.parameters == 10
    assert identity.weights == {"model.safetensors": hash_file(folder / "model.safetensors")}
    assert identity.source_sha256 == identity.weights["model.safetensors"]
    assert identity.weight_bytes == (folder / "model.safetensors").stat().st_size
    assert identity.chat_template_sha256 == hash_file(folder / "chat_template.jinja")
    assert (identity.role, identity.licence, identity.architecture) == ("student", "MIT", "TinyForCausalLM")
    assert model_folder(identity, tmp_path / "cache") == folder


def test_the_same_bytes_have_one_id_wherever_they_lie_and_whatever_they_are_for(tmp_path: Path) -> None:
    here, there = make_folder(tmp_path / "a"), make_folder(tmp_path / "b", transformers_version="2")
    first = resolve_model("teacher", params(f"path:{here}"), tmp_path / "cache1")
    second = resolve_model("student", params(f"path:{there}", licence="other"), tmp_path / "cache2")
    assert first.id == second.id
    assert model_folder(first, tmp_path / "cache2") == there


@pytest.mark.parametrize("change", [{"seed": 1}, {"template": "{{ x }}"}, {"template": ""}, {"rope_theta": 1.0}])
def test_whatever_changes_behaviour_changes_the_id(tmp_path: Path, change: dict[str, Any]) -> None:
    one = resolve_model("teacher", params(f"path:{make_folder(tmp_path / 'a')}"), tmp_path / "cache")
    other = resolve_model("teacher", params(f"path:{make_folder(tmp_path / 'b', **change)}"), tmp_path / "cache")
    assert one.id != other.id


def test_dtype_and_tokenizer_are_part_of_the_id(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    ids = {resolve_model("x", params(f"path:{folder}", dtype=d), tmp_path / "c").id for d in ("float32", "bfloat16")}
    write_json(folder / "tokenizer.json", {"model": {"vocab": {"b": 0}}})
    ids.add(resolve_model("x", params(f"path:{folder}"), tmp_path / "c").id)
    assert len(ids) == 3


def test_a_template_inside_the_tokenizer_config_counts_as_the_same_template(tmp_path: Path) -> None:
    with_file = make_folder(tmp_path / "a")
    inside = make_folder(tmp_path / "b", template="")
    write_json(inside / "tokenizer_config.json", {"chat_template": CHAT_TEMPLATE})
    hashes = {
        resolve_model("x", params(f"path:{folder}"), tmp_path / "c").chat_template_sha256
        for folder in (with_file, inside)
    }
    assert len(hashes) == 1


def test_a_model_behind_an_api_is_known_by_name_only(tmp_path: Path) -> None:
    identity = resolve_model("teacher", params("api:gpt-4o@openai"), tmp_path)
    assert identity.served_name == "gpt-4o@openai"
    assert identity.weights == {} and identity.parameters is None
    assert identity.id == resolve_model("student", params("api:gpt-4o@openai", dtype="float16"), tmp_path).id
    assert identity.id != resolve_model("teacher", params("api:gpt-4o@elsewhere"), tmp_path).id
    with pytest.raises(UserError, match="served by an API"):
        model_folder(identity, tmp_path)


def test_an_identity_survives_json_and_an_edited_one_is_refused(tmp_path: Path) -> None:
    identity = resolve_model("x", params(f"path:{make_folder(tmp_path / 'm')}"), tmp_path / "c")
    file = tmp_path / "identity.json"
    write_json(file, identity.to_row())
    assert read_identity(file) == identity
    write_json(file, {**identity.to_row(), "dtype": "float16"})
    with pytest.raises(UserError, match=r"identity\.json: not a model identity: id .* does not match"):
        read_identity(file)
    write_json(file, [1])
    with pytest.raises(UserError, match="not a model identity"):
        read_identity(file)
