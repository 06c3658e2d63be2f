"""Made-up scores and triplets on disk, in a folder like that of a run."""

from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.record_files import write_records
from compeffdist.records import ScoredTriplet, Triplet
from tests.scored import a_score as scored_triplet
from tests.scored import write_scored

HOSTILE = "<script>alert('x')</script> & \u202e"
TYPES = ("analysis", "closed_classification", "scoring")


def a_triplet(number: int, **changes: Any) -> Triplet:
    fields: dict[str, Any] = {
        "pair_id": "pair",
        "instruction_id": f"instruction_{number % 4}",
        "text_id": f"text_{number}",
        "teacher_id": "teacher",
        "decoding_id": "decoding",
        "answer_id": "answer",
        "prompt": f"Text {number}: {HOSTILE}",
        "response": f"response {number}",
        "monitored": "neutral",
        "task_type": TYPES[min(number % 10, 2)],  # one in ten, one in ten, the others
        "task_name": HOSTILE,
    }
    return Triplet(**(fields | changes))


def a_score(triplet: Triplet, ranking: float) -> ScoredTriplet:
    """A score with measures that are known functions of the ranking score."""
    known = {"ranking_all": ranking / 2, "perplexity": 1.0 + ranking**2, "tokens": 7, "miss_rate": 1.0 - ranking}
    return scored_triplet(triplet, ranking, **known)


def write_world(folder: Path, rows: int = 200, noise: float = 0.0, name: str = "scored") -> list[ScoredTriplet]:
    """data/triplets.parquet, and data/NAME.parquet with scores that rise with the number but for noise."""
    triplets = [a_triplet(number) for number in range(rows)]
    chance = np.random.default_rng(0).normal(0, 1, rows) * noise
    rankings = np.clip(np.arange(rows) / rows + chance, 0, 1)
    scored = [a_score(t, float(value)) for t, value in zip(triplets, rankings, strict=True)]
    write_records(folder / "data/triplets.parquet", Triplet, triplets)
    write_scored(folder / f"data/{name}.parquet", scored)
    return scored
