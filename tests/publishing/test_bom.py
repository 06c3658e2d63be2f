"""export bom: CycloneDX that its own library accepts, with the hashes of what is there."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import ComponentType
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from compeffdist.artefacts import EVALUATED, STUDENT, TEXTS, TRAINING
from compeffdist.errors import UserError
from compeffdist.files import hash_file, read_json
from compeffdist.publishing.bom import export_bom
from compeffdist.publishing.finished import FinishedRun
from tests.lineage.conftest import World
from tests.models.making import make_identity


def written(world: World, tmp_path: Path) -> dict:  # type: ignore[type-arg]
    export_bom(tmp_path / "bom.json", world.repository)
    return json.loads((tmp_path / "bom.json").read_text())


def by_ref(value: dict) -> dict[str, dict]:  # type: ignore[type-arg]
    return {one["bom-ref"]: one for one in [value["metadata"]["component"], *value["components"]]}


def hashes(component: dict) -> list[str]:  # type: ignore[type-arg]
    return [one["content"] for one in component.get("hashes", ())]


def test_it_is_cyclonedx_and_names_every_model_and_data_set(world: World, tmp_path: Path) -> None:
    value = written(world, tmp_path)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((tmp_path / "bom.json").read_text()) is None
    read = Bom.from_json(value)
    kinds = {component.bom_ref.value: component.type for component in read.components}
    assert kinds == {
        **dict.fromkeys(
            ("model:teacher", "model:base-student", "model:embedder"), ComponentType.MACHINE_LEARNING_MODEL
        ),
        **dict.fromkeys(("texts:mine:CC0-1.0", "data:training", "data:evaluation"), ComponentType.DATA),
    }
    depends = {one["ref"]: one.get("dependsOn", []) for one in value["dependencies"]}
    assert set(depends["student"]) == {"model:base-student", "data:training"}
    assert {"texts:mine:CC0-1.0", "model:teacher"} <= set(depends["data:training"])


def test_hashes_licences_and_figures_are_those_of_the_run(world: World, tmp_path: Path) -> None:
    found = by_ref(written(world, tmp_path))
    weights = world.folder / STUDENT / "model.safetensors"
    files = {one["name"]: hashes(one) for one in found["student"]["components"]}
    assert files["model.safetensors"] == [hash_file(weights)]
    assert files.keys() == {path.name for path in weights.parent.iterdir()}
    assert hashes(found["data:training"]) == [hash_file(world.folder / TRAINING)]
    assert hashes(found["model:teacher"]) == [make_identity("teacher").weights["model.safetensors"]]
    assert found["texts:mine:CC0-1.0"]["licenses"] == [{"license": {"id": "CC0-1.0"}}]
    assert found["model:teacher"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    told = {one["name"]: one["value"] for one in found["texts:mine:CC0-1.0"]["properties"]}
    assert told["compeffdist:texts"] == str(len(world.records(TEXTS)))
    metrics = found["student"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    figure = read_json(world.folder / EVALUATED)["tasks"]["mini"]["macro_f1"]["student"]
    assert metrics[0] == {
        "type": "macro-F1, 95% interval",
        "slice": "mini",
        "value": f"{figure['estimate']:.4f}",
        "confidenceInterval": {"lowerBound": f"{figure['low']:.4f}", "upperBound": f"{figure['high']:.4f}"},
    }


def test_the_same_state_gives_the_same_bytes_and_number(world: World, tmp_path: Path) -> None:
    export_bom(tmp_path / "one.json", world.repository)
    export_bom(tmp_path / "two.json", world.repository)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    with pytest.raises(UserError, match="--force"):
        export_bom(tmp_path / "two.json", world.repository)
    export_bom(tmp_path / "two.json", world.repository, force=True)
    edited = (tmp_path / "two.json").read_text().replace("Apache-2.0", "MIT")
    (tmp_path / "two.json").write_text(edited)
    with pytest.raises(UserError, match="not replaced"):
        export_bom(tmp_path / "two.json", world.repository, force=True)
    assert (tmp_path / "two.json").read_text() == edited


def test_what_is_unknown_is_called_so_and_hostile_words_are_words(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = FinishedRun.identity
    hostile = {"licence": "unstated", "reference": 'path:/home/somebody/x\n{"a": 1}', "architecture": "<b>\x00</b>"}
    monkeypatch.setattr(FinishedRun, "identity", lambda run, path: replace(known(run, path), id="", **hostile))
    value = written(world, tmp_path)
    assert by_ref(value)["model:teacher"]["licenses"] == [{"license": {"name": "unknown"}}]
    assert "somebody" not in json.dumps(value)


def test_another_student_than_that_of_the_run_is_refused(own_world: World, tmp_path: Path) -> None:
    (own_world.folder / STUDENT / "more.txt").write_text("more")
    with pytest.raises(UserError, match=r"models/student: not the student that dvc\.lock names"):
        export_bom(tmp_path / "bom.json", own_world.repository)
    assert not (tmp_path / "bom.json").exists()
