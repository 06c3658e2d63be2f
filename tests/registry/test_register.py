"""Registration: a version answers before an alias points to it, is made once, and says whence it comes."""

import subprocess
from pathlib import Path

import pytest

from compeffdist.domain import RESERVED
from compeffdist.errors import UserError
from compeffdist.params import RegistryParams
from compeffdist.registry import model as served
from compeffdist.registry.asking import ask_model
from compeffdist.registry.prompted_rows import read_prompted_rows
from compeffdist.registry.register import CANDIDATE, git_commit, headline_metrics, register_student
from compeffdist.registry.tracking import open_tracking


def settings(name: str) -> RegistryParams:
    return RegistryParams(model_name=name, experiment="tests")


def test_a_student_registers_answers_and_is_registered_only_once(student_folder: Path, base_folder: Path) -> None:
    named = settings(f"once-{student_folder.parent.name}")
    first = register_student(student_folder, base_folder, named, {"git_commit": "c1"})
    again = register_student(student_folder, base_folder, named, {"git_commit": "c2"})
    assert (first.version, first.reused, again.version, again.reused) == (1, False, 1, True)
    assert set(first.tried[0]["probabilities"]) == {"negative", "neutral", "positive"}
    version = open_tracking().get_model_version_by_alias(named.model_name, CANDIDATE)
    assert version.tags["git_commit"] == "c2" and version.tags["student_id"] == first.student_id
    assert version.tags["predict"] == "ok"


def test_a_version_with_other_code_is_another(
    student_folder: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers is registered with the weights."""
    named = settings(f"code-{student_folder.parent.name}")
    register_student(student_folder, base_folder, named, {})
    monkeypatch.setattr("compeffdist.registry.register.own_fingerprint", lambda stage: "other")
    again = register_student(student_folder, base_folder, named, {})
    assert (again.version, again.reused, again.tags["code"]) == (2, False, "other")


def test_a_version_holds_no_pickle_and_answers_texts_and_prompts(student_folder: Path, base_folder: Path) -> None:
    import mlflow

    named = settings(f"answers-{student_folder.parent.name}")
    register_student(student_folder, base_folder, named, {})
    uri = f"models:/{named.model_name}@{CANDIDATE}"
    files = [path for path in Path(mlflow.artifacts.download_artifacts(uri)).rglob("*") if path.is_file()]
    assert not [path.name for path in files if path.suffix in {".pkl", ".bin", ".pt"}]
    rows = [{"text": "the film was great"}, {"prompt": "say something"}, {"text": "dreadful"}]
    results = list(ask_model(uri, rows))
    about_text = ["label", "polarity", "prior", "probabilities"]
    assert [sorted(result) for result in results] == [about_text, ["answer"], about_text]
    assert {*about_text, "answer"} - {"polarity"} < RESERVED
    alone = next(iter(ask_model(uri, rows[:1])))
    assert results[0]["probabilities"] == pytest.approx(alone["probabilities"], rel=0.05)


def test_a_version_that_cannot_answer_gets_no_alias(
    student_folder: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = settings(f"broken-{student_folder.parent.name}")
    answers = [{"probabilities": {"negative": float("nan")}}]
    monkeypatch.setattr(served.StudentModel, "predict", lambda self, context, model_input, params=None: answers)
    with pytest.raises(UserError, match="does not answer"):
        register_student(student_folder, base_folder, named, {})
    registered = open_tracking().get_registered_model(named.model_name)
    assert CANDIDATE not in registered.aliases
    assert open_tracking().get_model_version(named.model_name, "1").tags["predict"] == "failed"


def test_an_unknown_version_is_one_clear_line() -> None:
    with pytest.raises(UserError, match="nobody"):
        list(ask_model("models:/nobody@candidate", [{"text": "x"}]))


def test_a_file_row_with_neither_text_nor_prompt_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "good", "id": 1}\n{"body": "bad"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="row 2"):
        read_prompted_rows(path)


def test_headline_figures_are_required_and_told_with_the_ends_of_the_gain() -> None:
    with pytest.raises(UserError, match=r"metrics/evaluation.json: no headline"):
        headline_metrics({"tasks": {}})
    mean = {"student_minus_base": {"estimate": 0.2, "low": 0.1, "high": 0.3}}
    found = headline_metrics({"headline": {"gain_over_base": 0.2}, "mean": mean})
    assert found == {"gain_over_base": 0.2, "gain_low": 0.1, "gain_high": 0.3}


def test_a_commit_says_when_the_tree_differs_from_it(tmp_path: Path) -> None:
    assert git_commit() == "unknown"
    run = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    Path("file").write_text("a", encoding="utf-8")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "m"]):
        subprocess.run([*run, *arguments], check=True, cwd=tmp_path)
    clean = git_commit()
    Path("file").write_text("b", encoding="utf-8")
    assert len(clean) == 40 and git_commit() == f"{clean}-dirty"


def test_a_student_that_has_not_earned_it_is_registered_without_the_alias(
    student_folder: Path, base_folder: Path
) -> None:
    named = settings(f"unearned-{student_folder.parent.name}")
    first = register_student(student_folder, base_folder, named, {}, earned=False)
    assert (first.version, first.alias, first.tried != []) == (1, "", True)
    with pytest.raises(UserError, match=rf"no student has passed its gate yet .*--model models:/{named.model_name}/1$"):
        next(ask_model(f"models:/{named.model_name}@{CANDIDATE}", [{"text": "x"}]))
    again = register_student(student_folder, base_folder, named, {})
    assert (again.version, again.alias) == (1, CANDIDATE)
    client = open_tracking()
    assert int(client.get_registered_model(named.model_name).aliases[CANDIDATE]) == 1
    # judged anew, it loses what it had
    assert register_student(student_folder, base_folder, named, {}, earned=False).reused
    assert CANDIDATE not in client.get_registered_model(named.model_name).aliases


def test_an_earlier_candidate_stays_where_a_later_student_fails(student_folder: Path, base_folder: Path) -> None:
    named = settings(f"stays-{student_folder.parent.name}")
    client = open_tracking()
    register_student(student_folder, base_folder, named, {})
    client.create_model_version(named.model_name, "file:///nowhere")
    client.set_registered_model_alias(named.model_name, CANDIDATE, "2")
    register_student(student_folder, base_folder, named, {}, earned=False)
    assert int(client.get_registered_model(named.model_name).aliases[CANDIDATE]) == 2


def test_there_is_nothing_to_ask_before_a_student_was_registered() -> None:
    with pytest.raises(UserError, match="there is no registered model nobody-yet: make one with dvc repro"):
        next(ask_model(f"models:/nobody-yet@{CANDIDATE}", [{"text": "x"}]))
