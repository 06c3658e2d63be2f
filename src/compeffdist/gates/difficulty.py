"""What must hold of the difficulty scores: they tell triplets apart, every triplet has one or a reason, and the scorer
was really warmed up.

Saturation is what an unfit scorer shows: near 1 one that was never trained (no response token is in its nucleus), near
0 one for which everything is easy. Either way the order that sampling relies on is chance.
"""

from collections import Counter
from collections.abc import Sequence

from compeffdist.artefacts import SCORED, TRIPLETS, WARM_UP_CURVE, rejects_of
from compeffdist.difficulty.summary import BINS, NEAR, summarise_scores
from compeffdist.gates.curves import curve_figures
from compeffdist.gates.expected import Figure, accounted, between, share
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import read_table
from compeffdist.given import Given
from compeffdist.measures.perplexity import IFD, PERPLEXITY
from compeffdist.measures.registry import MEASURES, RANKING
from compeffdist.params import DifficultyGateParams
from compeffdist.records import Reject, ScoredTriplet

GUARDS = (SCORED,)

SCORER = "check warm_up (rows, training) and difficulty.top_p"
UNFINISHED = "the warm-up has not finished: raise warm_up.rows, warm_up.training.epochs or its learning_rate"


def gather(given: Given) -> Evidence:
    """Scores, triplets without one, and the warm-up's curve.

    Raises:
        UserError: if one of them cannot be read.
    """
    bounds = given.params.gates.difficulty
    ranges = [between("scored", RANKING, 0.0, 1.0)]
    ranges += [between("scored", name, measure.low, measure.high) for name, measure in MEASURES.items()]
    scored = read_table(given, SCORED, ranges)
    rejects = read_table(given, rejects_of("score_difficulty"))
    triplets = [triplet.id for triplet in given[TRIPLETS]]
    param = "gates.difficulty.warm_up_loss_ratio"
    warm_up = curve_figures("warm_up", given[WARM_UP_CURVE], bounds.warm_up_loss_ratio, param, UNFINISHED)
    return Evidence(
        [scored, rejects],
        lambda: Measured(
            [
                *_scores(scored.records, bounds),
                *_accounts(scored.records, rejects.records, triplets, bounds),
                *warm_up,
            ],
            [_histogram(scored.records)],
        ),
    )


def _scores(scored: Sequence[ScoredTriplet], bounds: DifficultyGateParams) -> list[Figure]:
    """Saturation, spread, ties, and agreement with perplexity."""
    summary = summarise_scores(scored)
    ranking, correlation = summary["ranking"] or {}, summary["correlation_with_ranking"] or {}
    scorers = {row.scorer_id for row in scored}
    without_ifd = [row.sample_id for row in scored if row.measures[IFD.name] is None]
    of_some = without_ifd if len(without_ifd) < len(scored) else []
    return [
        Figure("scores", len(scored), low=1, advice="no triplet was scored: see data/rejects/score_difficulty.parquet"),
        Figure(
            "scored_without_ifd",
            len(of_some),
            high=0,
            advice="difficulty.ifd holds for all rows or none: run dvc repro -f -s score_difficulty",
            offenders=of_some,
        ),
        Figure("scorers", len(scorers), low=1, high=1, advice="scores of several scorers do not compare"),
        Figure(
            "near_zero_share",
            ranking.get("share_near_zero"),
            high=bounds.near_zero_share,
            param="gates.difficulty.near_zero_share",
            advice=f"nearly everything is easy to the scorer: {SCORER}",
            offenders=[row.sample_id for row in scored if row.ranking < NEAR],
        ),
        Figure(
            "near_one_share",
            ranking.get("share_near_one"),
            high=bounds.near_one_share,
            param="gates.difficulty.near_one_share",
            advice=f"nearly everything is hard to the scorer: {SCORER}",
            offenders=[row.sample_id for row in scored if row.ranking > 1 - NEAR],
        ),
        Figure("mean", ranking.get("mean")),
        Figure(
            "spread",
            ranking.get("std"),
            low=bounds.spread,
            param="gates.difficulty.spread",
            advice=f"scores lie close together: {SCORER}",
        ),
        _ties(scored, bounds),
        Figure(
            "perplexity_correlation",
            correlation.get(PERPLEXITY.name),
            low=bounds.perplexity_correlation,
            param="gates.difficulty.perplexity_correlation",
            advice=f"the score disagrees with perplexity: {SCORER}",
        ),
    ]


def _ties(scored: Sequence[ScoredTriplet], bounds: DifficultyGateParams) -> Figure:
    commonest, times = next(iter(Counter(row.ranking for row in scored).most_common(1)), (None, 0))
    return Figure(
        "tied_share",
        share(times, len(scored)),
        high=bounds.tied_share,
        param="gates.difficulty.tied_share",
        advice=f"one score is held by many, whose order is chance: {SCORER}",
        offenders=[row.sample_id for row in scored if row.ranking == commonest],
    )


def _accounts(
    scored: Sequence[ScoredTriplet], rejects: Sequence[Reject], triplets: Sequence[str], bounds: DifficultyGateParams
) -> list[Figure]:
    """Triplets in = scores + rejects, triplet by triplet."""
    found = [row.sample_id for row in scored] + [reject.record_id for reject in rejects]
    advice = "every triplet has a score or a reason for none, and one of them: run dvc repro -f score_difficulty"
    return [
        *accounted("triplets", triplets, found, advice),
        Figure(
            "rejected_share",
            share(len(rejects), len(triplets)),
            high=bounds.rejected_share,
            param="gates.difficulty.rejected_share",
            advice="see the reasons in metrics/score_difficulty.json; difficulty.max_length may be short",
            offenders=[reject.record_id for reject in rejects],
        ),
    ]


def _histogram(scored: Sequence[ScoredTriplet]) -> Distribution:
    counts = Counter(min(int(row.ranking * BINS), BINS - 1) for row in scored)
    total = len(scored) or 1
    return Distribution(
        "Triplets by difficulty, from",
        ["share"],
        [(f"{place / BINS:.2f}", [counts[place] / total]) for place in range(BINS)],
    )
