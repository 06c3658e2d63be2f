"""What MLflow shows of a version: figures with their rows, the data it rests on, its loss, words, its report."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from compeffdist.artefacts import EVALUATION, TEXTS, TRAINING
from compeffdist.files import hash_file
from compeffdist.params import RegistryParams
from compeffdist.registry.register import Registration, register_student
from compeffdist.registry.showing import ABOUT_MODEL, REPORT, attach_report, logged_model, show_version
from compeffdist.registry.tracking import open_tracking
from tests.factories import make_row, make_text, make_triplet
from tests.mini_stages import student as make_student
from tests.report.making import make_run

NAMED = RegistryParams(model_name="shown", experiment="shown")
EVALUATED = make_run("plain").evaluation
TAGS = {"domain": "sentiment", "gates": "passed", "gate.student": "passed", "git_commit": "0123456789abcdef-dirty"}
CURVE = "step,loss,learning_rate,gradient_norm\n1,2.0,0.1,3.0\n2,1.5,0.05,2.0\n"


@dataclass
class Shown:
    """A version that was shown, and its checkout."""

    folder: Path
    registration: Registration

    @property
    def client(self) -> MlflowClient:
        return open_tracking()

    @property
    def version(self) -> ModelVersion:
        return self.client.get_model_version(NAMED.model_name, str(self.registration.version))

    @property
    def run(self) -> Run:
        return self.client.get_run(self.registration.run_id)

    def again(self, evaluation: dict[str, object] | None = None, said: str = "what it is") -> None:
        show_version(self.registration, evaluation or EVALUATED, Path("curve.csv"), said)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, base_folder: Path, store: str) -> Shown:
    folder = tmp_path_factory.mktemp("shown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        patch.chdir(folder)
        copytree(base_folder, "base")
        make_student(Path("student"), ["a", "b"])
        TRAINING.write([make_triplet()])
        EVALUATION.write([make_row("tweets", "fine", "positive")])
        TEXTS.write([make_text()])
        Path("curve.csv").write_text(CURVE)
        shown = Shown(folder, register_student(Path("student"), Path("base"), NAMED, TAGS))
        shown.again()
    return shown


@pytest.fixture
def shown(made: Shown, monkeypatch: pytest.MonkeyPatch, tracking: None) -> Iterator[Shown]:
    monkeypatch.chdir(made.folder)
    yield made


def test_the_run_has_the_figures_of_every_task_and_of_their_mean(shown: Shown) -> None:
    figures = shown.run.data.metrics
    assert (figures["gain_over_base"], figures["gain_low"], figures["gain_high"]) == (0.12345, 0.4, 0.6)
    found = {name.partition("/")[2]: value for name, value in figures.items() if name.startswith("tweets/")}
    scores = dict.fromkeys(("teacher", "base", "student"), 0.5)
    assert found == {**scores, "gain": 0.5, "gain_low": 0.4, "gain_high": 0.6}


def test_the_figures_stand_at_the_logged_model_with_the_rows_they_are_of(shown: Shown) -> None:
    model = shown.client.get_logged_model(str(logged_model(shown.version)))
    assert model.source_run_id == shown.run.info.run_id
    assert [output.model_id for output in shown.run.outputs.model_outputs] == [model.model_id]
    metrics = {metric.key: metric for metric in model.metrics}
    assert metrics["tweets/gain_low"].value == 0.4
    assert {(one.dataset_name, one.dataset_digest) for one in model.metrics} == {
        ("evaluation.jsonl", hash_file(Path(EVALUATION), "md5"))
    }
    assert model.tags["domain"] == "sentiment" and model.tags["gates"] == "passed"


def test_the_run_names_the_data_by_use_and_digest(shown: Shown) -> None:
    found = {
        one.tags[0].value: (one.dataset.name, one.dataset.digest) for one in shown.run.inputs.dataset_inputs if one.tags
    }
    files = {"training": TRAINING, "evaluation": EVALUATION, "texts": TEXTS}
    assert found == {use: (Path(file).name, hash_file(Path(file), "md5")) for use, file in files.items()}


def test_a_run_that_is_not_the_training_s_own_has_its_loss_by_step(shown: Shown) -> None:
    history = shown.client.get_metric_history(shown.run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(1, 2.0), (2, 1.5)]
    assert shown.run.data.metrics["learning_rate"] == 0.05


def test_the_version_and_its_run_say_what_it_is(shown: Shown) -> None:
    assert shown.version.description == shown.run.data.tags["mlflow.note.content"] == "what it is"
    assert shown.run.data.tags["git_commit"] == TAGS["git_commit"]
    assert shown.client.get_registered_model(NAMED.model_name).description == ABOUT_MODEL


def test_shown_again_it_has_no_second_points_and_keeps_what_people_wrote(shown: Shown) -> None:
    shown.client.update_registered_model(NAMED.model_name, description="ours")
    shown.again()
    run = shown.run.info.run_id
    assert [len(shown.client.get_metric_history(run, key)) for key in ("gain_low", "tweets/base", "loss")] == [1, 1, 2]
    assert len(shown.run.inputs.dataset_inputs) == 3
    assert shown.client.get_registered_model(NAMED.model_name).description == "ours"
    shown.client.update_registered_model(NAMED.model_name, description=ABOUT_MODEL)


def test_a_new_evaluation_takes_the_former_one_s_place(shown: Shown) -> None:
    shown.again({**EVALUATED, "headline": {"macro_f1_student": 0.75, "gain_over_base": 0.25}}, said="better")
    assert (shown.run.data.metrics["macro_f1_student"], shown.version.description) == (0.75, "better")
    shown.again()
    assert shown.run.data.metrics["macro_f1_student"] == 0.5


def test_versions_runs_and_models_are_found_by_what_they_are(shown: Shown) -> None:
    import mlflow

    versions = shown.client.search_model_versions(f"name = '{NAMED.model_name}' AND tags.gates = 'passed'")
    assert [version.version for version in versions] == [shown.version.version]
    experiment = shown.run.info.experiment_id
    for least, found in ((0.3, 1), (0.5, 0)):
        assert len(shown.client.search_runs([experiment], f"metrics.gain_low > {least}")) == found
        models = mlflow.search_logged_models([experiment], f"metrics.gain_low > {least}", output_format="list")
        assert len(models) == found


def test_a_report_lies_in_the_run_and_a_later_one_in_its_place(shown: Shown) -> None:
    run = shown.run.info.run_id
    assert attach_report(run, {"index.html": b"<p>", "confusion/a b.csv": b"gold"}) == ""
    listed = [one.path for one in shown.client.list_artifacts(run, f"{REPORT}/confusion")]
    assert listed == [f"{REPORT}/confusion/a b.csv"]
    assert attach_report(run, {"index.html": b"<b>"}) == ""
    assert [one.path for one in shown.client.list_artifacts(run, REPORT)] == [f"{REPORT}/index.html"]
    fetched = shown.client.download_artifacts(run, f"{REPORT}/index.html")
    assert Path(fetched).read_bytes() == b"<b>"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("{store}", "it is not of this registry"),
        ("sqlite:///nowhere.db", "there is no registry here"),
        ("sqlite:///broken.db", "broken.db: "),
    ],
)
def test_a_report_that_cannot_be_attached_is_a_line_and_ends_nothing(
    uri: str, why: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("broken.db").write_bytes(b"no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(store=store))
    said = attach_report("0" * 32, {"index.html": b""})
    assert said.startswith(f"the report is not attached to run {'0' * 32}: ") and why in said and "\n" not in said
    assert not Path("nowhere.db").exists()
