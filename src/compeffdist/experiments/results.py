"""What the runs of an experiment came to: read from DVC's experiments, wherever in git's history they stand.

A run is there if some experiment of DVC has its params, the code of every stage as code.yaml has it, and was made from
the same files of the user's: then it is not run again. Its figures are the files of metrics in its commit, its answers
on the evaluation rows an artefact in DVC's cache.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from compeffdist.artefacts import EVALUATED, STUDENT_PREDICTIONS, metrics_of
from compeffdist.declaration import Stage, read_pipeline
from compeffdist.domain import DOMAINS, domain_of
from compeffdist.errors import UserError
from compeffdist.evaluation.bootstrap import Predictions
from compeffdist.evaluation.summary import by_task
from compeffdist.experiments.plan import Run
from compeffdist.fingerprints import recorded_fingerprints
from compeffdist.lineage.repository import EXPERIMENTS, LOCK, Item, Lock, Repository, value_at
from compeffdist.params import Params
from compeffdist.record_files import read_records
from compeffdist.records import Prediction

LAST = "evaluate_student"
"""The stage that a run ends with."""
TRAINED = "train_student"


@dataclass(frozen=True)
class Found:
    """A run that was made."""

    run: Run
    commit: str
    evaluation: Mapping[str, Any]
    """metrics/evaluation.json."""
    training: Mapping[str, Any]
    """metrics/train_student.json."""
    answers: Item
    """The predictions of student and base, in DVC's cache."""


class Results:
    """The experiments that git holds, held against what is wanted."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.stages = stages_before(read_pipeline(repository.root), LAST)
        self.code = recorded_fingerprints(repository.root)
        self.now = repository.workspace_lock()

    @cached_property
    def locks(self) -> list[tuple[str, Lock]]:
        """(commit, its lock) of each experiment, the newest last."""
        commits = [commit for _, commit in self.repository.history.refs(EXPERIMENTS)]
        texts = self.repository.history.files_at((commit, LOCK) for commit in commits)
        return [
            (commit, Lock(text.decode("utf-8", "replace"), (commit,)))
            for (commit, _), text in texts.items()
            if text is not None
        ]

    def forget(self) -> None:
        """Look at git again for what was run since."""
        self.__dict__.pop("locks", None)

    def find(self, run: Run) -> Found | None:
        """What a run came to; None if it was not made, or its answers are not in DVC's cache any more."""
        for commit, lock in reversed(self.locks):
            if self._is_of(lock, run.written) and self.repository.locate(lock.outs[STUDENT_PREDICTIONS]):
                figures = {path: self._figures(commit, path) for path in (EVALUATED, metrics_of(TRAINED))}
                evaluation, training = figures.values()
                return Found(run, commit, evaluation, training, lock.outs[STUDENT_PREDICTIONS])
        return None

    def changed(self, run: Run) -> list[Stage]:
        """The stages that a run makes anew, in their order: those that the working folder's run had with other params
        or code, and all that read what these write. A gate's bounds are none of what it lets through."""
        found: list[Stage] = []
        for stage in self.stages:
            fresh = any(stage.reads(out) for other in found if not other.gate for out in other.outs)
            if fresh or not self._same(stage, self.now, run.written):
                found.append(stage)
        return found

    def answers(self, found: Found, params: Params) -> dict[str, Predictions]:
        """What the student of a run answered, by task. Raises UserError if the bytes are not in DVC's cache."""
        path = self.repository.locate(found.answers)
        if path is None:
            raise UserError(f"{found.run.name}: its answers are no longer in DVC's cache: run it again")
        evaluation = domain_of(params, self.repository.root / DOMAINS).monitored.asked_in(params.evaluation)
        own = [one for one in read_records(path, Prediction) if one.system == "student"]
        return by_task(own, evaluation)

    def _is_of(self, lock: Lock, wanted: Mapping[str, Any]) -> bool:
        return all(stage.name in lock.stages and self._same(stage, lock, wanted) for stage in self.stages)

    def _same(self, stage: Stage, lock: Lock, wanted: Mapping[str, Any]) -> bool:
        """Whether a stage of a lock had the params that are wanted, the code of now and the user's files of now."""
        ran = lock.stages.get(stage.name)
        if ran is None or ran.code != self.code.get(stage.name):
            return False
        if any(value_at(wanted, *key.split(".")) != ran.params.get(key) for key in stage.params):
            return False
        given = {dep.path: dep.md5 for dep in ran.deps if dep.path not in lock.outs}
        now = {dep.path: dep.md5 for one in self.now.stages.values() for dep in one.deps}
        return all(md5 == now.get(path, md5) for path, md5 in given.items())

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


def shared_seeds(one: Sequence[Found], other: Sequence[Found]) -> list[int]:
    """Seeds that both have, in the order of the first."""
    seeds = {found.run.seed for found in other}
    return [found.run.seed for found in one if found.run.seed in seeds]
