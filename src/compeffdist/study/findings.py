"""Everything a study found, and how it is put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.records import Triplet
from compeffdist.study.agreement import Agreement, agreements
from compeffdist.study.examples import choose_examples, read_triplets
from compeffdist.study.labels import Judgement, judge_scores, read_labels
from compeffdist.study.measures import Scores, correlations, decile_figures, largest_tie, read_scores

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
            "agreement": [found.to_json() for found in self.agreements],
            "human_judgement": [found.to_json() for found in self.judgements],
        }


def study_scores(
    scored: Path, triplets: Path, seed: int, runs: Sequence[Scores] = (), labels: Path | None = None
) -> Study:
    """Look at scores from every side that there is.

    Args:
        runs: other scores of the same triplets.
        labels: a sheet that a person labelled.

    Raises:
        UserError: if a file cannot be read, or they do not belong together.
    """
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
