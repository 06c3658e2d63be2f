"""Everything a study found, and how it is put together."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.arrays import Integers
from compeffdist.columns import BATCH_ROWS
from compeffdist.difficulty.sampling import uniform_draws
from compeffdist.errors import UserError
from compeffdist.record_files import parquet_file
from compeffdist.records import Triplet
from compeffdist.study.labels import Judgement, judge_scores, read_labels
from compeffdist.study.measures import (
    DECILES,
    Agreement,
    Scores,
    agreements,
    correlations,
    decile_figures,
    largest_tie,
    read_scores,
)

STAGE = "study_difficulty"
PER_DECILE = 2
"""Examples shown of each."""


@dataclass(frozen=True)
class Study:
    """What is known of one file of scores."""

    scores: Scores
    correlations: dict[str, dict[str, Any]]
    deciles: list[dict[str, Any]]
    examples: list[list[tuple[Triplet, float]]]
    """Of each decile in `deciles`: triplets with their score."""
    agreements: Sequence[Agreement] = ()
    judgements: Sequence[Judgement] = ()

    def to_json(self) -> dict[str, Any]:
        """For machines; without examples, so that it holds no texts."""
        score, rows = largest_tie(self.scores)
        return {
            "scores": self.scores.name,
            "rows": len(self.scores),
            "largest_tie": {"score": score, "rows": rows},
            "correlation_with_ranking": self.correlations,
            "deciles": self.deciles,
            "agreement": [asdict(found) for found in self.agreements],
            "human_judgement": [asdict(found) for found in self.judgements],
        }


def study_scores(
    scored: Path, triplets: Path, seed: int, runs: Sequence[Scores] = (), labels: Path | None = None
) -> Study:
    """Look at scores from every side that there is: `runs` are other scores of the same triplets, `labels` a sheet that
    a person labelled. Raises UserError if a file cannot be read, or they do not belong together."""
    scores = read_scores(scored)
    places = choose_examples(scores, PER_DECILE, seed)
    ids = [scores.triplet_ids[int(place)].as_py() for place in places]
    chosen = read_triplets(triplets, ids)
    figures = decile_figures(scores)
    examples: dict[int, list[tuple[Triplet, float]]] = {decile["decile"]: [] for decile in figures}
    for place, triplet_id in zip(places, ids, strict=True):
        examples[int(scores.decile[place]) + 1].append((chosen[triplet_id], float(scores.ranking[place])))
    return Study(
        scores,
        correlations(scores),
        figures,
        list(examples.values()),
        agreements([scores, *runs]),
        judge_scores(scores, read_labels(labels), labels, seed) if labels else [],
    )


def choose_examples(scores: Scores, per_decile: int, seed: int) -> Integers:
    """Places of rows, easiest decile first: in each, those whose draw under `seed` is lowest."""
    draws = uniform_draws(scores.triplet_ids, seed)
    order = np.lexsort((draws, scores.decile))
    counts = np.bincount(scores.decile, minlength=DECILES)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return order[place < per_decile]


def read_triplets(source: Path, ids: Collection[str]) -> dict[str, Triplet]:
    """Triplets by id, of a file that may be much larger than memory. Raises UserError if the file cannot be read, one
    is not in it, or does not fit its id."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(list(ids), pa.string())
    found: dict[str, Triplet] = {}
    with parquet_file(source, Triplet) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            for row in batch.filter(pc.is_in(batch["id"], wanted)).to_pylist():
                try:
                    found[row["id"]] = Triplet.from_row(row)
                except ValueError as error:
                    raise UserError(f"{source}: {error}; run the stage that writes it again") from None
    missing = sorted(set(ids) - found.keys())
    if missing:
        raise UserError(f"{source}: {missing[0]} has a score but is not there; scores and triplets are of two runs")
    return found
