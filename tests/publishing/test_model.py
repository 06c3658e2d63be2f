"""export model: a folder that plain transformers loads, with the same logits, and a card of true figures."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

from compeffdist.artefacts import EVALUATED, SAMPLED, STUDENT
from compeffdist.errors import UserError
from compeffdist.files import read_json, write_json
from compeffdist.formatting import encode_prompt, load_tokenizer
from compeffdist.params import RuntimeParams
from compeffdist.publishing import model
from compeffdist.publishing.finished import FinishedRun
from compeffdist.publishing.model import export_model, write_weights
from compeffdist.publishing.writing import MANIFEST
from compeffdist.student.loading import load_student
from tests.lineage.conftest import MODEL, World, files_of
from tests.publishing.conftest import commit_stale

RUNTIME = RuntimeParams()
CHAT = [
    {"role": "system", "content": "You analyse sentiment."},
    {"role": "user", "content": "the film was <b>great</b>"},
]


PLAIN = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, chat = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(folder)
inputs = AutoTokenizer.from_pretrained(folder).apply_chat_template(
    chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
with torch.no_grad():
    logits = model(input_ids=inputs["input_ids"]).logits
assert "compeffdist" not in sys.modules
print(json.dumps([str(model.dtype), inputs["input_ids"][0].tolist(), logits.tolist()]))
"""


def same_answers(folder: Path, student: Path, base: Path | None = None) -> None:
    """Plain transformers on the exported folder, in a process of its own, and our own loader on the student, in the
    same precision."""
    command = [sys.executable, "-c", PLAIN, str(folder), json.dumps(CHAT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    dtype, ids, logits = json.loads(done.stdout)
    own, tokenizer = load_student(student, "cpu", dtype.removeprefix("torch."), base)
    assert ids == encode_prompt(tokenizer, CHAT[0]["content"], CHAT[1]["content"])
    with torch.no_grad():
        found = own(input_ids=torch.tensor([ids])).logits
    assert (str(found.dtype), found.tolist()) == (dtype, logits)


def test_a_full_student_is_loaded_by_plain_transformers_with_the_same_logits(world: World, tmp_path: Path) -> None:
    done = export_model(tmp_path / "out", world.repository, RUNTIME)
    same_answers(tmp_path / "out", world.folder / STUDENT)
    assert done.figures["bytes of weights"] == (world.folder / STUDENT / "model.safetensors").stat().st_size
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(path.name for path in (world.folder / STUDENT).iterdir()),
        *("README.md", MANIFEST),
    }


def test_an_adapter_is_merged_into_its_base(
    student_folder: Path, base_folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    adapter = (student_folder / "adapter_config.json").exists()
    write_weights(student_folder, base_folder if adapter else None, tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()
    same_answers(tmp_path, student_folder, base_folder if adapter else None)


def test_a_base_of_other_weights_is_refused(
    world: World, base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def an_adapter(*_: object) -> Iterator[tuple[Path, Path]]:
        yield world.folder / STUDENT, base_folder

    monkeypatch.setattr(model, "_weights", an_adapter)
    with pytest.raises(
        UserError, match=r"model\.safetensors: not the weights of model_.* base of the student's adapter"
    ):
        export_model(tmp_path / "out", world.repository, RUNTIME)


def test_the_configuration_names_the_precision_that_the_weights_are_in(base_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(base_folder, tmp_path / "student")
    config = read_json(tmp_path / "student/config.json")
    write_json(tmp_path / "student/config.json", config | {"dtype": "float16"})
    (tmp_path / "out").mkdir()
    write_weights(tmp_path / "student", None, tmp_path / "out")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16


def test_the_card_has_the_figures_of_the_run_with_their_intervals(world: World, tmp_path: Path) -> None:
    export_model(tmp_path / "out", world.repository, RUNTIME)
    card = ModelCard.load(tmp_path / "out/README.md")
    evaluation = read_json(world.folder / EVALUATED)
    results = {one.metric_name: one for one in card.data.eval_results}
    wanted = {
        "macro-F1, label priors taken out at strength 1": evaluation["tasks"]["mini"]["macro_f1"]["student"],
        "accuracy, label priors taken out at strength 1": evaluation["tasks"]["mini"]["accuracy"]["student"],
        "macro-F1, as it is": evaluation["without_priors"]["tasks"]["mini"]["macro_f1"]["student"],
    }
    assert results.keys() == wanted.keys()
    for name, figure in wanted.items():
        told = results[name]
        args = told.metric_args
        found = (told.metric_value, args["interval_low"], args["interval_high"])
        assert found == pytest.approx((figure["estimate"], figure["low"], figure["high"]), abs=1e-4)
        assert args["confidence"] == evaluation["confidence"]
    assert card.data.license == "apache-2.0" and card.data.model_name == "compeffdist-student"
    assert "| mine            | not stated | CC0-1.0 |" in card.content
    assert "| student | passed" in card.content


def test_a_registered_version_is_exported_with_the_run_it_learnt_from(world: World, tmp_path: Path) -> None:
    export_model(tmp_path / "version", world.repository, RUNTIME, reference=f"models:/{MODEL}/1")
    export_model(tmp_path / "folder", world.repository, RUNTIME)
    version, folder = (
        {name: data for name, (_, data) in files_of(tmp_path / kind).items()} for kind in ("version", "folder")
    )
    assert version == folder
    with pytest.raises(UserError, match="no such model version"):
        export_model(tmp_path / "none", world.repository, RUNTIME, reference=f"models:/{MODEL}/7")
    with pytest.raises(UserError, match=r"expected models/student, models:/NAME/VERSION"):
        export_model(tmp_path / "none", world.repository, RUNTIME, reference="models/warmup")


def test_a_version_of_another_state_has_the_figures_and_licences_of_that_state(
    own_world: World, tmp_path: Path
) -> None:
    export_model(tmp_path / "before", own_world.repository, RUNTIME)
    lock = own_world.folder / "dvc.lock"
    student = own_world.repository.workspace_lock().md5(STUDENT)
    lock.write_text(lock.read_text().replace(student, "f" * 32 + ".dir"))
    own_world.commit("another student")
    with pytest.raises(UserError, match=r"models/student: not the student that dvc\.lock names"):
        export_model(tmp_path / "now", own_world.repository, RUNTIME)
    export_model(tmp_path / "version", own_world.repository, RUNTIME, reference=f"models:/{MODEL}/1")
    assert read_json(tmp_path / "version" / MANIFEST) == read_json(tmp_path / "before" / MANIFEST)


def test_a_number_of_parameters_that_is_unknown_is_not_told(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = FinishedRun.identity
    monkeypatch.setattr(FinishedRun, "identity", lambda run, path: replace(known(run, path), parameters=0))
    export_model(tmp_path / "out", world.repository, RUNTIME)
    assert "\nA student (" in (tmp_path / "out/README.md").read_text()


def test_a_gate_that_judged_other_data_is_on_no_card(own_world: World, tmp_path: Path) -> None:
    commit_stale(own_world, "check", SAMPLED)
    with pytest.raises(UserError, match=f"not finished: check read {SAMPLED}"):
        export_model(tmp_path / "out", own_world.repository, RUNTIME)


def test_a_version_is_exported_though_the_lock_of_the_working_folder_is_in_no_commit(
    own_world: World, tmp_path: Path
) -> None:
    export_model(tmp_path / "before", own_world.repository, RUNTIME)
    lock = own_world.folder / "dvc.lock"
    lock.write_text(lock.read_text() + "\n")
    with pytest.raises(UserError, match=r"dvc\.lock is in no commit"):
        export_model(tmp_path / "now", own_world.repository, RUNTIME)
    export_model(tmp_path / "version", own_world.repository, RUNTIME, reference=f"models:/{MODEL}/1")
    assert read_json(tmp_path / "version" / MANIFEST) == read_json(tmp_path / "before" / MANIFEST)


def test_a_base_of_unknown_licence_needs_a_word(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = FinishedRun.identity
    monkeypatch.setattr(FinishedRun, "identity", lambda run, path: replace(known(run, path), licence="unstated"))
    with pytest.raises(UserError, match=r"source models\.student: its licence is unknown"):
        export_model(tmp_path / "out", world.repository, RUNTIME)
    export_model(tmp_path / "out", world.repository, RUNTIME, allow_unknown_licence=True)
    assert ModelCard.load(tmp_path / "out/README.md").data.license == "unknown"


def test_no_half_folder_where_the_weights_cannot_be_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        export_model(tmp_path / "out", world.repository, RUNTIME)
    assert not list(tmp_path.iterdir())


def test_the_tokenizer_is_the_students_own(world: World, tmp_path: Path) -> None:
    export_model(tmp_path / "out", world.repository, RUNTIME)
    text = "<|im_start|>the film was great"
    own, exported = load_tokenizer(world.folder / STUDENT), AutoTokenizer.from_pretrained(tmp_path / "out")
    assert own(text).input_ids == exported(text).input_ids
