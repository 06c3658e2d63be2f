"""Folders and files of models that somebody else made: a whole model, or one line that names the file."""

import json
import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

from hypothesis import strategies as st

from compeffdist.canonical import hash_bytes
from compeffdist.formatting import load_tokenizer
from compeffdist.models import ModelIdentity, gguf, read_identity
from compeffdist.models.index import IndexEntry
from compeffdist.models.inspection import Found, identify
from compeffdist.models.references import parse_reference
from compeffdist.student.checkpoints import latest_checkpoint
from tests.fuzz.hostile import as_json, damaged, files, replaced, texts, values
from tests.fuzz.hunting import REFUSED, Target, refused_or
from tests.models.making import make_folder, make_identity, params
from tests.student.tiny import tiny_tokenizer


@cache
def model_files() -> dict[str, bytes]:
    """A model of two safetensors files, with an index and a module beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name) / "model")
        (folder / "model.safetensors.index.json").write_bytes(as_json({"weight_map": {"a": "model.safetensors"}}))
        (folder / "modules.json").write_bytes(as_json([{"path": ""}, {"path": "1_Pooling"}]))
        (folder / "tokenizer_config.json").write_bytes(as_json({"chat_template": "{{ messages }}"}))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def folder(case: tuple[str, bytes], place: Path) -> None:
    name, content = case
    model = place / "model"
    model.mkdir()
    for file, own in model_files().items():
        (model / file).write_bytes(content if file == name else own)
    reference = parse_reference(f"path:{model}")
    found = refused_or(lambda: identify("teacher", reference, Found(model), params("x"), place / "cache"), model)
    if found is not REFUSED:
        assert ModelIdentity.from_row(found.identity.to_row()) == found.identity
        found.write()
        kept = IndexEntry.read(found.file)
        assert kept is not None and kept.identity == found.identity
        assert all((model / file).resolve().is_relative_to(model) for file in found.stamps), "reads beside the folder"


def tokenizer(case: tuple[str, bytes], place: Path) -> None:
    name, content = case
    for file, own in tokenizer_files().items():
        (place / file).write_bytes(content if file == name else own)
    refused_or(lambda: load_tokenizer(place), place)


@cache
def tokenizer_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        tiny_tokenizer().save_pretrained(name)
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


def identity(content: bytes, place: Path) -> None:
    path = place / "teacher.json"
    path.write_bytes(content)
    found = refused_or(lambda: read_identity(path), path)
    assert found is REFUSED or found.id == make_identity("one").id or content != as_json(IDENTITY)


def index(content: bytes, place: Path) -> None:
    path = place / "entry.json"
    path.write_bytes(content)
    entry = IndexEntry.read(path)
    if entry is not None:
        refused_or(entry.holds)


def checkpoint(case: tuple[bytes, bytes, bytes], place: Path) -> None:
    kept = place / "checkpoint-7"
    kept.mkdir()
    for name, content in zip(("trainer_state.json", "model.safetensors", "optimizer.pt"), case, strict=True):
        (kept / name).write_bytes(content)
    assert latest_checkpoint(place, averaged=False, stage="train") in (None, kept)


IDENTITY = make_identity("one").to_row()
ENTRY = {
    "identity": IDENTITY,
    "folder": ".",
    "stamps": {"a": {"bytes": 1, "mtime_ns": 2, "sha256": "0"}},
}


# ---------------------------------------------------------------- GGUF


@cache
def gguf_bytes() -> bytes:
    from tests.models.making import write_gguf

    with tempfile.TemporaryDirectory() as name:
        return write_gguf(Path(name) / "tiny.gguf").read_bytes()


def convert(content: bytes, place: Path) -> None:
    """Whatever a file is, nothing is left of it but a whole folder."""
    path = place / "mine.gguf"
    path.write_bytes(content)
    sha = hash_bytes(content)
    with mock.patch("builtins.print"):
        found = refused_or(lambda: gguf.converted(sha, "float32", place / "cache", lambda _: path), "mine.gguf")
    if found is REFUSED:
        assert not list((place / "cache").rglob("*.safetensors"))
    else:
        assert (found / "model.safetensors").is_file()


@st.composite
def damaged_folder(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(model_files())))
    if name.endswith(".json") and draw(st.booleans()):
        return name, as_json(draw(replaced(json.loads(model_files()[name]), st.one_of(values(), paths))))
    return name, draw(files(model_files()[name]))


paths = st.one_of(st.sampled_from(["../x", "/etc/hostname", "..", "a\0b", "model.safetensors", "~"]), texts(2))


@st.composite
def damaged_tokenizer(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(tokenizer_files())))
    return name, draw(damaged(tokenizer_files()[name]))


TARGETS = (
    Target("models.folder", st.deferred(damaged_folder), folder),
    Target("models.tokenizer", st.deferred(damaged_tokenizer), tokenizer, share=0.1),
    Target("models.identity", st.one_of(files(as_json(IDENTITY)), replaced(IDENTITY).map(as_json)), identity),
    Target("models.index", st.one_of(files(as_json(ENTRY)), replaced(ENTRY).map(as_json)), index),
    Target(
        "models.checkpoint",
        st.tuples(replaced({"global_step": 7}).map(as_json), st.binary(max_size=40), st.binary(max_size=40)),
        checkpoint,
        share=0.3,
    ),
    Target("models.gguf", st.deferred(lambda: damaged(gguf_bytes(), 2)), convert, share=0.04),
)
