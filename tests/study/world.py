"""Made-up scores and triplets on disk, in a folder like that of a run."""

from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.record_files import write_records
from compeffdist.records import ScoredTriplet, Triplet

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


def a_score(triplet: Triplet, ranking: float, **changes: Any) -> ScoredTriplet:
    fields: dict[str, Any] = {
        "sample_id": triplet.id,
        "pair_id": triplet.pair_id,
        "instruction_id": triplet.instruction_id,
        "scorer_id": "scorer",
        "ranking": ranking,
        "ranking_excluding_zero": ranking,
        "ranking_all": ranking / 2,
        "perplexity": 1.0 + ranking**2,
        "tokens": 7,
        "miss_rate": 1.0 - ranking,
        "nucleus_miss_rate": 0.0,
    }
    return ScoredTriplet(**(fields | changes))


def write_world(folder: Path, rows: int = 200, noise: float = 0.0, name: str = "scored") -> list[ScoredTriplet]:
    """data/triplets.parquet, and data/NAME.parquet with scores that rise with the number but for noise."""
    triplets = [a_triplet(number) for number in range(rows)]
    chance = np.random.default_rng(0).normal(0, 1, rows) * noise
    rankings = np.clip(np.arange(rows) / rows + chance, 0, 1)
    scored = [a_score(t, float(value)) for t, value in zip(triplets, rankings, strict=True)]
    write_records(folder / "data/triplets.parquet", Triplet, triplets)
    write_records(folder / f"data/{name}.parquet", ScoredTriplet, scored)
    return scored
