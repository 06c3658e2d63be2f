"""What must hold of the sample: the draw it says it is, no instruction lost, no class swelled by its difficulty.

In mode proxy also of the order it was drawn in: the teacher is asked for what the sample keeps, and under a proxy that
orders rows by chance that is a random sample, paid for as a selected one.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from compeffdist.artefacts import INSTRUCTIONS, PREDICTED, SAMPLED, SCORED, TRIPLETS, metrics_of
from compeffdist.domain import stage_domain
from compeffdist.gates.balance import Balance, balance_figures, balance_of
from compeffdist.gates.expected import Figure, accounted, between, none_of, share
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import read_table
from compeffdist.given import Given
from compeffdist.instructions.own_tasks import is_own
from compeffdist.params import SampleGateParams, SamplingParams
from compeffdist.records import Draw, Triplet, by_id

GUARDS = (SAMPLED,)

REDRAW = "run dvc repro -f sample_triplets"
RATE_TOLERANCE = 1e-6
"""Every method's inclusion probabilities average the rate exactly, but for rounding."""
SHOWN_TASKS = 6


def gather(given: Given) -> Evidence:
    """Draws, the difficulties they were made from, the triplets with their classes, and the proxy's report.

    Raises:
        UserError: if one of them cannot be read.
    """
    bounds, sampling = given.params.gates.sample, given.params.sampling
    unit = [between("sampled", column, 0.0, 1.0) for column in ("inclusion_probability", "draw")]
    sampled = read_table(given, SAMPLED, unit)
    scored = {row.pair_id for row in given[SCORED]}
    predicted = {row.pair_id for row in given[PREDICTED]}
    triplets = by_id(given[TRIPLETS])
    proxy = _proxy_figures(given[metrics_of("predict_difficulty")], bounds, sampling) if predicted else []
    question = stage_domain(given).monitored.name
    own = {instruction.id for instruction in given[INSTRUCTIONS] if is_own(instruction)}
    return Evidence(
        [sampled],
        lambda: _measure(
            sampled.records,
            scored | predicted,
            triplets,
            bounds,
            _rate(sampled.records, sampling, own),
            proxy,
            question,
        ),
    )


def _rate(draws: Sequence[Draw], sampling: SamplingParams, own: Collection[str]) -> float:
    """The mean rate of all rows, those of the user's own tasks at theirs."""
    own_rate = sampling.rate if sampling.own_rate is None else sampling.own_rate
    of_own = sum(draw.instruction_id in own for draw in draws)
    return (of_own * own_rate + (len(draws) - of_own) * sampling.rate) / len(draws) if draws else sampling.rate


def _measure(
    draws: Sequence[Draw],
    pairs: set[str],
    triplets: Mapping[str, Triplet],
    bounds: SampleGateParams,
    rate: float,
    proxy: Sequence[Figure],
    question: str,
) -> Measured:
    monitored, tasks = _balances(draws, triplets)
    figures = [
        *_accounts(draws, pairs),
        *_fairness(draws, bounds, rate),
        *proxy,
        _lost_instructions(draws, bounds),
        *balance_figures("monitored", monitored, bounds),
        *balance_figures("task", tasks, bounds),
    ]
    largest = sorted(tasks, key=lambda balance: (-sum(balance.before.values()), balance.group))[:SHOWN_TASKS]
    return Measured(
        figures,
        [
            *(balance.distribution(f"{question.capitalize()}, by the teacher") for balance in monitored),
            *(balance.distribution(f"Labels of {balance.group}") for balance in largest),
        ],
    )


def _accounts(draws: Sequence[Draw], pairs: set[str]) -> list[Figure]:
    """A draw for every pair with a difficulty, and no other; kept exactly where it fell below its probability."""
    against = [draw.pair_id for draw in draws if draw.kept != (draw.draw < draw.inclusion_probability)]
    return [
        *accounted(
            "pairs", pairs, [draw.pair_id for draw in draws], f"every scored or predicted pair has one draw: {REDRAW}"
        ),
        none_of("kept_against_the_draw", against, f"kept means draw < inclusion probability: {REDRAW}"),
    ]


def _fairness(draws: Sequence[Draw], bounds: SampleGateParams, rate: float) -> list[Figure]:
    """Rows kept against rows promised, in standard deviations of independent draws; without chance, exactly."""
    probabilities = [draw.inclusion_probability for draw in draws]
    expected = math.fsum(probabilities)
    kept = sum(draw.kept for draw in draws)
    deviation = math.sqrt(math.fsum(p * (1 - p) for p in probabilities))
    off = abs(kept - expected)
    mean = expected / len(draws) if draws else None
    return [
        Figure("rows", len(draws)),
        Figure("kept", kept, low=1, advice=f"nothing was kept: raise sampling.rate, or {REDRAW}"),
        Figure("kept_share", share(kept, len(draws))),
        Figure(
            "mean_inclusion_probability",
            mean,
            low=rate - RATE_TOLERANCE,
            high=rate + RATE_TOLERANCE,
            param="sampling.rate",
            advice=REDRAW,
        ),
        Figure(
            "kept_off_expected",
            off / deviation if deviation else (0.0 if off < 0.5 else math.inf),
            high=bounds.standard_deviations,
            param="gates.sample.standard_deviations",
            advice=f"{kept} rows were kept where {expected:.1f} were to be expected: {REDRAW}",
        ),
    ]


def _proxy_figures(report: Mapping[str, Any], bounds: SampleGateParams, sampling: SamplingParams) -> list[Figure]:
    """How well the proxy orders held-out rows, among those that the sample ranks together, and whether at all."""
    held_out = report.get("held_out", {})
    among, correlation = (
        ("overall", "spearman") if sampling.scope == "global" else ("within_instruction", "spearman_within_instruction")
    )
    ordered = sampling.method != "random" and sampling.metric != "random"
    return [
        Figure("proxy_correlation", held_out.get(correlation, {}).get("value")),
        Figure(
            "proxy_chance",
            held_out.get("chance", {}).get(among),
            high=bounds.proxy_chance if ordered else None,
            param="gates.sample.proxy_chance",
            advice="by the rows held out an order by chance may do as well as the proxy's, and the teacher would be "
            f"asked for a random sample: raise difficulty.proxy.rows (it learnt from {held_out.get('rows', 0)}), or "
            "set difficulty.mode: direct",
        ),
    ]


def _lost_instructions(draws: Sequence[Draw], bounds: SampleGateParams) -> Figure:
    """Instructions without a kept row, unless they are so small that chance may do that."""
    chance: defaultdict[str, float] = defaultdict(lambda: 1.0)
    for draw in draws:
        chance[draw.instruction_id] *= 1 - draw.inclusion_probability
    kept = {draw.instruction_id for draw in draws if draw.kept}
    lost = sorted(key for key, none in chance.items() if key not in kept and none < bounds.absence_chance)
    return Figure(
        "instructions_lost",
        len(lost),
        high=0,
        param="gates.sample.absence_chance",
        advice=f"no row of theirs was kept, which chance does not explain: look at sampling.scope, or {REDRAW}",
        offenders=lost,
    )


def _balances(draws: Sequence[Draw], triplets: Mapping[str, Triplet]) -> tuple[list[Balance], list[Balance]]:
    """Balance of the monitored label over all answered rows that have one, and of the labels of each closed task: of a
    pair whose difficulty was predicted, the answer is not known yet."""
    rows = [(triplets[draw.sample_id], draw.kept) for draw in draws if draw.sample_id in triplets]
    by_task: defaultdict[str, list[tuple[str, str, bool]]] = defaultdict(list)
    for triplet, kept in rows:
        if triplet.task_type == "closed_classification":
            by_task[triplet.instruction_id].append((triplet.id, triplet.response, kept))
    labelled = [(triplet.id, triplet.monitored, kept) for triplet, kept in rows if triplet.monitored is not None]
    monitored = balance_of("all rows", labelled)
    tasks = [balance_of(key, group) for key, group in sorted(by_task.items())]
    return [monitored] if monitored else [], [balance for balance in tasks if balance]
