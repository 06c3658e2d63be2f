"""The artefacts of the pipeline, in one table: where each lies, what it holds, and what its records were made from.

Stages, gates, report, lineage, registry and tests take paths and record types from here. `RECORDS` lists the artefacts
made of records in the order of the pipeline, with the edges that trace, audit, forget and purge follow: an artefact
that is added there is traced, checked and purged, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from compeffdist.files import read_json, write_json
from compeffdist.measures.registry import COLUMNS
from compeffdist.pages import write_page
from compeffdist.record_files import NONE, read_perspectives, read_records, write_records
from compeffdist.records import (
    Attribute,
    Demonstration,
    Draw,
    EvaluationRow,
    Instruction,
    Mention,
    Pair,
    Perspective,
    PredictedDifficulty,
    Prediction,
    R,
    Reject,
    ScoredTriplet,
    Task,
    Text,
    Triplet,
)

T_co = TypeVar("T_co", covariant=True)


class Artefact(str, Generic[T_co]):
    """A file or folder that a stage writes: its path in a checkout, which is a string, and what it is read as.

    TEXTS.read() are the records of `data/texts.parquet`. Each kind below says how it is read and written; a page is
    never read, and what a library writes is not written here.
    """

    def read(self) -> T_co:
        """What it holds. Raises UserError if it is missing or broken, TypeError if it is of a kind that is not read."""
        raise TypeError(f"{self}: a {type(self).__name__} is not read")

    def write(self, value: Any) -> None:
        """Write it, atomically. Raises TypeError if it is of a kind that a library writes."""
        raise TypeError(f"{self}: a {type(self).__name__} is written by a library, where Given.out says")


@dataclass(frozen=True)
class Edge:
    """A field that says which records of the artefact `path` a record was made from."""

    field: str
    path: str
    key: str = "id"
    """The field of those records that it equals, or that holds it."""


class Records(Artefact[list[R]]):
    """Records of one kind."""

    kind: type[R]
    edges: tuple[Edge, ...]
    """None: they come from a source."""
    columns: Mapping[str, Any]
    """Name -> type of the columns beyond the fields of an open record type."""

    def __new__(cls, path: str, kind: type[R], *edges: Edge, columns: Mapping[str, Any] = NONE) -> Self:
        made = super().__new__(cls, path)
        made.kind, made.edges, made.columns = kind, edges, columns
        return made

    def read(self) -> list[R]:
        return self.read_file(Path(self))

    def read_file(self, file: Path) -> list[R]:
        """The records in `file`, which holds the artefact's bytes under any name, as an object of DVC's cache does."""
        return read_records(file, self.kind, format=Path(self).suffix)

    def write(self, value: Any) -> None:
        write_records(Path(self), self.kind, value, self.columns)


class _Perspectives(Records[Perspective]):
    """Written with the diagnostics of the clustering, as JSON."""

    def read_file(self, file: Path) -> list[Perspective]:
        return read_perspectives(file)


class Json(Artefact[Any]):
    """A JSON file."""

    def read(self) -> Any:
        return read_json(Path(self))

    def write(self, value: Any) -> None:
        write_json(Path(self), value)


class Page(Artefact[str]):
    """A page for people, written and never read."""

    def write(self, value: Any) -> None:
        write_page(Path(self), value)


class Located(Artefact[Path]):
    """A model folder, or a file behind a plot: a library writes and reads it."""

    def read(self) -> Path:
        return Path(self)


TEACHER, BASE, EMBEDDER = (Json(f"models/{role}.json") for role in ("teacher", "student", "embedder"))
"""Identities (`models.read_identity`)."""
IDENTITIES = (TEACHER, BASE, EMBEDDER)
TEXTS = Records("data/texts.parquet", Text)
EVALUATION = Records("data/evaluation.jsonl", EvaluationRow)
MENTIONS = Records("data/mentions.parquet", Mention, Edge("text_id", TEXTS))
# from every mention that bears its name
ATTRIBUTES = Records("data/attributes.parquet", Attribute, Edge("name", MENTIONS, "names"))
CLUSTERS = _Perspectives("data/clusters.json", Perspective, Edge("member_ids", ATTRIBUTES))
TASKS = Records("data/tasks.jsonl", Task, Edge("perspective_id", CLUSTERS))
DEMONSTRATIONS = Records(
    "data/demonstrations.jsonl", Demonstration, Edge("task_id", TASKS), Edge("reference_text_ids", TEXTS)
)
INSTRUCTIONS = Records(
    "data/instructions.jsonl", Instruction, Edge("task_id", TASKS), Edge("demonstration_ids", DEMONSTRATIONS)
)
PAIRS = Records("data/pairs.parquet", Pair, Edge("instruction_id", INSTRUCTIONS), Edge("text_id", TEXTS))
TRIPLETS = Records("data/triplets.parquet", Triplet, Edge("pair_id", PAIRS))
LABEL_PRIORS = Json("data/label_priors.json")
TEACHER_PREDICTIONS = Records("data/teacher_predictions.parquet", Prediction, Edge("row_id", EVALUATION))
WARM_UP = Located("models/warmup")
WARM_UP_CURVE = Located("metrics/warm_up_curve.csv")
SCORED = Records("data/scored.parquet", ScoredTriplet, Edge("triplet_id", TRIPLETS), columns=COLUMNS)
DIFFICULTY_HISTOGRAM = Located("metrics/difficulty_histogram.csv")
DIFFICULTY_PAGE = Page("report/difficulty.html")
PROXY = Located("models/proxy")
PREDICTED = Records("data/predicted.parquet", PredictedDifficulty, Edge("pair_id", PAIRS))
# of a pair whose difficulty was predicted, no triplet
SAMPLED = Records("data/sampled.parquet", Draw, Edge("pair_id", PAIRS), Edge("triplet_id", TRIPLETS))
# kept triplets stand in it once more: an id leads to where the record stands first
TRAINING = Records("data/training.parquet", Triplet, Edge("pair_id", PAIRS))
STUDENT = Located("models/student")
STUDENT_PROVENANCE = Json("models/student/student.json")
STUDENT_RUN = Json("models/student_run.json")
TRAINING_CURVE = Located("metrics/training_curve.csv")
STUDENT_PREDICTIONS = Records("data/student_predictions.parquet", Prediction, Edge("row_id", EVALUATION))
EVALUATED = Json("metrics/evaluation.json")
REGISTRATION = Json("metrics/registration.json")
SUMMARY = Json("metrics/summary.json")
REPORT = Page("report/index.html")

RECORDS: Mapping[str, Records[Any]] = {
    artefact: artefact
    for artefact in (
        *(TEXTS, MENTIONS, ATTRIBUTES, CLUSTERS, TASKS, DEMONSTRATIONS, INSTRUCTIONS, PAIRS, TRIPLETS, SCORED),
        *(PREDICTED, SAMPLED, TRAINING, EVALUATION, TEACHER_PREDICTIONS, STUDENT_PREDICTIONS),
    )
}
"""Artefacts made of records by path, in the order in which a trace tells them. One that the lock at hand has not (an
older one, or one of a mode that is off) is simply not there."""
ANSWERED = (MENTIONS, DEMONSTRATIONS, TRIPLETS, TRAINING)
"""Those whose records name the raw answer they came from."""
REJECTS = "data/rejects/"


def rejects_of(stage: str) -> Records[Reject]:
    """What a stage left out, each with its reason."""
    return Records(f"{REJECTS}{stage}.parquet", Reject)


def metrics_of(stage: str) -> Json:
    """The figures of a stage."""
    return Json(f"metrics/{stage}.json")


def records_at(path: str) -> Records[Any]:
    """The artefact at a path, rejects included."""
    return Records(path, Reject) if path.startswith(REJECTS) else RECORDS[path]


def made_from(path: str) -> list[str]:
    """An artefact and every other whose records are made from its own, in the order of the pipeline."""
    found = {path: None}
    for other, artefact in RECORDS.items():
        if any(edge.path in found for edge in artefact.edges):
            found[other] = None
    return list(found)


def edges_into(path: str) -> tuple[tuple[str, Edge], ...]:
    """(artefact, edge) of each whose records are made from those of `path`."""
    return tuple((other, edge) for other, a in RECORDS.items() for edge in a.edges if edge.path == path)
