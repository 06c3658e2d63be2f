"""The artefacts made of records, and which fields of a record name what it was made from.

One table for trace, audit, forget and purge: an artefact that is added here is traced, checked and purged, too. An
artefact that the lock at hand has not (an older one, or one of a mode that is off) is simply not there.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from compeffdist.evaluation.predictions import Prediction
from compeffdist.evaluation.tasks import EvaluationRow
from compeffdist.records import (
    Attribute,
    Demonstration,
    Draw,
    Instruction,
    Mention,
    Pair,
    Perspective,
    PredictedDifficulty,
    Record,
    Reject,
    ScoredTriplet,
    Task,
    Text,
    Triplet,
)

TEXTS = "data/texts.parquet"
MENTIONS = "data/mentions.parquet"
ATTRIBUTES = "data/attributes.parquet"
CLUSTERS = "data/clusters.json"
TASKS = "data/tasks.jsonl"
DEMONSTRATIONS = "data/demonstrations.jsonl"
INSTRUCTIONS = "data/instructions.jsonl"
PAIRS = "data/pairs.parquet"
TRIPLETS = "data/triplets.parquet"
SCORED = "data/scored.parquet"
PREDICTED = "data/predicted.parquet"
SAMPLE = "data/sampled.parquet"
TRAINING = "data/training.parquet"
EVALUATION = "data/evaluation.jsonl"
REJECTS = "data/rejects/"
WARM_UP = "models/warmup"
PROXY = "models/proxy"
STUDENT = "models/student"
ANSWERED = (MENTIONS, DEMONSTRATIONS, TRIPLETS, TRAINING)
"""Artefacts whose records name the raw answer they came from."""
IDENTITIES = ("models/teacher.json", "models/student.json", "models/embedder.json")


@dataclass(frozen=True)
class Edge:
    """A field that says which records of `path` a record was made from."""

    field: str
    path: str
    key: str = "id"
    """The field of those records that it equals, or that holds it."""


@dataclass(frozen=True)
class Artefact:
    """Records of one kind, in a file."""

    kind: type[Record]
    edges: tuple[Edge, ...] = ()
    """None: they come from a source."""


ARTEFACTS: Mapping[str, Artefact] = {
    TEXTS: Artefact(Text),
    MENTIONS: Artefact(Mention, (Edge("text_id", TEXTS),)),
    # from every mention that bears its name
    ATTRIBUTES: Artefact(Attribute, (Edge("name", MENTIONS, "names"),)),
    CLUSTERS: Artefact(Perspective, (Edge("member_ids", ATTRIBUTES),)),
    TASKS: Artefact(Task, (Edge("perspective_id", CLUSTERS),)),
    DEMONSTRATIONS: Artefact(Demonstration, (Edge("task_id", TASKS), Edge("reference_text_ids", TEXTS))),
    INSTRUCTIONS: Artefact(Instruction, (Edge("task_id", TASKS), Edge("demonstration_ids", DEMONSTRATIONS))),
    PAIRS: Artefact(Pair, (Edge("instruction_id", INSTRUCTIONS), Edge("text_id", TEXTS))),
    TRIPLETS: Artefact(Triplet, (Edge("pair_id", PAIRS),)),
    SCORED: Artefact(ScoredTriplet, (Edge("sample_id", TRIPLETS),)),
    PREDICTED: Artefact(PredictedDifficulty, (Edge("pair_id", PAIRS),)),
    # of a pair whose difficulty was predicted, no triplet
    SAMPLE: Artefact(Draw, (Edge("pair_id", PAIRS), Edge("sample_id", TRIPLETS))),
    # kept triplets stand in it once more: an id leads to where the record stands first
    TRAINING: Artefact(Triplet, (Edge("pair_id", PAIRS),)),
    EVALUATION: Artefact(EvaluationRow),
    "data/teacher_predictions.parquet": Artefact(Prediction, (Edge("row_id", EVALUATION),)),
    "data/student_predictions.parquet": Artefact(Prediction, (Edge("row_id", EVALUATION),)),
}
"""By path, in the order of the pipeline."""


def made_from(path: str) -> list[str]:
    """An artefact and every other whose records are made from its own, in the order of the pipeline."""
    found = {path: None}
    for other, artefact in ARTEFACTS.items():
        if any(edge.path in found for edge in artefact.edges):
            found[other] = None
    return list(found)


def kind_of(path: str) -> type[Record]:
    """The record type of an artefact."""
    return Reject if path.startswith(REJECTS) else ARTEFACTS[path].kind


def _made_from() -> Mapping[str, tuple[tuple[str, Edge], ...]]:
    found: defaultdict[str, list[tuple[str, Edge]]] = defaultdict(list)
    for path, artefact in ARTEFACTS.items():
        for edge in artefact.edges:
            found[edge.path].append((path, edge))
    return {path: tuple(edges) for path, edges in found.items()}


MADE_FROM = _made_from()
"""Path -> (path, edge) of each artefact whose records are made from its own."""
