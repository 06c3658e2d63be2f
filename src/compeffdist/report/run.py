"""What a finished run left, read once for its report: the stages' metrics and the artefacts people ask about; and the
run in one row of figures and in one of each task, which DVC shows and compares."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from compeffdist.artefacts import (
    ATTRIBUTE_MAP,
    CLUSTERS,
    EVALUATED,
    IDENTITIES,
    INSTRUCTIONS,
    REGISTRATION,
    SAMPLED,
    SCORED,
    STUDENT_PREDICTIONS,
    TEACHER_PREDICTIONS,
    TEXTS,
    TRAINING_CURVE,
    TRIPLETS,
    WARM_UP_CURVE,
    metrics_of,
)
from compeffdist.columns import read_columns
from compeffdist.declaration import gates, read_pipeline
from compeffdist.evaluation.table import SYSTEMS
from compeffdist.files import atomic_file
from compeffdist.gates.curves import losses
from compeffdist.gates.outcome import report_of
from compeffdist.given import Given
from compeffdist.models import ModelIdentity, read_identity
from compeffdist.record_streams import shared_values, stream_records
from compeffdist.records import Draw, Instruction, Perspective, Prediction, ScoredTriplet, Text, Triplet

ROLES = ("teacher", "student", "embedder")
TOKENS = ("prompt_tokens", "completion_tokens")
DIGITS = 4
"""Of a figure between 0 and 1, where runs are compared."""


class Answered(NamedTuple):
    """What the report shows of a triplet, which may be one of a million: not its prompt."""

    id: str
    text_id: str
    instruction_id: str
    response: str
    monitored: str | None
    task_type: str


@dataclass(frozen=True)
class Run:
    """The artefacts of one run, as their stages wrote them."""

    models: Mapping[str, ModelIdentity]
    """By role."""
    metrics: Mapping[str, Mapping[str, Any]]
    """By stage, of those that the report is told of in dvc.yaml."""
    gates: Mapping[str, Mapping[str, Any]]
    """Reports by gate."""
    evaluation: Mapping[str, Any]
    registration: Mapping[str, Any]
    perspectives: Sequence[Perspective]
    instructions: Sequence[Instruction]
    texts: Sequence[Text]
    triplets: Sequence[Answered]
    scored: int
    """How many triplets have a score."""
    draws: Sequence[Draw]
    predictions: Sequence[Prediction]
    """Of all systems."""
    places: Mapping[str, tuple[float, float]]
    """Where attributes lie on the map, by id."""
    curves: Mapping[str, Sequence[float]]
    """Losses of all steps by the stage that trained."""
    seed: int
    """By which sample and training were drawn."""

    @property
    def asking(self) -> Mapping[str, Mapping[str, Any]]:
        """What stages that ask the teacher say of its answers, by stage (`BuyingTeacher.usage`)."""
        return {stage: metrics["teacher"] for stage, metrics in self.metrics.items() if "teacher" in metrics}

    def account(self, stage: str, of: str = "records") -> Mapping[str, Any]:
        """The stage's `in`, `out`, `rejected` and `reasons`, the one `of` these where it counts several things; empty
        where it keeps none (sampling decides, it rejects nothing), and of a stage that the report is not told of."""
        metrics = self.metrics.get(stage, {})
        found = next((metrics[key] for key in (of, "texts") if key in metrics), metrics)
        return found if "rejected" in found else {}


def read_run(given: Given) -> Run:
    """Read the run whose report a stage writes. Raises UserError naming an artefact that is missing or broken."""
    stages, params = [name for name in read_pipeline() if given.stage.reads(metrics_of(name))], given.params
    return Run(
        models={role: read_identity(given.path(identity)) for role, identity in zip(ROLES, IDENTITIES, strict=True)},
        metrics={stage: given[metrics_of(stage)] for stage in stages},
        gates={gate: given[report_of(gate)] for gate in gates()},
        evaluation=given[EVALUATED],
        registration=given[REGISTRATION],
        perspectives=given[CLUSTERS],
        instructions=given[INSTRUCTIONS],
        texts=given[TEXTS],
        triplets=_read_answered(given.path(TRIPLETS)),
        scored=len(read_columns(given.path(SCORED), ScoredTriplet, ["id"], columns=SCORED.columns)),
        draws=list(stream_records(given.path(SAMPLED), Draw)),
        predictions=[*given[TEACHER_PREDICTIONS], *given[STUDENT_PREDICTIONS]],
        places={one: (float(x), float(y)) for one, (x, y) in given[ATTRIBUTE_MAP].items()},
        curves={
            "warm_up_student": losses(given.path(WARM_UP_CURVE)),
            "train_student": losses(given.path(TRAINING_CURVE)),
        },
        seed=params.seed if params.student_seed is None else params.student_seed,
    )


def _read_answered(source: Path) -> list[Answered]:
    table = read_columns(source, Triplet, Answered._fields)
    columns = ([one for part in table[name].chunks for one in shared_values(part)] for name in Answered._fields)
    return list(map(Answered._make, zip(*columns, strict=True)))


def headline(run: Run) -> dict[str, Any]:
    """What runs are told apart by, of all the stages' metrics, which would be a table hundreds of columns wide: counts
    along the pipeline, answers of the teacher that are used and that this run bought, and macro-F1 (0 to 1) of teacher,
    base student and student with the student's gain and its interval.

    In mode proxy answers are an upper bound: one that two stages use counts in both.
    """
    usage = run.asking.values()
    evaluation, gain = run.evaluation["headline"], run.evaluation["mean"]["student_minus_base"]
    figures = {**evaluation, "gain_low": gain["low"], "gain_high": gain["high"]}
    return {
        "texts": run.account("ingest_texts")["out"],
        "perspectives": len(run.perspectives),
        "tasks": len(run.instructions),
        "teacher_answers": sum(one["answers"]["used"] for one in usage),
        "answers_bought": sum(one["this_run"]["bought"] for one in usage),
        "training_rows": run.account("train_student")["out"],
        "training_seconds": round(run.metrics["train_student"]["seconds"]),
        "gates_passed": sum(report["passed"] for report in run.gates.values()),
        **{name: round(value, DIGITS) for name, value in figures.items()},
    }


def write_results(run: Run, target: Path) -> None:
    """Macro-F1 of every system and the student's gain by task, and their mean, as CSV for `dvc plots`."""
    tasks = run.evaluation["tasks"]
    every = {"rows": sum(task["rows"] for task in tasks.values()), **run.evaluation["mean"]}
    with atomic_file(target) as path, path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["task", "rows", *SYSTEMS, "gain", "gain_low", "gain_high"])
        for name, task in {"mean": every, **tasks}.items():
            scores, gain = (task["macro_f1"][system] for system in SYSTEMS), task["student_minus_base"]
            figures = [*(score["estimate"] for score in scores), *(gain[end] for end in ("estimate", "low", "high"))]
            writer.writerow([name, task["rows"], *(f"{figure:.{DIGITS}f}" for figure in figures)])
