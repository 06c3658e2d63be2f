"""The artefacts of the pipeline, in one table: where each lies, what it holds, and what its records were made from.

Stages, gates, report, lineage, registry and tests take paths and record types from here. `RECORDS` lists the artefacts
made of records in the order of the pipeline, with the edges that trace, audit, forget and purge follow: an artefact
that is added there is traced, checked and purged, too.
"""

from collections.abc import Mapping
from typing import Any

from compeffdist.artefact_kinds import Artefact, Edge, Json, Located, Page, Perspectives, Records
from compeffdist.measures.registry import COLUMNS
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
    Reject,
    ScoredTriplet,
    Task,
    Text,
    Triplet,
)

TEACHER, BASE, EMBEDDER = (Json(f"models/{role}.json") for role in ("teacher", "student", "embedder"))
"""Identities (`models.read_identity`)."""
IDENTITIES = (TEACHER, BASE, EMBEDDER)
TEXTS = Records("data/texts.parquet", Text)
EVALUATION = Records("data/evaluation.jsonl", EvaluationRow)
MENTIONS = Records("data/mentions.parquet", Mention, Edge("text_id", TEXTS))
# from every mention that bears its name
ATTRIBUTES = Records("data/attributes.parquet", Attribute, Edge("name", MENTIONS, "names"))
CLUSTERS = Perspectives("data/clusters.json", Perspective, Edge("member_ids", ATTRIBUTES))
ATTRIBUTE_MAP = Json("data/attribute_map.json")
"""Attribute id -> where it lies in two dimensions (`instructions.attribute_map`)."""
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
RESULTS = Located("metrics/results.csv")
REPORT = Page("report/index.html")
REPORT_ROWS = Located("report/rows.parquet")

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


def is_artefact(path: str, stage: str) -> bool:
    """Whether an out of a stage is one of this table, its figures or rejects, or of a gate (`gates.outcome`)."""
    listed = (value for value in globals().values() if isinstance(value, Artefact))
    return path in {*listed, rejects_of(stage), metrics_of(stage)} or "/gates/" in path


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
