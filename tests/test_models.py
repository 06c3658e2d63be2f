"""Tiny models made here: a safetensors folder of a few bytes and a real GGUF of two layers; no network."""

import contextlib
import json
import os
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from compeffdist import packages
from compeffdist.errors import UserError
from compeffdist.files import hash_file, write_json
from compeffdist.models import (
    cache_folder,
    index,
    model_folder,
    parse_reference,
    read_identity,
    resolve_model,
    resolving,
)
from compeffdist.models import gguf as conversion
from compeffdist.params import ModelParams

STAGES = Path(__file__).parent.parent / "stages"
SHA = "ab" * 32
CHAT_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def make_folder(folder: Path, *, seed: int = 0, template: str = CHAT_TEMPLATE, **config: Any) -> Path:
    """A Hugging Face folder of 2 x 3 + 4 parameters."""
    folder.mkdir(parents=True)
    weights = np.random.default_rng(seed).normal(size=(2, 3)).astype(np.float32)
    tensors = {"a.weight": weights, "b.bias": np.zeros(4, np.float32), "position_ids": np.arange(5)}
    save_file(tensors, folder / "model.safetensors")
    write_json(folder / "config.json", {"architectures": ["TinyForCausalLM"], "transformers_version": "1", **config})
    write_json(folder / "tokenizer.json", {"model": {"vocab": {"a": 0}}})
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def params(*references: str, licence: str = "MIT", dtype: Any = "float32") -> ModelParams:
    return ModelParams(reference=list(references), licence=licence, dtype=dtype)


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hugging Face's cache is empty and its hub out of reach."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def package_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, dict[str, bytes]], None]:
    """`add(requirement, members)`: a package that can be fetched, in place of a download."""
    import zipfile

    folder = tmp_path / "wheels"
    folder.mkdir()

    def add(requirement: str, members: dict[str, bytes]) -> None:
        with zipfile.ZipFile(folder / f"{requirement}.whl", "w") as wheel:
            for name, content in members.items():
                wheel.writestr(name, content)

    def copy(name: str, version: str, work: Path, source_distribution: bool) -> None:
        wheel = folder / f"{name}=={version}.whl"
        if not wheel.exists():
            raise UserError(f"package {name}=={version}: unreachable")
        shutil.copy(wheel, work / "archive")

    monkeypatch.setattr(packages, "_run_pip", copy)
    return add


# ---------------------------------------------------------------- references


def test_references_of_each_kind_are_parsed() -> None:
    hub = parse_reference(f"hf:Qwen/Qwen2.5-GGUF@main!sub/q4.gguf#sha256={SHA}")
    assert (hub.scheme, hub.location, hub.revision, hub.member) == (
        "hf",
        "Qwen/Qwen2.5-GGUF",
        "main",
        "sub/q4.gguf",
    )
    assert hub.sha256 == SHA and hub.is_gguf
    assert not parse_reference("hf:gpt2@0123abc").is_gguf
    assert parse_reference("path:/models/my#1").location == "/models/my#1"
    assert parse_reference(f"path:m.gguf#sha256={SHA}").location == str(Path("m.gguf").absolute())
    assert not parse_reference("pypi:gt==0.1.0!gt/model/*").is_gguf
    assert parse_reference("api:gpt-4o@openai").location == "gpt-4o@openai"


@given(st.integers(0, 500), st.integers(0, 200))
def test_a_range_names_its_packages_in_numeric_order(first: int, more: int) -> None:
    reference = parse_reference(f"pypi:part{{{first}..{first + more}}}-x==0.2.0!*.bin#sha256={SHA}")
    assert reference.packages == [f"part{n}-x==0.2.0" for n in range(first, first + more + 1)]


@pytest.mark.parametrize(
    "text",
    [
        "Qwen/Qwen2.5",
        "ftp:x",
        "hf:Qwen/Qwen2.5",
        "hf:a/b/c@main",
        "hf:a/b@main!weights.bin",
        "path:",
        "api:gpt-4o",
        "api:@openai",
        "api:gpt-4o@",
        "path:x.gguf#sha256=123",
        f"path:x.gguf#sha256={SHA.upper()}",
        "pypi:x!y",
        "pypi:x>=1!y",
        "pypi:x==1!part.gguf",
        f"pypi:x{{3..1}}==1!p#sha256={SHA}",
        f"pypi:x{{1..5000}}==1!p#sha256={SHA}",
        f"pypi:x{{1..2}}{{1..2}}==1!p#sha256={SHA}",
        "pypi:x{1..2}==1!model/*",
        "api:",
        f"api:x#sha256={SHA}",
    ],
)
def test_malformed_references_are_refused_by_name(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_reference(text)
    assert repr(text) in str(caught.value)


@given(st.text(max_size=40), st.sampled_from(["", "hf:", "path:", "pypi:", "api:"]))
def test_any_text_parses_or_is_a_user_error(text: str, scheme: str) -> None:
    with contextlib.suppress(UserError):
        assert parse_reference(scheme + text).text == scheme + text


# ---------------------------------------------------------------- identity


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


def test_a_card_survives_json_and_an_edited_one_is_refused(tmp_path: Path) -> None:
    identity = resolve_model("x", params(f"path:{make_folder(tmp_path / 'm')}"), tmp_path / "c")
    card = tmp_path / "card.json"
    write_json(card, identity.to_json())
    assert read_identity(card) == identity
    write_json(card, {**identity.to_json(), "dtype": "float16"})
    with pytest.raises(UserError, match=r"card\.json: not a model identity: id .* does not match"):
        read_identity(card)
    write_json(card, [1])
    with pytest.raises(UserError, match="not a model identity"):
        read_identity(card)


# ---------------------------------------------------------------- folders


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


def test_a_folder_from_a_package_keeps_its_sub_folders(tmp_path: Path, package_index: Any) -> None:
    folder = make_folder(tmp_path / "m")
    write_json(folder / "modules.json", [{"path": ""}, {"path": "1_Pooling"}])
    files = {f"pkg/model/{p.name}": p.read_bytes() for p in folder.iterdir()}
    package_index("pkg==1.0", {**files, "pkg/model/1_Pooling/config.json": b"{}", "pkg/code.py": b""})
    identity = resolve_model("embedder", params("pypi:pkg==1.0!pkg/model/*"), tmp_path / "c")
    assert identity.revision == "1.0"
    found = model_folder(identity, tmp_path / "c")
    assert (found / "1_Pooling" / "config.json").exists() and not list(found.rglob("*.py"))


def test_a_hub_model_is_found_in_the_cache_without_a_network_and_its_commit_recorded(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--org--tiny"
    folder = make_folder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    identity = resolve_model("teacher", params("hf:org/tiny@main"), tmp_path / "c")
    assert identity.revision == commit
    assert model_folder(identity, tmp_path / "c") == folder


# ---------------------------------------------------------------- alternatives and the index


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


def test_the_environment_moves_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPEFFDIST_CACHE", raising=False)
    assert cache_folder("~/x") == Path.home() / "x"
    monkeypatch.setenv("COMPEFFDIST_CACHE", "/big/disk")
    assert cache_folder("~/x") == Path("/big/disk")


def test_the_stage_writes_cards_that_lead_to_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = params(f"path:{make_folder(tmp_path / 'm')}")
    roles = SimpleNamespace(teacher=params("api:gpt-4o@openai"), student=here, embedder=here)
    settings = SimpleNamespace(models=roles, runtime=SimpleNamespace(cache=str(tmp_path / "c")))
    monkeypatch.delenv("COMPEFFDIST_CACHE", raising=False)
    monkeypatch.setattr("compeffdist.params.load_params", lambda: settings)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(STAGES / "resolve_models.py"), run_name="__main__")
    student = read_identity(tmp_path / "models" / "student.json")
    assert model_folder(student, tmp_path / "c") == tmp_path / "m"
    assert read_identity(tmp_path / "models" / "teacher.json").served_name == "gpt-4o@openai"
    metrics = json.loads((tmp_path / "metrics" / "resolve_models.json").read_text())
    assert sorted(metrics) == ["embedder", "student"]
    assert metrics["student"] == {"parameters": 10, "weight_bytes": student.weight_bytes}


# ---------------------------------------------------------------- GGUF


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with a byte-level vocabulary and a chat template."""
    from gguf import GGUFWriter, TokenType

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "!!", *(chr(c) for c in range(33, 94))]
    width, hidden, layers = 32, 64, 2
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(width // 4)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges(["! !"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(CHAT_TEMPLATE)
    generator = np.random.default_rng(0)
    shapes = {"token_embd": (len(tokens), width), "output_norm": (width,)}
    for n in range(layers):
        attention = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (width, width))
        feed_forward = {"ffn_gate": (hidden, width), "ffn_up": (hidden, width), "ffn_down": (width, hidden)}
        norms = dict.fromkeys(("attn_norm", "ffn_norm"), (width,))
        shapes |= {f"blk.{n}.{k}": shape for k, shape in (attention | feed_forward | norms).items()}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", generator.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_in_parts_becomes_a_loadable_folder_with_its_template_and_nothing_else_is_kept(
    gguf: Path, tmp_path: Path, package_index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, sha = gguf.read_bytes(), hash_file(gguf)
    size = len(content) // 11
    for n in range(1, 12):
        part = content[(n - 1) * size : n * size if n < 11 else None]
        package_index(f"tiny-part{n}==1.0", {f"tiny/part{n:02}.bin": part})
    reference = params(f"pypi:tiny-part{{1..11}}==1.0!*.bin#sha256={sha}", dtype="bfloat16")
    identity = resolve_model("student", reference, tmp_path / "c")
    assert (identity.source_sha256, identity.architecture) == (sha, "LlamaForCausalLM")
    folder = model_folder(identity, tmp_path / "c")
    assert (folder / "chat_template.jinja").read_text() == CHAT_TEMPLATE
    assert not list((tmp_path / "c").rglob("*.bin")) and not list((tmp_path / "c").rglob("*.gguf"))

    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    assert str(model.dtype) == "torch.bfloat16"
    assert sum(p.numel() for p in model.parameters()) == identity.parameters

    # the same file by another way, in another cache: converted again, to the same bytes and id
    elsewhere = resolve_model("teacher", params(f"path:{gguf}", dtype="bfloat16"), tmp_path / "other")
    assert elsewhere.id == identity.id
    # a new reference to the same hash finds what is converted
    monkeypatch.setattr(conversion, "_convert", lambda *_: pytest.fail("converted again"))
    by_path = resolve_model("teacher", params(f"path:{gguf}#sha256={sha}", dtype="bfloat16"), tmp_path / "c")
    assert by_path.id == identity.id
    # its folder is named by the hash's beginning, which alone does not make it that file
    alike = sha[:-1] + ("0" if sha[-1] != "0" else "1")
    with pytest.raises(UserError, match=f"sha256 does not match: expected {alike}, got {sha}"):
        resolve_model("student", params(f"pypi:tiny-part{{1..11}}==1.0!*.bin#sha256={alike}"), tmp_path / "c")


def test_parts_that_do_not_make_the_stated_file_are_thrown_away(tmp_path: Path, package_index: Any) -> None:
    package_index("tiny==1.0", {"tiny/part.bin": b"GGUF but another"})
    with pytest.raises(UserError, match=f"sha256 does not match: expected {SHA}, got"):
        resolve_model("x", params(f"pypi:tiny==1.0!*.bin#sha256={SHA}"), tmp_path / "c")
    assert not [p for p in (tmp_path / "c").rglob("*") if p.is_file() and not p.name.endswith(".lock")]


def test_what_is_no_usable_gguf_is_refused_and_leaves_no_folder(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "not.gguf").write_bytes(b"#!/bin/sh")
    (tmp_path / "cut.gguf").write_bytes(gguf.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"not\.gguf: not a GGUF file"):
        resolve_model("x", params(f"path:{tmp_path}/not.gguf"), tmp_path / "c")
    with pytest.raises(UserError, match=r"cut\.gguf: cannot be converted"):
        resolve_model("x", params(f"path:{tmp_path}/cut.gguf"), tmp_path / "c")
    assert not list((tmp_path / "c").rglob("manifest.json"))
