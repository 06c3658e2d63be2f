"""What a finished run left, read once for its report: the stages' metrics and the artefacts people ask about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.files import read_json
from compeffdist.gates.outcome import GATES, REPORTS
from compeffdist.instructions.clusters import read_perspectives
from compeffdist.models import ModelIdentity, read_identity
from compeffdist.record_files import read_records
from compeffdist.records import Draw, Instruction, Perspective, ScoredTriplet, Text, Triplet

ROLES = ("teacher", "student", "embedder")
COUNTED = (
    "ingest_texts",
    "enumerate_attributes",
    "generate_tasks",
    "write_demonstrations",
    "pair_texts",
    "collect_responses",
    "warm_up_student",
    "score_difficulty",
    "predict_difficulty",
    "sample_triplets",
    "collect_sampled",
    "train_student",
)
"""Stages whose metrics the report shows, in the order of the pipeline."""
ASKING = (
    "enumerate_attributes",
    "generate_tasks",
    "write_demonstrations",
    "collect_responses",
    "collect_sampled",
    "evaluate_teacher",
)
"""Stages that ask the teacher."""


@dataclass(frozen=True)
class Run:
    """The artefacts of one run, as their stages wrote them."""

    models: Mapping[str, ModelIdentity]
    """By role."""
    metrics: Mapping[str, Mapping[str, Any]]
    """By stage."""
    gates: Mapping[str, Mapping[str, Any]]
    """Reports by gate."""
    evaluation: Mapping[str, Any]
    registration: Mapping[str, Any]
    perspectives: Sequence[Perspective]
    instructions: Sequence[Instruction]
    texts: Sequence[Text]
    triplets: Sequence[Triplet]
    scored: Sequence[ScoredTriplet]
    draws: Sequence[Draw]

    def account(self, stage: str) -> Mapping[str, Any]:
        """The stage's `in`, `out`, `rejected` and `reasons`; empty where it keeps none (sampling decides, it rejects
        nothing)."""
        metrics = self.metrics[stage]
        found = next((metrics[key] for key in ("records", "texts") if key in metrics), metrics)
        return found if "rejected" in found else {}


def read_run(folder: Path) -> Run:
    """Read a run from its checkout.

    Raises:
        UserError: an artefact is missing or broken; names it.
    """
    data, metrics = folder / "data", folder / "metrics"
    return Run(
        models={role: read_identity(folder / "models" / f"{role}.json") for role in ROLES},
        metrics={stage: read_json(metrics / f"{stage}.json") for stage in dict.fromkeys((*COUNTED, *ASKING))},
        gates={gate: read_json(folder / REPORTS / f"{gate}.json") for gate in GATES},
        evaluation=read_json(metrics / "evaluation.json"),
        registration=read_json(metrics / "registration.json"),
        perspectives=read_perspectives(data / "clusters.json"),
        instructions=read_records(data / "instructions.jsonl", Instruction),
        texts=read_records(data / "texts.parquet", Text),
        triplets=read_records(data / "triplets.parquet", Triplet),
        scored=read_records(data / "scored.parquet", ScoredTriplet),
        draws=read_records(data / "sampled.parquet", Draw),
    )
