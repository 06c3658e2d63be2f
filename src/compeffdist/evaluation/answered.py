"""Which answered pairs of a run its student can be held against the teacher on, drawn evenly over difficulty.

The pairs of interest were answered, and scored, and not kept for training: neither the student nor the evaluation saw
them. An answer can be judged by likelihood where it is a label or a number of a scale.

A decile is a tenth of these rows by ranking score. Rows of one score are in one place: where a score runs over the edge
of a decile, the deciles that share it are one (`Bin`), and count as so many in the draw.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.artefacts import CLUSTERS, INSTRUCTIONS, SAMPLED, SCORED, TRIPLETS
from compeffdist.difficulty.sampling import uniform_draws
from compeffdist.errors import UserError
from compeffdist.instructions.answers import choices
from compeffdist.records import Draw, Instruction, ScoredTriplet, Triplet, by_id

DECILES = 10
UNSCORED = -1
"""In place of the number of a bin."""


@dataclass(frozen=True)
class AnsweredRow:
    """A pair that the teacher answered with a label."""

    triplet: Triplet
    score: float | None
    """The ranking score; None where the scorer left the row out."""
    seen: bool
    """Whether it was kept for training."""
    perspective: str
    """The head of its perspective; of a task without one, the task's name."""


@dataclass(frozen=True)
class Answered:
    """What a run's teacher answered."""

    rows: list[AnsweredRow]
    """Those answered with a label, by triplet id."""
    labels: Mapping[str, tuple[str, ...]]
    """By instruction: what its answers are."""
    free: Mapping[bool, int]
    """Kept for training or not -> rows left out because the answer is no label."""
    unsure: int = 0
    """Rows left out because the teacher was too unsure of them: below the confidence floor, not left out by chance."""


@dataclass(frozen=True)
class Bin:
    """Deciles that no score runs across: one, or several that share a score."""

    first: int
    """1 for the easiest tenth."""
    last: int
    lowest: float
    highest: float

    @property
    def name(self) -> str:
        """As a table has it."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def read_answered() -> Answered:
    """What the run in the working folder asked and kept.

    Raises:
        UserError: an artefact is missing or broken, two of them are of different runs, or the run is in mode proxy, in
            which only what was kept has an answer.
    """
    draws, triplets, scores = SAMPLED.read(), TRIPLETS.read(), SCORED.read()
    if any(not draw.triplet_id for draw in draws):
        raise UserError(
            f"{SAMPLED}: the run is in mode proxy, where a pair that was not kept has no answer to agree with; "
            "run with difficulty.mode: direct"
        )
    return answered_rows(triplets, draws, scores, by_id(INSTRUCTIONS.read()), _heads())


def _heads() -> dict[str, str]:
    return {perspective.id: perspective.head for perspective in CLUSTERS.read()}


def answered_rows(
    triplets: Sequence[Triplet],
    draws: Sequence[Draw],
    scores: Sequence[ScoredTriplet],
    instructions: Mapping[str, Instruction],
    heads: Mapping[str, str],
) -> Answered:
    """Triplets with what the run decided on them; `heads` are perspectives' names by id. Raises UserError if a record
    is of another run."""
    there = {triplet.id for triplet in triplets}
    for source, named in ((SAMPLED, draws), (SCORED, scores)):
        lost = next((record.triplet_id for record in named if record.triplet_id not in there), None)
        if lost is not None:
            raise UserError(f"{source}: {lost} is not in {TRIPLETS}; they are of two runs")
    kept = {draw.triplet_id for draw in draws if draw.kept}
    ranking = {score.triplet_id: score.ranking for score in scores}
    rows, labels, free = list[AnsweredRow](), dict[str, tuple[str, ...]](), {True: 0, False: 0}
    below, unsure = {draw.triplet_id for draw in draws if draw.rank == 0}, 0
    for triplet in sorted(triplets, key=lambda one: one.id):
        instruction = instructions.get(triplet.instruction_id)
        if instruction is None:
            raise UserError(f"{TRIPLETS}: {triplet.instruction_id} is not in {INSTRUCTIONS}; they are of two runs")
        seen = triplet.id in kept
        if triplet.response not in choices(instruction):
            free[seen] += 1
            continue
        if triplet.id in below:
            unsure += 1
            continue
        labels[instruction.id] = tuple(choices(instruction))
        head = heads.get(instruction.perspective_id, instruction.task_name)
        rows.append(AnsweredRow(triplet, ranking.get(triplet.id), seen, head))
    return Answered(rows, labels, free, unsure)


def decile_bins(scores: Floats) -> list[Bin]:
    """The deciles of scores (n,), easiest first, those merged that share a score; none of no scores."""
    if not len(scores):
        return []
    ordered = np.sort(scores)
    # the last row of each decile, deciles being as even as n allows
    edges = ordered[np.ceil(np.arange(1, DECILES + 1) * len(ordered) / DECILES).astype(int) - 1]
    highest = np.unique(edges)
    ends = np.searchsorted(edges, highest, side="right")
    starts = [0, *ends[:-1]]
    lowest = [ordered[0], *(ordered[np.searchsorted(ordered, edge, side="right")] for edge in highest[:-1])]
    return [
        Bin(int(start) + 1, int(end), float(low), float(high))
        for start, end, low, high in zip(starts, ends, lowest, highest, strict=True)
    ]


def bins_of(rows: Sequence[AnsweredRow], bins: Sequence[Bin]) -> Integers:
    """The place of each row's bin (n,), UNSCORED without a score; harder than all of the bins is the last one."""
    edges = np.array([one.highest for one in bins])
    places = [
        UNSCORED if row.score is None else min(int(np.searchsorted(edges, row.score)), len(bins) - 1) for row in rows
    ]
    return np.array(places, dtype=np.int64)


def draw_even(rows: Sequence[AnsweredRow], bins: Sequence[Bin], count: int, seed: int) -> list[AnsweredRow]:
    """`count` rows (all, if there are fewer), as even over the deciles as the rows allow, in the order they were given.

    Each decile in turn gives a row, rows without a score being a decile more; which row, its id and `seed` decide.
    """
    draws = uniform_draws([row.triplet.id for row in rows], seed)
    bin_of, places = bins_of(rows, bins).tolist(), defaultdict[int, list[int]](list)
    for index in np.argsort(draws, kind="stable").tolist():
        places[bin_of[index]].append(index)
    turns: list[tuple[float, int, int]] = []
    for place, own in places.items():
        share = 1 if place == UNSCORED else bins[place].last - bins[place].first + 1
        turns += [((turn + 0.5) / share, place, index) for turn, index in enumerate(own)]
    return [rows[index] for index in sorted(index for *_, index in sorted(turns)[:count])]
