"""What must hold of the sample: the draw it says it is, no instruction lost, no class much larger for being hard.

In mode proxy also of the order it was drawn in: the teacher is asked for what the sample keeps, and under a proxy that
orders rows by chance that is a random sample, paid for as a selected one.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from compeffdist.artefacts import INSTRUCTIONS, PREDICTED, SAMPLED, SCORED, TRIPLETS, metrics_of
from compeffdist.difficulty.confidence import below_floor, margins
from compeffdist.domain import stage_domain
from compeffdist.gates.balance import Classes, balanced
from compeffdist.gates.expected import (
    REPORTED,
    SOME,
    Bound,
    Columns,
    Expectation,
    accounted,
    aggregate,
    average,
    between,
    count,
    figure,
    no_row,
    row_count,
    share,
    stated,
)
from compeffdist.gates.figures import Figures
from compeffdist.gates.gate import Inputs, Rows
from compeffdist.gates.outcome import Distribution
from compeffdist.given import Given
from compeffdist.instructions.own_tasks import is_own
from compeffdist.params import SamplingParams
from compeffdist.records import Draw

GUARDS = (SAMPLED,)

REDRAW = "run dvc repro -f sample_triplets"
LOST = f"no row of theirs was kept, which chance does not explain: look at sampling.scope, or {REDRAW}"
RATE_TOLERANCE = 1e-6
"""Every method's inclusion probabilities average the rate exactly, but for rounding."""
SHOWN_TASKS = 6


class Correlation(Figures):
    """Of the proxy's order and direct scores."""

    value: float | None = None


class HeldOut(Figures):
    """On rows the proxy was not fitted to."""

    rows: int = 0
    spearman: Correlation = Correlation()
    spearman_within_instruction: Correlation = Correlation()
    chance: dict[str, float | None] = Field(default_factory=dict)


class Predicted(Figures):
    """The proxy's metrics."""

    held_out: HeldOut = HeldOut()


@aggregate
def kept_off_expected(probabilities: Sequence[float], kept: Sequence[bool]) -> float:
    """Rows kept against rows promised, in standard deviations of independent draws; without chance, exactly."""
    deviation = math.sqrt(math.fsum(p * (1 - p) for p in probabilities))
    off = abs(sum(kept) - math.fsum(probabilities))
    return off / deviation if deviation else (0.0 if off < 0.5 else math.inf)


def rows(given: Given) -> Rows:
    return {SAMPLED: tuple(between(column, 0.0, 1.0) for column in ("inclusion_probability", "draw"))}


def expectations(seen: Inputs) -> list[Expectation]:
    draws, bounds = seen[SAMPLED].records, seen.given.params.gates.sample
    return [
        *_accounts(seen, draws),
        *_fairness(seen, draws),
        *_proxy(seen),
        _none_lost(draws, bounds.absence_chance, seen.param("absence_chance")),
        *balanced("monitored", seen, _monitored(seen), bounds.class_rows),
        *balanced("task", seen, _by_task(seen), bounds.class_rows),
    ]


def distributions(seen: Inputs) -> list[Distribution]:
    question = stage_domain(seen.given).monitored.name
    largest = sorted(_by_task(seen).balances(), key=lambda balance: (-sum(balance.before.values()), balance.group))[
        :SHOWN_TASKS
    ]
    return [
        *(balance.distribution(f"{question.capitalize()}, by the teacher") for balance in _monitored(seen).balances()),
        *(balance.distribution(f"Labels of {balance.group}") for balance in largest),
    ]


def _accounts(seen: Inputs, draws: Sequence[Draw]) -> list[Expectation]:
    """A draw for every pair with a difficulty, and no other; kept exactly where it fell below its probability."""
    pairs = [key for artefact in (SCORED, PREDICTED) for key in seen.columns(artefact, "pair_id")[0]]
    drawn = seen[SAMPLED].by("pair_id")
    triplets = {"", *seen.columns(TRIPLETS, "id")[0]}  # of a predicted pair there is none
    orphans = [draw.triplet_id not in triplets for draw in draws]
    against = [draw.kept != (draw.draw < draw.inclusion_probability) for draw in draws]
    return [
        *accounted("pairs", pairs, drawn.keys, f"every scored or predicted pair has one draw: {REDRAW}"),
        no_row("draws_without_triplet", drawn, orphans, f"of no triplet no balance is judged: {REDRAW}"),
        no_row("kept_against_the_draw", drawn, against, f"kept means draw < inclusion probability: {REDRAW}"),
        *_floor(seen, draws),
    ]


def _floor(seen: Inputs, draws: Sequence[Draw]) -> list[Expectation]:
    """No row is left unranked but those that the confidence floor drops, which are looked for anew."""
    share, drawn = seen.given.params.sampling.confidence_floor, seen[SAMPLED].by("pair_id")
    unranked = [draw.rank == 0 for draw in draws]
    expected = [False] * len(draws)
    if share and draws:
        ids, probabilities = seen.columns(TRIPLETS, "id", "probabilities")
        margin_of = dict(zip(ids, margins(pa.array(probabilities, pa.list_(pa.float64()))), strict=True))
        margin = np.array([margin_of.get(draw.triplet_id, math.nan) for draw in draws])
        instructions = np.unique([draw.instruction_id for draw in draws], return_inverse=True)[1]
        expected = below_floor(pa.array(drawn.keys), instructions, margin, share).tolist()
    off = [found != wanted for found, wanted in zip(unranked, expected, strict=True)]
    told = f"a row has no rank exactly where sampling.confidence_floor drops it: {REDRAW}"
    return [count("below_confidence_floor", drawn, unranked), no_row("unranked_otherwise", drawn, off, told)]


def _fairness(seen: Inputs, draws: Sequence[Draw]) -> list[Expectation]:
    """As many rows as the rate promises, and as many kept as their probabilities promise."""
    drawn, kept = seen[SAMPLED].by("pair_id"), [draw.kept for draw in draws]
    expected = math.fsum(draw.inclusion_probability for draw in draws)
    promised = f"{sum(kept)} rows were kept where {expected:.1f} were to be expected: {REDRAW}"
    columns = ["inclusion_probability", "kept"]
    deviations = seen.most("standard_deviations")
    return [
        row_count("rows", drawn),
        count("kept", drawn, kept, SOME, f"nothing was kept: raise sampling.rate, or {REDRAW}"),
        share("kept_share", drawn, kept),
        average("mean_inclusion_probability", drawn, "inclusion_probability", _rate(seen, draws), REDRAW),
        figure("kept_off_expected", drawn, kept_off_expected, columns, deviations, promised),
    ]


def _rate(seen: Inputs, draws: Sequence[Draw]) -> Bound:
    """The mean rate of all rows: those of the user's own tasks at theirs, those below the confidence floor at 0."""
    sampling = seen.given.params.sampling
    own = {instruction.id for instruction in seen.read(INSTRUCTIONS) if is_own(instruction)}
    rates = {True: sampling.own_rate or sampling.rate, False: sampling.rate}
    ranked = [draw.instruction_id in own for draw in draws if draw.rank]
    rate = (
        sum(count * rates[of_own] for of_own, count in Counter(ranked).items()) / len(draws) if draws else rates[False]
    )
    return Bound(rate - RATE_TOLERANCE, rate + RATE_TOLERANCE, param="sampling.rate")


def _proxy(seen: Inputs) -> list[Expectation]:
    """How well the proxy orders held-out rows; in mode direct there is none."""
    if not seen.columns(PREDICTED, "pair_id")[0]:
        return []
    held_out = seen.figures(metrics_of("predict_difficulty"), Predicted).get("held_out", {})
    return proxy_order(held_out, seen.given.params.sampling, seen.most("proxy_chance"))


def proxy_order(held_out: Mapping[str, Any], sampling: SamplingParams, chance: Bound) -> list[Expectation]:
    """How well a proxy orders held-out rows, among those that the sample ranks together, and whether at all."""
    among, correlation = (
        ("overall", "spearman") if sampling.scope == "global" else ("within_instruction", "spearman_within_instruction")
    )
    ordered = sampling.method != "random" and sampling.metric != "random"
    advice = (
        "by the rows held out an order by chance may do as well as the proxy's, and the teacher would be asked for a "
        f"random sample: raise difficulty.proxy.rows (it learnt from {held_out.get('rows', 0)}), or set "
        "difficulty.mode: direct"
    )
    return [
        stated("proxy_correlation", held_out.get(correlation, {}).get("value")),
        stated("proxy_chance", held_out.get("chance", {}).get(among), chance if ordered else REPORTED, advice),
    ]


def _none_lost(draws: Sequence[Draw], absence_chance: float, param: str) -> Expectation:
    """No instruction without a kept row, unless it is so small that chance may do that."""
    chance: defaultdict[str, float] = defaultdict(lambda: 1.0)
    for draw in draws:
        chance[draw.instruction_id] *= 1 - draw.inclusion_probability
    kept = {draw.instruction_id for draw in draws if draw.kept}
    instructions = Columns(sorted(chance))
    lost = [key not in kept and chance[key] < absence_chance for key in instructions.keys]
    return no_row("instructions_lost", instructions, lost, LOST, param)


def _monitored(seen: Inputs) -> Classes:
    """The answered rows that have the domain's label, by it; of a pair whose difficulty was predicted, the answer is
    not known yet."""
    ids, labels, kept = _answered(seen, "monitored")
    places = [place for place, label in enumerate(labels) if label is not None]
    return _classes(places, ids, ["all rows"] * len(ids), labels, kept)


def _by_task(seen: Inputs) -> Classes:
    """The answered rows of each closed task by label."""
    ids, types, instructions, responses, kept = _answered(seen, "task_type", "instruction_id", "response")
    places = [place for place, name in enumerate(types) if name == "closed_classification"]
    return _classes(places, ids, instructions, responses, kept)


def _answered(seen: Inputs, *names: str) -> list[Sequence[Any]]:
    """Of every draw whose triplet is there, its id, these columns of it, and whether it was kept."""
    ids, *columns = seen.columns(TRIPLETS, "id", *names)
    place_of = {key: place for place, key in enumerate(ids)}
    drawn = [(place_of[d.triplet_id], d.kept) for d in seen[SAMPLED].records if d.triplet_id in place_of]
    return [*([column[place] for place, _ in drawn] for column in (ids, *columns)), [kept for _, kept in drawn]]


def _classes(places: Sequence[int], *columns: Sequence[Any]) -> Classes:
    """Of these rows: keys, groups, classes, kept."""
    return Classes(*([column[place] for place in places] for column in columns))
