"""What a stage is given and what it makes: its inputs, outs and params as dvc.yaml declares them, and nothing else.

A stage is a function `run(given) -> Made` in `stages/`. What it reads and writes goes through `Given`, which refuses
what dvc.yaml does not declare: DVC would not notice that it changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from compeffdist.accounting import write_rejects
from compeffdist.artefact_kinds import Artefact
from compeffdist.artefacts import metrics_of, rejects_of
from compeffdist.declaration import Stage
from compeffdist.params import Params, Section
from compeffdist.records import Reject
from compeffdist.seeds import stage_seed

T = TypeVar("T")
NOT_TRACKED = ("profile", "runtime", "models")
"""Params that every stage has without declaring them, since they decide no artefact: under which name, where, how fast,
and where weights are fetched, whose hashes the identities hold."""


class Undeclared(Exception):
    """A stage reads or writes what dvc.yaml does not declare for it: a defect of the stage or of dvc.yaml."""


@dataclass(frozen=True)
class Given:
    """A stage's inputs.

    given[TEXTS] are the records of an artefact, given.path(WARM_UP) is where one lies, given.params has the declared
    sections alone, given.out(STUDENT) is where an out goes that a library writes itself.
    """

    stage: Stage
    params: Params
    """Without what is not declared: reading it raises AttributeError."""

    @property
    def name(self) -> str:
        """Of the stage."""
        return self.stage.name

    @property
    def seed(self) -> int:
        """The stage's own seed, derived from the one seed, or from `student_seed` in a stage that declares it."""
        own = self.params.student_seed if "student_seed" in self.stage.params else None
        return stage_seed(self.params.seed if own is None else own, self.name)

    def __getitem__(self, artefact: Artefact[T]) -> T:
        """What an input holds. Raises UserError if it is missing or broken, Undeclared if it is no dependency of the
        stage."""
        self.path(artefact)
        return artefact.read()

    def path(self, artefact: Artefact[Any]) -> Path:
        """Where an input lies. Raises Undeclared if it is no dependency of the stage."""
        if not self.stage.reads(artefact):
            raise Undeclared(f"dvc.yaml: stage {self.name} does not declare the dependency {artefact}")
        return Path(artefact)

    def out(self, artefact: Artefact[Any]) -> Path:
        """Where an out goes. Raises Undeclared if it is none of the stage."""
        if not self.stage.writes(artefact):
            raise Undeclared(f"dvc.yaml: stage {self.name} does not declare the out {artefact}")
        return Path(artefact)


@dataclass(frozen=True)
class Made:
    """What a stage made, apart from the outs that a library has written."""

    outs: Mapping[Artefact[Any], Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] | None = None
    """Goes to metrics/STAGE.json; None for a stage that has another file of figures, or none."""
    rejects: Sequence[Reject] | None = None
    """Goes to data/rejects/STAGE.parquet; None for a stage that rejects nothing."""
    says: str = ""
    """Lines for people."""

    def write(self, given: Given) -> None:
        """Write everything; figures last. Raises Undeclared if something is no out of the stage, or an out was not
        written."""
        for artefact, value in self.outs.items():
            given.out(artefact)
            artefact.write(value)
        if self.rejects is not None:
            write_rejects(given.out(rejects_of(given.name)), self.rejects)
        if self.metrics is not None:
            metrics = metrics_of(given.name)
            given.out(metrics)
            metrics.write(self.metrics)
        missing = [path for path in given.stage.outs if not Path(path).exists()]
        if missing:
            raise Undeclared(f"dvc.yaml: stage {given.name} declares {', '.join(missing)}, which it did not write")
        if self.says:
            print(self.says)


def given_to(stage: Stage, params: Params) -> Given:
    """What a stage is given of all params. Raises Undeclared if it declares one that there is not."""
    return Given(stage, _part(params, [*stage.params, *NOT_TRACKED], stage.name))


S = TypeVar("S", bound=Section)


def _part(section: S, keys: Sequence[str], stage: str) -> S:
    """A copy of a section that has the fields named by dotted keys, and no others."""
    wanted: dict[str, list[str]] = {}
    for key in keys:
        name, _, rest = key.partition(".")
        wanted.setdefault(name, []).append(rest)
    copy = section.model_copy()
    for name in list(copy.__dict__):
        if name not in wanted:
            del copy.__dict__[name]
    for name, parts in wanted.items():
        if name not in copy.__dict__:
            raise Undeclared(f"dvc.yaml: stage {stage} declares the param {name!r}, which there is not")
        if all(parts):
            if not isinstance(copy.__dict__[name], Section):
                raise Undeclared(f"dvc.yaml: stage {stage} declares a part of the param {name!r}, which has no keys")
            copy.__dict__[name] = _part(copy.__dict__[name], parts, stage)
    return copy
