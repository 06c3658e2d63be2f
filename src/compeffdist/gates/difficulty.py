"""What must hold of the difficulty scores: they tell triplets apart, every triplet has one or a reason, and the scorer
was really warmed up.

Saturation is what an unfit scorer shows: near 1 one that was never trained (no response token is in its nucleus), near
0 one for which everything is easy. Either way the order that sampling relies on is chance.
"""

from collections import Counter
from collections.abc import Sequence
from operator import itemgetter

from compeffdist.artefacts import SCORED, TRIPLETS, WARM_UP_CURVE, rejects_of
from compeffdist.difficulty.summary import BINS, NEAR, spearman
from compeffdist.gates.curves import learnt
from compeffdist.gates.expected import (
    HOLDS,
    SOME,
    Columns,
    Expectation,
    accounted,
    aggregate,
    among,
    average,
    between,
    distinct,
    figure,
    no_row,
    row_count,
    share,
)
from compeffdist.gates.gate import Inputs, Rows
from compeffdist.gates.outcome import Distribution
from compeffdist.given import Given
from compeffdist.measures.perplexity import IFD, PERPLEXITY
from compeffdist.measures.registry import MEASURES, RANKING
from compeffdist.records import ScoredTriplet

GUARDS = (SCORED,)
REJECTS = rejects_of("score_difficulty")

SOME_IFD = "difficulty.ifd holds for all rows or none: run dvc repro -f -s score_difficulty"
SCORER = "check warm_up (rows, training) and difficulty.top_p"
EASY = f"nearly everything is easy to the scorer: {SCORER}"
HARD = f"nearly everything is hard to the scorer: {SCORER}"
DISAGREES = f"the score disagrees with perplexity: {SCORER}"
TIES = f"one score is held by many, whose order is chance: {SCORER}"
UNFINISHED = "the warm-up has not finished: raise warm_up.rows, warm_up.training.epochs or its learning_rate"
ACCOUNTS = "every triplet has a score or a reason for none, and one of them: run dvc repro -f score_difficulty"
TOO_LONG = "see the reasons in metrics/score_difficulty.json; difficulty.max_length may be short"


@aggregate
def spread(scores: Sequence[float]) -> float | None:
    """Standard deviation of these very scores, not of what they are drawn from."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):  # a score out of range is a finding of its own
        return float(np.std(scores)) if scores else None


@aggregate
def tied_share(scores: Sequence[float]) -> float | None:
    """Share of the one commonest score."""
    return max(Counter(scores).values()) / len(scores) if scores else None


aggregate(spearman)


def rows(given: Given) -> Rows:
    return {
        SCORED: (
            between(RANKING, 0.0, 1.0),
            *(between(name, measure.low, measure.high) for name, measure in MEASURES.items()),
        ),
        REJECTS: [],
    }


def expectations(seen: Inputs) -> list[Expectation]:
    scored, rows = seen[SCORED].records, seen[SCORED].by("triplet_id")
    with_ifd = any(row.measures[IFD.name] is not None for row in scored)
    without_ifd = [with_ifd and row.measures[IFD.name] is None for row in scored]
    return [
        row_count("scores", rows, SOME, "no triplet was scored: see data/rejects/score_difficulty.parquet"),
        no_row("scored_without_ifd", rows, without_ifd, SOME_IFD),
        distinct("scorers", rows, "scorer_id", HOLDS, "scores of several scorers do not compare"),
        *_saturation(seen, rows, [row.ranking for row in scored]),
        *_accounts(seen, scored),
        *learnt("warm_up", seen.read(WARM_UP_CURVE), seen.most("warm_up_loss_ratio"), UNFINISHED),
    ]


def distributions(seen: Inputs) -> list[Distribution]:
    scored = seen[SCORED].records
    # a score out of range is a finding, and stands in the bin at its end
    counts = Counter(int(min(max(row.ranking * BINS, 0), BINS - 1)) for row in scored)
    shares = [(f"{place / BINS:.2f}", [counts[place] / (len(scored) or 1)]) for place in range(BINS)]
    return [Distribution("Triplets by difficulty, from", ["share"], shares)]


def _saturation(seen: Inputs, rows: Columns, scores: Sequence[float]) -> list[Expectation]:
    """Saturation, spread, ties, and agreement with perplexity."""
    near_zero, near_one = [score < NEAR for score in scores], [score > 1 - NEAR for score in scores]
    commonest = max(Counter(scores).items(), key=itemgetter(1), default=(None, 0))[0]
    held = [key for key, score in zip(rows.keys, scores, strict=True) if score == commonest]
    agreement = seen.least("perplexity_correlation")
    return [
        share("near_zero_share", rows, near_zero, seen.most("near_zero_share"), EASY),
        share("near_one_share", rows, near_one, seen.most("near_one_share"), HARD),
        average("mean", rows, RANKING),
        figure("spread", rows, spread, [RANKING], seen.least("spread"), f"scores lie close together: {SCORER}"),
        figure("tied_share", rows, tied_share, [RANKING], seen.most("tied_share"), TIES, lambda: held),
        figure("perplexity_correlation", rows, spearman, [RANKING, PERPLEXITY.name], agreement, DISAGREES),
    ]


def _accounts(seen: Inputs, scored: Sequence[ScoredTriplet]) -> list[Expectation]:
    """Triplets in = scores + rejects, triplet by triplet."""
    [ids] = seen.columns(TRIPLETS, "id")
    triplets = Columns(ids)
    rejected = [reject.record_id for reject in seen[REJECTS].records]
    flags = among(triplets.keys, rejected)
    return [
        *accounted("triplets", triplets.keys, [*(row.triplet_id for row in scored), *rejected], ACCOUNTS),
        share("rejected_share", triplets, flags, seen.most("rejected_share"), TOO_LONG),
    ]
