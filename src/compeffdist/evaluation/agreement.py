"""How far a student says what its teacher says, of rows that were drawn (`answered`): the figures.

A model is asked for the likelihood of each label by the prompt that training used. As in evaluation, its liking for
some labels is taken out (`label_priors`), the prior of a question being estimated from the model's own answers to texts
that the run asked it of, seen or not, the teacher's answers to them unused; figures with nothing taken out are beside.

Agreement is the share of rows with the teacher's label, and Cohen's kappa. Rows are of many questions with labels of
their own, so that chance is taken question by question: the chance of a row is what teacher and model would agree on by
how often each gives each label of that question, over the texts asked,

    chance_i = sum over labels l of P_teacher(l | question) * P_model(l | question)
    kappa    = sum_i (equal_i - chance_i) / sum_i (1 - chance_i)

For one question whose rows are all judged it is Cohen's kappa (Cohen 1960); over questions, the mean of theirs with the
weights of Barlow et al. (1991). Chance over all labels of all questions at once would be next to nothing, and would
flatter a model that says one label to all texts of a question.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.difficulty.sampling import uniform_draws
from compeffdist.evaluation.answered import UNSCORED, Answered, AnsweredRow, Bin, bins_of
from compeffdist.evaluation.bootstrap import interval_of
from compeffdist.evaluation.predictions import Scorer
from compeffdist.label_priors import calibrate, estimate_prior, likeliest
from compeffdist.seeds import stage_seed

SYSTEMS = ("base", "student")
PRIORS_OUT, PRIORS_IN = "priors_out", "priors_in"
REFERENCE_TEXTS = 20
"""Texts of a question, at most, over which its prior and chance agreement are taken."""
OTHERS = "others"


@dataclass(frozen=True)
class Asking:
    """What a model is asked: the drawn rows, and of each of their questions the texts that a prior is taken from."""

    drawn: list[AnsweredRow]
    reference: Mapping[str, list[AnsweredRow]]
    """By instruction id."""
    labels: Mapping[str, tuple[str, ...]]

    def rows(self, instruction_id: str) -> list[AnsweredRow]:
        """Those of a question, each once."""
        own = {row.triplet.id: row for row in self.drawn if row.triplet.instruction_id == instruction_id}
        return list((own | {row.triplet.id: row for row in self.reference[instruction_id]}).values())

    def __len__(self) -> int:
        """Prompts in all."""
        return sum(len(self.rows(key)) for key in self.reference)


def plan(answered: Answered, drawn: Sequence[AnsweredRow], seed: int) -> Asking:
    """What is asked for drawn rows; which texts a question's prior is taken from is drawn by `seed`, whatever rows
    were drawn."""
    wanted, by_question = {row.triplet.instruction_id for row in drawn}, defaultdict[str, list[AnsweredRow]](list)
    for row in answered.rows:
        if row.triplet.instruction_id in wanted:
            by_question[row.triplet.instruction_id].append(row)
    reference = {}
    for key, rows in sorted(by_question.items()):
        order = np.argsort(uniform_draws([row.triplet.id for row in rows], seed), kind="stable")
        reference[key] = [rows[place] for place in order[:REFERENCE_TEXTS].tolist()]
    return Asking(list(drawn), reference, answered.labels)


@dataclass(frozen=True)
class Judged:
    """One model on the drawn rows, in their order."""

    equal: Floats
    """(n,) 1 where it says what the teacher says, else 0."""
    chance: Floats
    """(n,) what would be equal by chance."""

    def of(self, rows: slice) -> "Judged":
        """A part of the rows."""
        return Judged(self.equal[rows], self.chance[rows])


def judge(asking: Asking, score: Scorer, strength: float) -> dict[str, Judged]:
    """Ask a model; `strength` is how much of its priors is taken out. Raises UserError as the scorer does.

    Returns:
        PRIORS_OUT and PRIORS_IN -> what came of it.
    """
    likelihoods: dict[str, dict[str, Mapping[str, float]]] = {}
    for key in asking.reference:
        rows = asking.rows(key)
        said = score([row.triplet.prompt for row in rows], asking.labels[key])
        likelihoods[key] = {row.triplet.id: one for row, one in zip(rows, said, strict=True)}
    readings = {PRIORS_OUT: strength, PRIORS_IN: 0.0}
    return {reading: _judged(asking, likelihoods, taken) for reading, taken in readings.items()}


def _judged(asking: Asking, likelihoods: Mapping[str, Mapping[str, Mapping[str, float]]], strength: float) -> Judged:
    said: dict[str, str] = {}
    for key, own in likelihoods.items():
        decided = _decide(own, [row.triplet.id for row in asking.reference[key]], strength)
        said |= decided
    equal = [float(said[row.triplet.id] == row.triplet.response) for row in asking.drawn]
    chance = [_chance(row, asking.reference[row.triplet.instruction_id], said) for row in asking.drawn]
    return Judged(np.array(equal), np.array(chance))


def _decide(own: Mapping[str, Mapping[str, float]], reference: Sequence[str], strength: float) -> dict[str, str]:
    prior = estimate_prior([own[key] for key in reference]) if strength else {}
    if prior:
        left = calibrate(list(own.values()), prior, strength)
        return {key: likeliest(one) for key, one in zip(own, left, strict=True)}
    return {key: likeliest(one) for key, one in own.items()}


def _chance(row: AnsweredRow, reference: Sequence[AnsweredRow], said: Mapping[str, str]) -> float:
    """Over the question's texts, the row's own among them."""
    texts = {one.triplet.id: one for one in [*reference, row]}
    teacher = Counter(one.triplet.response for one in texts.values())
    model = Counter(said[key] for key in texts)
    return sum(count * model[label] for label, count in teacher.items()) / len(texts) ** 2


# ---------------------------------------------------------------- figures

Judgements = Mapping[str, Mapping[str, Judged]]
"""System -> reading -> what came of it."""


@dataclass(frozen=True)
class Resampling:
    """How intervals are had: rows drawn with replacement, by percentiles."""

    resamples: int
    confidence: float
    seed: int


def figures(judged: Judgements, places: Integers, name: str, how: Resampling) -> dict[str, Any]:
    """Of some rows: how many, and by reading and system `equal` and `kappa` with intervals, the student's less the
    base's in `student_minus_base`; a kappa that is not defined is null. Resamples draw the same rows for both.

    Args:
        places: of the rows among those judged, at least one.
        name: seeds the resampling.
    """
    n = len(places)
    generator = np.random.default_rng(stage_seed(how.seed, f"bootstrap:{name}"))
    weights = np.concatenate([np.ones((1, n)), generator.multinomial(n, np.full(n, 1.0 / n), size=how.resamples)])
    found: dict[str, Any] = {"rows": n}
    for reading in (PRIORS_OUT, PRIORS_IN):
        sampled = {system: _sampled(judged[system][reading], places, weights) for system in SYSTEMS}
        base, student = (sampled[system] for system in SYSTEMS)
        sampled["student_minus_base"] = {metric: student[metric] - base[metric] for metric in student}
        found[reading] = {
            system: {metric: interval(values, how.confidence) for metric, values in own.items()}
            for system, own in sampled.items()
        }
    return found


def _sampled(judged: Judged, places: Integers, weights: Floats) -> dict[str, Floats]:
    """Of the rows as they are, then of each resample: (1 + resamples,); kappa is NaN where chance is all there is."""
    equal, chance = judged.equal[places], judged.chance[places]
    room = weights @ (1.0 - chance)
    kappa = np.full(len(weights), np.nan)
    np.divide(weights @ (equal - chance), room, out=kappa, where=room > 1e-9)
    return {"equal": weights @ equal / len(places), "kappa": kappa}


def interval(sampled: Floats, confidence: float) -> dict[str, float] | None:
    if math.isnan(sampled[0]):
        return None
    defined = sampled[np.isfinite(sampled)]
    # of one row kappa may be defined in no resample but that of the row itself
    return asdict(interval_of([defined if len(defined) > 1 else np.repeat(defined, 2)], confidence))


def report(
    rows: Sequence[AnsweredRow], judged: Judgements, bins: Sequence[Bin], least: int, how: Resampling
) -> dict[str, Any]:
    """The figures of rows, all of them either seen or not.

    Args:
        rows: as they were judged, at least one.
        least: rows of a perspective to stand alone; those with fewer are one line, OTHERS.

    Returns:
        `all`: as `figures`; `deciles` and `perspectives`: lists of the same, each saying what it is of.
    """
    own = bins_of(rows, bins)
    deciles = []
    for number in [*range(len(bins)), UNSCORED]:
        places = np.flatnonzero(own == number)
        if len(places):
            of = None if number == UNSCORED else bins[number]
            name = "no score" if of is None else of.name
            bounds = {} if of is None else {"first": of.first, "last": of.last, "bounds": [of.lowest, of.highest]}
            deciles.append({"decile": name, **bounds, **figures(judged, places, f"decile {name}", how)})
    return {
        "all": figures(judged, np.arange(len(rows)), "all", how),
        "deciles": deciles,
        "perspectives": _perspectives(rows, judged, least, how),
    }


def _perspectives(rows: Sequence[AnsweredRow], judged: Judgements, least: int, how: Resampling) -> list[dict[str, Any]]:
    counts = Counter(row.perspective for row in rows)
    alone = sorted((name for name, count in counts.items() if count >= least), key=lambda name: (-counts[name], name))
    names = np.array([row.perspective if counts[row.perspective] >= least else "" for row in rows])
    made = [
        {"perspective": name, **figures(judged, np.flatnonzero(names == name), f"perspective {name}", how)}
        for name in alone
    ]
    if len(rest := np.flatnonzero(names == "")):
        pooled = {"perspective": OTHERS, "pooled": len(counts) - len(alone)}
        made.append(pooled | figures(judged, rest, "other perspectives", how))
    return made
