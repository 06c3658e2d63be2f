"""Made-up scores and triplets on disk, in a folder like that of a run."""

from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.artefacts import TRIPLETS
from compeffdist.record_files import write_records
from compeffdist.records import ScoredTriplet, Triplet
from tests.factories import make_score, make_triplet, write_scored

HOSTILE = "<script>alert('x')</script> & \u202e"
TYPES = ("analysis", "closed_classification", "scoring")


def numbered_triplet(number: int, **fields: Any) -> Triplet:
    ids = {"text_id": f"text_{number}", "instruction_id": f"instruction_{number % 4}"}
    said = {"prompt": f"Text {number}: {HOSTILE}", "response": f"response {number}", "task_name": HOSTILE}
    # of types one in ten, one in ten, the others
    return make_triplet(**(ids | said | {"task_type": TYPES[min(number % 10, 2)]} | fields))


def score_of(triplet: Triplet, ranking: float) -> ScoredTriplet:
    """A score with measures that are known functions of the ranking score."""
    known = {"ranking_all": ranking / 2, "perplexity": 1.0 + ranking**2, "tokens": 7, "miss_rate": 1.0 - ranking}
    return make_score(triplet, ranking, **known)


def write_world(folder: Path, rows: int = 200, noise: float = 0.0, name: str = "scored") -> list[ScoredTriplet]:
    """data/triplets.parquet, and data/NAME.parquet with scores that rise with the number but for noise."""
    triplets = [numbered_triplet(number) for number in range(rows)]
    chance = np.random.default_rng(0).normal(0, 1, rows) * noise
    rankings = np.clip(np.arange(rows) / rows + chance, 0, 1)
    scored = [score_of(t, float(value)) for t, value in zip(triplets, rankings, strict=True)]
    write_records(folder / TRIPLETS, Triplet, triplets)
    write_scored(folder / f"data/{name}.parquet", scored)
    return scored
