"""`compeffdist cluster`, with vectors in place of an embedding model."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from compeffdist.cli import cluster
from compeffdist.errors import UserError
from compeffdist.record_files import read_perspectives, write_records
from compeffdist.records import Attribute


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cluster.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "expected a list"),
        ('["tone"]', "item 1: expected an object"),
        ('[{"attribute": "tone", "count": 2}, {"attribute": " ", "count": 2}]', "item 2: attribute must be"),
        ('[{"attribute": "tone"}]', r"item 1 \('tone'\): count must be a whole number"),
        ('[{"attribute": "tone", "count": true}]', "count must be a whole number"),
        ('[{"attribute": "tone", "count": 0}]', "at least 1"),
        ("[1,", "not valid JSON"),
        ('[{"attribute": "tone", "count": 2, "count": 3}]', "item 1 has the key 'count' more than once"),
        ('[{"attribute": "tone", "attribute": "price", "count": 3}]', "item 1 has the key 'attribute' more than once"),
        ('[{"attribute": "tone", "count": 2}, {"name": "tone", "count": 3}]', "items 1 and 2 are both 'tone'"),
        ('[{"attribute": "tone", "count": ' + "9" * 400 + "}]", r"item 1 \('tone'\): count must be"),
        ('[{"attribute": "\\ud83d", "count": 1}]', "item 1: attribute must be a non-empty string"),
    ],
)
def test_a_broken_list_is_named_with_its_item(tmp_path: Path, content: str, message: str) -> None:
    source = tmp_path / "attributes.json"
    source.write_text(content)
    with pytest.raises(UserError, match=f"attributes.json: {message}" if "item" in message else message):
        cluster.read_attributes(source)


def test_json_with_either_key_and_parquet_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"attribute": "tone", "count": 12}]')
    (tmp_path / "b.json").write_text('[{"name": "tone", "count": 12}]')
    write_records(tmp_path / "c.parquet", Attribute, cluster.read_attributes(tmp_path / "a.json"))
    read = [cluster.read_attributes(tmp_path / name) for name in ("a.json", "b.json", "c.parquet")]
    assert read[0] == read[1] == read[2] and (read[0][0].name, read[0][0].count) == ("tone", 12)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_is_read_whatever_mark_is_at_its_head_and_without_halves_of_characters(
    tmp_path: Path, encoding: str
) -> None:
    source = tmp_path / "a.json"
    source.write_text('[{"attribute": "ang\\ud83der", "count": 3.0},\n {"name": "joy", "count": 2}]', encoding=encoding)
    assert [(found.name, found.count) for found in cluster.read_attributes(source)] == [("anger", 3), ("joy", 2)]


def test_options_override_params_and_bad_values_name_the_option() -> None:
    from compeffdist.params import ClustersParams

    args = parsed("--attributes", "a", "--out", "b", "--preference-percentile", "30", "--weighting", "none")
    params = cluster._override(ClustersParams(damping=0.8), args)
    assert (params.preference_percentile, params.weighting, params.damping) == (30, "none", 0.8)
    with pytest.raises(UserError, match=r"--damping: .*less than 1 \(got 1\.5\)"):
        cluster._override(ClustersParams(), parsed("--attributes", "a", "--out", "b", "--damping", "1.5"))


def test_the_command_writes_perspectives_and_prints_diagnostics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # no checkout: no params.yaml, no git
    monkeypatch.setenv("COMPEFFDIST_CACHE", str(tmp_path))
    monkeypatch.setattr("compeffdist.models.resolve_model", lambda role, model, cache: role)
    monkeypatch.setattr("compeffdist.models.model_folder", lambda identity, cache: cache)
    monkeypatch.setattr(
        "compeffdist.embedding.embed", lambda names, folder, device: np.eye(2, dtype="f4")[[0, 0, 1, 1]]
    )
    items = [{"attribute": name, "count": 20} for name in ("tone", "language tone", "price", "cost")]
    (tmp_path / "in.json").write_text(json.dumps(items))
    out = tmp_path / "out.json"
    given = ["--attributes", "in.json", "--out", str(out), "--embedder", "path:m#sha256=" + "a" * 64]
    cluster.run(parsed(*given, "--json", "--weighting", "none"))
    diagnostics = json.loads(capsys.readouterr().out)
    assert diagnostics["attributes"] == 4 and diagnostics["weighting"] == "none"
    assert {frozenset(p.member_names) for p in read_perspectives(out)} == {
        frozenset({"tone", "language tone"}),
        frozenset({"price", "cost"}),
    }
    cluster.run(parsed(*given))
    assert "4 attributes in 2 perspectives" in capsys.readouterr().out


def test_an_empty_list_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.json").write_text("[]")
    with pytest.raises(UserError, match="no attributes in it"):
        cluster.run(parsed("--attributes", "in.json", "--out", "out.json", "--embedder", "path:m"))


def test_without_params_or_an_embedder_one_line_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no params\.yaml here that names an embedder: give --embedder"):
        cluster.run(parsed("--attributes", "in.json", "--out", "out.json"))
