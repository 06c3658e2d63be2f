"""One finished miniature run in a real git and DVC repository, with a registered version; copies for those who
break things."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from compeffdist.artefacts import records_at
from compeffdist.exchange.questions import Questions
from compeffdist.files import read_json
from compeffdist.gates.outcome import gate_tags, report_of
from compeffdist.lineage.audit import Auditor
from compeffdist.lineage.forget import Forgetting
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.trace import Tracer
from compeffdist.lineage.versions import Version, read_versions
from compeffdist.params import EvaluationTask, RegistryParams
from compeffdist.registry.artifacts import evaluation_attachments
from compeffdist.registry.register import register_student
from compeffdist.registry.tracking import open_tracking
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import AnswerRecord
from compeffdist.tracking_uri import SQLITE
from tests.fakes import SENTIMENT, put_domains
from tests.lineage import mini
from tests.models.making import make_identity
from tests.student.tiny import tiny_model_folder

ROOT = Path(__file__).parents[2]
MODEL = "mini-student"
SENTENCES = [
    *(f"the battery of this phone number {n} lasts long enough" for n in range(6)),
    *(f"a dull plot and wooden acting in film number {n} of them" for n in range(6)),
    "please refuse to answer on the screen of this thing",
    "short",
]


@dataclass
class World:
    """A checkout with its registry."""

    folder: Path
    uri: str

    def run(self, *command: str) -> str:
        """A command in the checkout; its output."""
        env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        env |= {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "DVC_NO_ANALYTICS": "true"}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"{command}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-qm", message)

    @property
    def repository(self) -> Repository:
        return Repository(self.folder)

    @property
    def versions(self) -> list[Version]:
        return read_versions(self.repository, MODEL)

    @property
    def store(self) -> Path:
        return self.folder / mini.STORE

    def known(self, *records: AnswerRecord) -> KnownAnswers:
        return KnownAnswers(self.store, records)

    def tracer(self) -> Tracer:
        return Tracer(self.repository, self.versions, self.known())

    def auditor(self, *records: AnswerRecord) -> Auditor:
        ledgers = (self.folder / "data/promotions.jsonl", self.folder / "data/withdrawals.jsonl")
        return Auditor(self.repository, self.versions, self.known(*records), self.folder / "cache", ledgers)

    def forgetting(self, versions: list[Version] | None = None) -> Forgetting:
        def questions() -> Questions:
            raise AssertionError("without records nobody asks for questions")

        found = self.versions if versions is None else versions
        return Forgetting(self.repository, found, self.known(), lambda text_id, source: [], questions)

    def dvc_commit(self, *stage: str) -> None:
        """`dvc commit --force`: whatever is in the working folder counts as made by the stages."""
        with chdir(self.folder), Repo() as repo:
            repo.commit(*stage, force=True)

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(self.repository, self.repository.workspace_lock())

    def records(self, path: str) -> list[Any]:
        """Of an artefact in the working folder."""
        return records_at(path).read_file(self.folder / path)

    def register(self, monkeypatch: pytest.MonkeyPatch) -> int:
        """Register the student as the stage does; its version."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", self.uri)
        lock = self.repository.workspace_lock()
        tags = {
            "dataset_md5": lock.md5("data/training.parquet"),
            "triplets_md5": lock.md5("data/triplets.parquet"),
            "student_md5": lock.md5("models/student"),
            "teacher_id": mini.TEACHER.id,
            "base_id": make_identity("student", role="student").id,
            "git_commit": self.run("git", "rev-parse", "HEAD").strip(),
            **gate_tags({gate: read_json(self.folder / report_of(gate)) for gate in mini.GATES}),
        }
        task = EvaluationTask(name="mini", location="x", labels=SENTIMENT.monitored.labels, rows=3, subject="text")
        data = self.folder / "data"
        attachments = evaluation_attachments(data / "student_predictions.parquet", data / "evaluation.jsonl", [task])
        settings = RegistryParams(model_name=MODEL, experiment="mini")
        student, base = self.folder / "models/student", self.folder / "base"
        return register_student(student, base, settings, tags, attachments=attachments).version


def build(folder: Path, uri: str, base: Path, proxy: bool = False) -> World:
    """A run in mode direct, or in mode proxy."""
    world = World(folder, uri)
    folder.mkdir(parents=True)
    if proxy:
        (folder / mini.PROXY).touch()
    shutil.copytree(base, folder / "base")
    shutil.copy(Path(mini.__file__), folder / "mini.py")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["runtime"]["recorded"] = []
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    put_domains(folder)
    mini.declare(folder)
    (folder / "sources.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in SENTENCES))
    (folder / "data").mkdir()
    (folder / "data/withdrawals.jsonl").touch()
    ignored = [out for _, outs in mini.PIPELINE.values() for out in outs]
    (folder / ".gitignore").write_text("\n".join([*(f"/{out}" for out in ignored), "/answers.sqlite*", "/cache", ""]))
    world.run("git", "init", "-q")
    with chdir(folder):
        for stage in mini.PIPELINE:  # as `dvc repro` would, but for 15 processes; tests marked pipeline run it
            getattr(mini, stage)()
        Repo.init().close()
    world.dvc_commit()
    world.commit("run")
    return world


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Iterator[World]:
    """Built once; whoever changes anything in it puts it back."""
    folder = tmp_path_factory.mktemp("world")
    made = build(folder / "checkout", f"sqlite:///{folder / 'mlflow.db'}", tiny_base)
    with pytest.MonkeyPatch.context() as patch:
        made.register(patch)
    yield made


@pytest.fixture
def world(shared: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared.uri)
    monkeypatch.chdir(shared.folder)
    return shared


@pytest.fixture(scope="module")
def shared_proxy(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, empty_registry: Path) -> Iterator[World]:
    """A run in mode proxy, with a registered version."""
    folder = tmp_path_factory.mktemp("proxy")
    shutil.copy(empty_registry, folder / "mlflow.db")
    made = build(folder / "checkout", f"{SQLITE}{folder / 'mlflow.db'}", tiny_base, proxy=True)
    with pytest.MonkeyPatch.context() as patch:
        made.register(patch)
    yield made


@pytest.fixture
def proxy_world(shared_proxy: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared_proxy.uri)
    monkeypatch.chdir(shared_proxy.folder)
    return shared_proxy


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with its tables made, which takes MLflow seconds."""
    database = tmp_path_factory.mktemp("registry") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        open_tracking()
    return database


@pytest.fixture
def own_world(shared: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy to change at will, its registry too, but for the files of version 1, which are those of all."""
    return copied(shared, tmp_path, Path(shared.uri.removeprefix(SQLITE)), monkeypatch)


@pytest.fixture
def lone_world(shared: World, empty_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy to change at will, registered files and all."""
    made = copied(shared, tmp_path, empty_registry, monkeypatch)
    made.register(monkeypatch)
    return made


def copied(shared: World, folder: Path, registry: Path, patch: pytest.MonkeyPatch) -> World:
    shutil.copytree(shared.folder, folder / "checkout")
    shutil.copy(registry, folder / "mlflow.db")
    made = World(folder / "checkout", f"{SQLITE}{folder / 'mlflow.db'}")
    patch.setenv("MLFLOW_TRACKING_URI", made.uri)
    patch.chdir(made.folder)
    return made
