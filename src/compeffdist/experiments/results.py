"""What the runs of an experiment came to: read from DVC's experiments, wherever in git's history they stand.

A run is there if some experiment of DVC has its params, the code of every stage as code.yaml has it, and was made from
the user's files as they are now: then it is not run again. Its figures are the files of metrics in its commit, its
answers on the evaluation rows an artefact in DVC's cache.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from compeffdist.artefacts import EVALUATED, STUDENT_PREDICTIONS, metrics_of
from compeffdist.canonical import hash_json
from compeffdist.declaration import Stage, read_pipeline
from compeffdist.domain import DOMAINS, domain_of
from compeffdist.errors import UserError
from compeffdist.evaluation.bootstrap import Predictions
from compeffdist.evaluation.summary import by_task
from compeffdist.experiments.plan import Run
from compeffdist.fingerprints import recorded_fingerprints
from compeffdist.lineage.repository import EXPERIMENTS, LOCK, Item, Lock, Repository, value_at
from compeffdist.record_files import read_records
from compeffdist.records import Prediction

LAST = "evaluate_student"
"""The stage that a run ends with."""
TRAINED = "train_student"
ASKED = ("collect_responses", "collect_sampled")


@dataclass(frozen=True)
class Found:
    """A run that was made."""

    run: Run
    commit: str
    evaluation: Mapping[str, Any]
    """metrics/evaluation.json."""
    training: Mapping[str, Any]
    """metrics/train_student.json."""
    asked: Sequence[Mapping[str, Any]]
    """Metrics of the stages that ask the teacher about pairs, `ASKED`."""
    answers: Item
    """The predictions of student and base, in DVC's cache."""


class Results:
    """The experiments that git holds, held against what is wanted."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.stages = stages_before(read_pipeline(repository.root), LAST)
        self.code = recorded_fingerprints(repository.root)
        self.now = repository.workspace_lock()
        self.outs = {out for stage in self.stages for out in stage.outs}
        self._hashed: dict[str, str] = {}

    @cached_property
    def locks(self) -> list[tuple[str, Lock]]:
        """(commit, its lock) of each experiment."""
        commits = [commit for _, commit in self.repository.history.refs(EXPERIMENTS)]
        texts = self.repository.history.files_at((commit, LOCK) for commit in commits)
        return [
            (commit, Lock(text.decode("utf-8", "replace"), (commit,)))
            for (commit, _), text in texts.items()
            if text is not None
        ]

    def made(self, run: Run) -> Found:
        """A run that has just been made. Raises UserError saying in what the experiment of its name differs from what
        was wanted: a file or the code was changed meanwhile."""
        self.__dict__.pop("locks", None)
        self._hashed.clear()
        if found := self.find(run):
            return found
        name = self.name(run)
        named = [commit for ref, commit in self.repository.history.refs(EXPERIMENTS) if ref.endswith(f"/{name}")]
        faults = [self.fault(run, lock) for commit, lock in self.locks if commit in named]
        raise UserError(f"{name}: was run, but is not what was wanted: {', '.join(faults) or 'DVC kept nothing'}")

    def name(self, run: Run) -> str:
        """Of DVC's experiment: of another for other params, code or files of the user's."""
        deps = {dep for stage in self.stages for dep in stage.deps if "${" not in dep and not self._of_outs(dep)}
        files = {path: self._md5_now(path) for path in [*sorted(deps), f"{DOMAINS}/{run.params.domain}.yaml"]}
        made_from = {"params": run.written, "code": self.code, "files": files}
        return f"{run.experiment}-{run.arm}-{run.seed}-{hash_json(made_from)[:8]}".replace(" ", "-")

    def find(self, run: Run) -> Found | None:
        """What a run came to; None if it was not made, or its answers are not in DVC's cache any more."""
        for commit, lock in self.locks:
            if not self.fault(run, lock) and self.repository.locate(lock.outs[STUDENT_PREDICTIONS]):
                evaluation, training, *asked = (
                    self._figures(commit, path) for path in (EVALUATED, *map(metrics_of, (TRAINED, *ASKED)))
                )
                return Found(run, commit, evaluation, training, asked, lock.outs[STUDENT_PREDICTIONS])
        return None

    def changed(self, run: Run) -> list[Stage]:
        """The stages that a run makes anew, in their order: those that the working folder's run had with other params
        or code, and all that read what these write. A gate's bounds are none of what it lets through."""
        found: list[Stage] = []
        for stage in self.stages:
            fresh = any(stage.reads(out) for other in found if not other.gate for out in other.outs)
            if fresh or self._fault(stage, self.now, run.written):
                found.append(stage)
        return found

    def answers(self, found: Found) -> dict[str, Predictions]:
        """What the student of a run answered, by task. Raises UserError if the bytes are not in DVC's cache."""
        path = self.repository.locate(found.answers)
        if path is None:
            raise UserError(f"{self.name(found.run)}: its answers are no longer in DVC's cache: run it again")
        params = found.run.params
        evaluation = domain_of(params, self.repository.root / DOMAINS).monitored.asked_in(params.evaluation)
        own = [one for one in read_records(path, Prediction) if one.system == "student"]
        return by_task(own, evaluation)

    def fault(self, run: Run, lock: Lock) -> str:
        """Why a lock is not that of a run: the first stage that differs, and in what; empty if it is."""
        for stage in self.stages:
            if fault := self._fault(stage, lock, run.written):
                return f"{stage.name}: {fault}"
        return ""

    def _fault(self, stage: Stage, lock: Lock, wanted: Mapping[str, Any]) -> str:
        """In what a stage of a lock differs from one with the params that are wanted, the code of now and the user's
        files of now; empty if in nothing."""
        ran = lock.stages.get(stage.name)
        if ran is None:
            return "did not run"
        if ran.code != self.code.get(stage.name):
            return "other code"
        for key in stage.params:
            if value_at(wanted, *key.split(".")) != ran.params.get(key):
                return f"another {key}"
        for dep in ran.deps:
            if dep.path in lock.outs:
                same = dep.md5 == lock.outs[dep.path].md5
            elif self._of_outs(dep.path):
                continue  # they are looked at themselves
            else:
                same = dep.md5 == self._md5_now(dep.path)
            if not same:
                return f"another {dep.path}"
        missing = [dep for dep in stage.deps if "${" not in dep and dep not in {one.path for one in ran.deps}]
        return f"without {missing[0]}" if missing else ""

    def _of_outs(self, path: str) -> bool:
        """Whether a path is an out, a part of one, or a folder of some."""
        return path in self.outs or any(_within(path, out) or _within(out, path) for out in self.outs)

    def _md5_now(self, path: str) -> str:
        if path not in self._hashed:
            place = self.repository.root / path
            self._hashed[path] = self.repository.md5_of(place) if place.exists() else ""
        return self._hashed[path]

    def _figures(self, commit: str, path: str) -> Mapping[str, Any]:
        content = self.repository.file_at(commit, path)
        if content is None:
            raise UserError(f"experiment {commit[:10]}: holds no {path}: remove it with: dvc exp remove")
        figures = json.loads(content)
        assert isinstance(figures, dict)
        return figures


def stages_before(pipeline: Mapping[str, Stage], last: str) -> list[Stage]:
    """A stage and all that it needs, in the order of the pipeline."""
    wanted = {last}
    stages = list(pipeline.values())
    for stage in reversed(stages):
        if stage.name not in wanted and any(
            other.reads(out) for other in stages if other.name in wanted for out in stage.outs
        ):
            wanted.add(stage.name)
    return [stage for stage in stages if stage.name in wanted]


def _within(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")
