"""A finished run in miniature: a checkout in git and DVC with every artefact, and a registry for its student.

    run = MiniRun.made(tmp_path / "checkout", f"sqlite:///{tmp_path}/mlflow.db", base_folder)
    version = run.register(monkeypatch)
    assert run.records(TRAINING)

Takes a few seconds; `proxy=True` for a run in mode proxy, `sentences` for texts of your own. What its stages make of
them is in `mini_stages.py`; single records come from `factories.py`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from dvc.repo import Repo

from compeffdist.artefacts import (
    EVALUATED,
    EVALUATION,
    STUDENT,
    STUDENT_PREDICTIONS,
    STUDENT_PROVENANCE,
    TRAINING,
    TRIPLETS,
    records_at,
)
from compeffdist.files import read_json
from compeffdist.gates.outcome import gate_tags, report_of
from compeffdist.lineage.repository import Repository
from compeffdist.params import EvaluationTask, RegistryParams
from compeffdist.registry.artifacts import evaluation_attachments
from compeffdist.registry.register import headline_metrics, register_student
from tests import mini_stages
from tests.fakes import SENTIMENT, put_domains
from tests.models.making import make_identity
from tests.stages import ROOT

MODEL = "mini-student"
SENTENCES = (
    *(f"the battery of this phone number {n} lasts long enough" for n in range(6)),
    *(f"a dull plot and wooden acting in film number {n} of them" for n in range(6)),
    "please refuse to answer on the screen of this thing",
    "short",
)
"""The teacher refuses one; one is too short to be taken."""


@dataclass
class MiniRun:
    """A checkout with its registry."""

    folder: Path
    uri: str
    """Of the registry."""

    @classmethod
    def made(
        cls, folder: Path, uri: str, base: Path, *, proxy: bool = False, sentences: Sequence[str] = SENTENCES
    ) -> Self:
        """Run every stage in a new folder and commit what came of it. `base`: a model folder (`student/tiny.py`)."""
        run = cls(folder, uri)
        folder.mkdir(parents=True)
        if proxy:
            (folder / mini_stages.IN_PROXY_MODE).touch()
        shutil.copytree(base, folder / "base")
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["runtime"]["recorded"] = []
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        put_domains(folder)
        mini_stages.declare(folder)
        (folder / "sources.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences))
        (folder / "data").mkdir()
        (folder / "data/withdrawals.jsonl").touch()
        outs = [f"/{out}" for _, made in mini_stages.PIPELINE.values() for out in made]
        (folder / ".gitignore").write_text("\n".join([*outs, "/answers.sqlite*", "/cache", ""]))
        run.run("git", "init", "-q")
        with chdir(folder):
            Repo.init().close()
        run.repro()
        run.commit("run")
        return run

    def repro(self) -> None:
        """Every stage, as `dvc repro --force` would, but for 18 processes."""
        with chdir(self.folder):
            for path in (self.folder / out for _, made in mini_stages.PIPELINE.values() for out in made):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            for stage in mini_stages.PIPELINE:
                getattr(mini_stages, stage)()
        self.dvc_commit()

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

    def dvc_commit(self, *stage: str) -> None:
        """`dvc commit --force`: whatever is in the working folder counts as made by the stages."""
        with chdir(self.folder), Repo() as repo:
            repo.commit(*stage, force=True)

    @property
    def repository(self) -> Repository:
        return Repository(self.folder)

    @property
    def store(self) -> Path:
        return self.folder / mini_stages.STORE

    def records(self, path: str) -> list[Any]:
        """Of an artefact in the working folder."""
        return records_at(path).read_file(self.folder / path)

    def register(self, monkeypatch: pytest.MonkeyPatch) -> int:
        """Register the student as the stage does; its version."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", self.uri)
        lock, headline = self.repository.workspace_lock(), headline_metrics(read_json(self.folder / EVALUATED))
        tags = {
            "dataset_md5": lock.md5(TRAINING),
            "triplets_md5": lock.md5(TRIPLETS),
            "student_md5": lock.md5(STUDENT),
            "teacher_id": mini_stages.TEACHER.id,
            "base_id": make_identity("student", role="student").id,
            "git_commit": self.run("git", "rev-parse", "HEAD").strip(),
            "method": read_json(self.folder / STUDENT_PROVENANCE)["method"],
            **{f"metric.{name}": f"{value:.4f}" for name, value in headline.items()},
            **gate_tags({gate: read_json(self.folder / report_of(gate)) for gate in mini_stages.GATES}),
        }
        task = EvaluationTask(name="mini", location="x", labels=SENTIMENT.monitored.labels, rows=3, subject="text")
        attachments = evaluation_attachments(self.folder / STUDENT_PREDICTIONS, self.folder / EVALUATION, [task])
        settings = RegistryParams(model_name=MODEL, experiment="mini")
        student, base = self.folder / STUDENT, self.folder / "base"
        return register_student(student, base, settings, tags, attachments=attachments).version
