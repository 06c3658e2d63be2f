"""An experiment as a file: `experiments/NAME.yaml` lists its arms, each a set of params, and the seeds of each.

    question: Does a student learn more from the teacher's probabilities than from its first choice?
    seeds: [42, 1, 2]
    params: {sampling.rate: 0.12}       # of every arm
    reference: hard                     # what the other arms are compared with
    arms:
      hard: {}
      soft: {training.soft_labels: 1.0}

Keys are those of params.yaml, dotted; what an arm does not set is as params.yaml has it. `seed` draws everything anew,
answers included; a seed of an arm is `student_seed`: another sample and training from the same answers and scores.
Gates warn: an arm may be worse than a run should be.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from compeffdist.errors import UserError
from compeffdist.experiments.settings import hydra_value
from compeffdist.params import Line, Params, Section, read_section, validate_params

FOLDER = Path("experiments")
STUDENT_SEED = "student_seed"
REFUSED = {"profile", "runtime", "registry", "promotion", STUDENT_SEED}
"""Sections that no arm sets: where and how fast, what no figure depends on, and what `seeds` sets."""


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+( [A-Za-z0-9_-]+)*", value):
        raise ValueError("must be of letters, digits, '_', '-' and single spaces between words: git has a name of it")
    return value


Name = Annotated[str, AfterValidator(_name)]
"""Of an experiment or an arm."""


class Experiment(Section):
    """A question and the arms that answer it."""

    name: Name
    """The file's name; not in it."""
    question: Line
    note: str = ""
    """What a reader must know of the set-up, in a sentence or two."""
    seeds: list[int] = Field(min_length=1)
    params: dict[str, Any] = Field(default_factory=dict)
    judged_on: list[Line] = Field(default_factory=list)
    """Evaluation tasks that the mean is over; empty: all of them."""
    reference: Name
    arms: dict[Name, dict[str, Any]] = Field(min_length=1)

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise ValueError("must be different whole numbers, none below 0")
        return seeds

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.reference not in self.arms:
            raise ValueError(f"reference {self.reference!r} is none of the arms: {', '.join(self.arms)}")
        for key in [*self.params, *(key for arm in self.arms.values() for key in arm)]:
            if key.split(".")[0] in REFUSED:
                raise ValueError(f"{key} cannot be set by an arm")
        return self


@dataclass(frozen=True)
class Run:
    """One arm at one seed."""

    experiment: str
    arm: str
    seed: int
    settings: Mapping[str, Any]
    """Dotted key -> value, of what differs from params.yaml."""
    written: Mapping[str, Any]
    """params.yaml with these settings, as DVC will read it."""
    params: Params
    """The same, validated."""


def experiment_names(folder: Path = FOLDER) -> list[str]:
    """The experiments there are, sorted."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_experiment(name: str, folder: Path = FOLDER) -> Experiment:
    """Read and validate one. Raises UserError: one line naming file and key; no such experiment."""
    if name not in (there := experiment_names(folder)):
        raise UserError(f"{folder}: no experiment {name!r}; there are {', '.join(there) or 'none'}")
    return read_section(Experiment, folder / f"{name}.yaml", name=name)


def runs_of(experiment: Experiment, params: Mapping[str, Any], arms: Sequence[str] = ()) -> list[Run]:
    """Every arm (or those named) at every seed, all arms of a seed before the next seed: a comparison has its first
    pairs early.

    Args:
        params: params.yaml as it is read.

    Raises:
        UserError: an arm sets a key that params.yaml has not, or to what cannot be; no such arm; `judged_on` names
            what is no evaluation task of an arm.
    """
    if strange := [arm for arm in arms if arm not in experiment.arms]:
        raise UserError(f"experiment {experiment.name} has no arm {strange[0]!r}; it has {', '.join(experiment.arms)}")
    return [
        _run(experiment, arm, seed, params)
        for seed in experiment.seeds
        for arm in experiment.arms
        if not arms or arm in arms
    ]


def _run(experiment: Experiment, arm: str, seed: int, params: Mapping[str, Any]) -> Run:
    origin = f"{FOLDER}/{experiment.name}.yaml: arm {arm}"
    values, settings = deepcopy(dict(params)), {}
    warned = {f"gates.{gate}.action": "warn" for gate in values.get("gates", ())}
    own = None if seed == values.get("seed") else seed
    for key, value in {**warned, **experiment.params, **experiment.arms[arm], STUDENT_SEED: own}.items():
        *sections, last = key.split(".")
        place: Any = values
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise UserError(f"{origin}: {key}: params.yaml has no such key")
        try:
            hydra_value(value)
        except ValueError as error:
            raise UserError(f"{origin}: {key}: {error}") from None
        if place[last] != value:
            settings[key] = value
        place[last] = value
    checked = validate_params(values, origin)
    tasks = [task.name for task in checked.evaluation.tasks]
    if strange := [name for name in experiment.judged_on if name not in tasks]:
        raise UserError(f"{origin}: judged_on: no evaluation task {strange[0]!r}; there are {', '.join(tasks)}")
    return Run(experiment.name, arm, seed, settings, values, checked)
