"""Agreement of student and teacher: which rows, how they are drawn, and figures against slow or other people's ones."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from compeffdist.errors import UserError
from compeffdist.evaluation.agreement import (
    OTHERS,
    PRIORS_IN,
    PRIORS_OUT,
    REFERENCE_TEXTS,
    Asking,
    Judged,
    Resampling,
    figures,
    judge,
    plan,
    report,
)
from compeffdist.evaluation.answered import (
    UNSCORED,
    Answered,
    AnsweredRow,
    answered_rows,
    bins_of,
    decile_bins,
    draw_even,
)
from compeffdist.evaluation.measuring import account
from compeffdist.records import Instruction, by_id
from tests.factories import LABELS, make_draw, make_instruction, make_score, make_task, make_text, make_triplet

HOW = Resampling(resamples=400, confidence=0.95, seed=3)


def row(number: int, score: float | None = 0.5, **fields: Any) -> AnsweredRow:
    triplet = make_triplet(fields.pop("instruction", None), make_text(f"text {number}"), **fields.pop("triplet", {}))
    return AnsweredRow(triplet, score, **({"seen": False, "perspective": "battery life"} | fields))


# ---------------------------------------------------------------- which rows


def test_rows_are_those_answered_with_a_label_and_know_whether_they_were_kept() -> None:
    closed, scale = make_instruction(), make_instruction(make_task("scoring"))
    words = make_instruction(make_task("extraction"))
    answers = [(closed, "bad"), (scale, "4"), (words, "[]")]
    made = [make_triplet(one, make_text(f"text {n}"), response=a) for one, a in answers for n in range(3)]
    scores = [make_score(one, 0.25) for one in made if one != made[0]]
    draws = [make_draw(score, kept=score.triplet_id in (made[1].id, made[-1].id)) for score in scores]
    found = answered_rows(made, draws, scores, by_id([closed, scale, words]), {closed.perspective_id: "screen"})
    assert {one.triplet.id for one in found.rows} == {one.id for one in made[:6]}
    assert [one.triplet.id for one in found.rows if one.seen] == [made[1].id]
    assert [one.triplet.id for one in found.rows if one.score is None] == [made[0].id]
    assert found.free == {True: 1, False: 2}
    assert found.labels == {closed.id: ("good", "bad"), scale.id: ("1", "2", "3", "4", "5")}
    assert {one.perspective for one in found.rows} == {"screen"}


def test_rows_below_the_confidence_floor_are_not_unseen_by_chance_and_are_counted() -> None:
    closed = make_instruction()
    made = [make_triplet(closed, make_text(f"text {n}"), response="bad") for n in range(4)]
    scores = [make_score(one, 0.25) for one in made]
    draws = [make_draw(score, kept=False, **({"rank": 0} if n < 2 else {})) for n, score in enumerate(scores)]
    found = answered_rows(made, draws, scores, by_id([closed]), {closed.perspective_id: "screen"})
    assert {one.triplet.id for one in found.rows} == {one.id for one in made[2:]}
    told = account(found, {"unseen": found.rows})
    assert (told["in"], told["left_out"]["below_the_confidence_floor"]) == (4, 2)


def test_a_task_without_perspective_stands_for_one() -> None:
    own = make_instruction(make_task(perspective_id="", name="my own"))
    found = answered_rows([make_triplet(own)], [], [], by_id([own]), {})
    assert [one.perspective for one in found.rows] == ["my own"]


def test_artefacts_of_two_runs_are_one_line() -> None:
    one, other = make_triplet(), make_triplet(text=make_text("another"))
    there = by_id([make_instruction()])
    with pytest.raises(UserError, match=r"data/sampled\.parquet: .* they are of two runs"):
        answered_rows([one], [make_draw(make_score(other))], [], there, {})
    with pytest.raises(UserError, match=r"data/scored\.parquet: .* they are of two runs"):
        answered_rows([one], [], [make_score(other)], there, {})
    with pytest.raises(UserError, match=r"not in data/instructions\.jsonl"):
        answered_rows([one], [], [], {}, {})


# ---------------------------------------------------------------- deciles and the draw


def test_deciles_that_share_a_score_are_one() -> None:
    scores = np.array([0.0] * 25 + [0.01 * n for n in range(1, 76)])
    bins = decile_bins(scores)
    assert [one.name for one in bins] == ["1-2", "3", "4", "5", "6", "7", "8", "9", "10"]
    assert (bins[0].lowest, bins[0].highest, bins[1].lowest) == (0.0, 0.0, 0.01)
    rows = [row(n, score) for n, score in enumerate([0.0, 0.05, 0.06, 0.75, 9.0, None])]
    assert bins_of(rows, bins).tolist() == [0, 1, 2, 8, 8, UNSCORED]


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7, 1.0]), min_size=1, max_size=60))
def test_every_decile_is_in_one_bin_and_every_score_within_its_own(scores: list[float]) -> None:
    bins = decile_bins(np.array(scores))
    assert [n for one in bins for n in range(one.first, one.last + 1)] == list(range(1, 11))
    rows = [row(n, score) for n, score in enumerate(scores)]
    for place, score in zip(bins_of(rows, bins), scores, strict=True):
        assert bins[place].lowest <= score <= bins[place].highest


def test_a_draw_is_even_over_deciles_and_by_ids_and_seed_alone() -> None:
    rows = [row(n, n / 200) for n in range(200)] + [row(n, None) for n in range(200, 230)]
    bins = decile_bins(np.array([n / 200 for n in range(200)]))
    drawn = draw_even(rows, bins, 55, seed=1)
    counts = np.bincount(bins_of(drawn, bins) + 1)
    assert counts.tolist() == [5] * 11  # those without a score are a decile more
    ids = {one.triplet.id for one in drawn}
    assert {one.triplet.id for one in draw_even(rows[::-1], bins, 55, seed=1)} == ids
    assert {one.triplet.id for one in draw_even(rows, bins, 55, seed=2)} != ids
    assert draw_even(rows, bins, 1000, seed=1) == rows


def test_deciles_that_are_one_are_drawn_as_often_as_there_are_of_them() -> None:
    scores = [0.0] * 60 + [0.5 + n / 1000 for n in range(140)]
    rows, bins = [row(n, score) for n, score in enumerate(scores)], decile_bins(np.array(scores))
    assert bins[0].name == "1-3"
    assert np.bincount(bins_of(draw_even(rows, bins, 50, seed=1), bins)).tolist() == [15, 5, 5, 5, 5, 5, 5, 5]


# ---------------------------------------------------------------- what models say


def asking_of(teacher: Sequence[str], drawn: Sequence[int] = (), instruction: Instruction | None = None) -> Asking:
    rows = [row(n, triplet={"response": label}, instruction=instruction) for n, label in enumerate(teacher)]
    answered = Answered(rows, {rows[0].triplet.instruction_id: tuple(LABELS)}, {})
    return plan(answered, [rows[n] for n in drawn] or rows, seed=1)


def saying(good: Mapping[str, float]) -> Any:
    """A scorer by what stands in the prompt -> probability of `good`."""

    def score(prompts: Sequence[str], labels: tuple[str, ...]) -> list[dict[str, float]]:
        assert labels == tuple(LABELS)
        found = [next(p for text, p in good.items() if f"{text}\n" in f"{prompt}\n") for prompt in prompts]
        return [{"good": math.log(p), "bad": math.log(1 - p)} for p in found]

    return score


def test_kappa_of_one_question_is_scikit_learn_s() -> None:
    teacher = ["good", "good", "bad", "good", "bad", "good", "good", "good"]
    good = {f"text {n}": p for n, p in enumerate([0.9, 0.8, 0.3, 0.4, 0.6, 0.9, 0.7, 0.2])}
    own = judge(asking_of(teacher), saying(good), strength=0.0)
    said = ["good" if p > 0.5 else "bad" for p in good.values()]
    judged = dict.fromkeys(("base", "student"), own)
    found = figures(judged, np.arange(8), "all", HOW)[PRIORS_IN]["student"]
    assert found["kappa"]["estimate"] == pytest.approx(cohen_kappa_score(teacher, said))
    assert found["equal"]["estimate"] == pytest.approx(np.mean([a == b for a, b in zip(teacher, said, strict=True)]))


def test_a_model_that_says_one_label_to_every_text_of_a_question_has_no_kappa_to_show() -> None:
    """Over all labels of both questions at once, kappa would show a lot."""
    verdict, mood = make_instruction(), make_instruction(make_task(name="mood", labels=["sad", "glad"]))
    teacher = [(verdict, ["good"] * 8 + ["bad"] * 2), (mood, ["sad"] * 8 + ["glad"] * 2)]
    rows = [
        row(n, triplet={"response": label}, instruction=one)
        for one, labels in teacher
        for n, label in enumerate(labels)
    ]
    asking = plan(Answered(rows, {one.id: tuple(one.labels) for one, _ in teacher}, {}), rows, seed=1)

    def first(prompts: Sequence[str], labels: tuple[str, ...]) -> list[dict[str, float]]:
        return [{label: math.log(0.9 if label == labels[0] else 0.1) for label in labels} for _ in prompts]

    own = judge(asking, first, strength=0.0)
    found = figures({"base": own, "student": own}, np.arange(20), "all", HOW)[PRIORS_IN]["student"]
    assert found["equal"]["estimate"] == pytest.approx(0.8)
    assert found["kappa"]["estimate"] == pytest.approx(0.0)
    labels = [one.triplet.response for one in rows]
    assert cohen_kappa_score(labels, ["good"] * 10 + ["sad"] * 10) == pytest.approx(2 / 3)


def test_a_liking_for_a_label_is_taken_out_and_stays_where_it_is_not() -> None:
    # good whatever the text, and more of it where the teacher says it
    teacher = ["good", "bad"] * 4
    good = {f"text {n}": 0.95 if label == "good" else 0.7 for n, label in enumerate(teacher)}
    own = judge(asking_of(teacher), saying(good), strength=1.0)
    assert own[PRIORS_OUT].equal.tolist() == [1.0] * 8
    assert own[PRIORS_IN].equal.tolist() == [1.0, 0.0] * 4
    assert judge(asking_of(teacher), saying(good), strength=0.0)[PRIORS_OUT].equal.tolist() == [1.0, 0.0] * 4


def test_a_prior_is_of_texts_of_the_question_whichever_rows_were_drawn() -> None:
    teacher = ["good", "bad"] * 15
    good = {f"text {n}": 0.95 if label == "good" else 0.7 for n, label in reversed(list(enumerate(teacher)))}
    whole, part = asking_of(teacher), asking_of(teacher, drawn=[0, 1, 2])
    [key] = whole.reference
    assert whole.reference == part.reference and len(whole.reference[key]) == REFERENCE_TEXTS
    assert len(whole) == 30 and REFERENCE_TEXTS <= len(part) <= REFERENCE_TEXTS + 3
    ours, theirs = (judge(one, saying(good), strength=1.0)[PRIORS_OUT] for one in (whole, part))
    assert ours.equal[:3].tolist() == theirs.equal.tolist()


def test_every_question_is_asked_once_with_the_prompts_of_training() -> None:
    asked: list[str] = []

    def score(prompts: Sequence[str], labels: tuple[str, ...]) -> list[dict[str, float]]:
        asked.extend(prompts)
        return [dict.fromkeys(labels, math.log(0.5)) for _ in prompts]

    asking = asking_of(["good", "bad", "good"], drawn=[2])
    judge(asking, score, strength=1.0)
    assert sorted(asked) == sorted(one.triplet.prompt for one in next(iter(asking.reference.values())))
    assert len(asked) == len(asking) == 3


# ---------------------------------------------------------------- figures


def judgements(student: Sequence[float], base: Sequence[float]) -> dict[str, dict[str, Judged]]:
    half = np.full(len(student), 0.5)
    return {
        name: {reading: Judged(np.array(equal, float), half) for reading in (PRIORS_OUT, PRIORS_IN)}
        for name, equal in (("student", student), ("base", base))
    }


def test_intervals_are_those_of_rows_drawn_one_by_one_and_differences_are_paired() -> None:
    generator = np.random.default_rng(0)
    student, base = generator.random(80) < 0.7, generator.random(80) < 0.4
    found = figures(judgements(student, base), np.arange(80), "all", Resampling(4000, 0.95, 1))[PRIORS_OUT]
    places = np.random.default_rng(5).integers(0, 80, (4000, 80))
    for name, values in (("student", student), ("student_minus_base", student.astype(float) - base)):
        drawn = values[places].mean(axis=1)
        assert found[name]["equal"]["estimate"] == pytest.approx(values.mean())
        assert found[name]["equal"]["low"] == pytest.approx(np.percentile(drawn, 2.5), abs=0.02)
        assert found[name]["equal"]["high"] == pytest.approx(np.percentile(drawn, 97.5), abs=0.02)
    same = figures(judgements(student, student), np.arange(80), "all", HOW)[PRIORS_OUT]["student_minus_base"]
    assert set(same["equal"].values()) == {0.0}


def test_where_chance_is_all_there_is_there_is_no_kappa() -> None:
    certain = {reading: Judged(np.ones(3), np.ones(3)) for reading in (PRIORS_OUT, PRIORS_IN)}
    found = figures({"base": certain, "student": certain}, np.arange(3), "all", HOW)[PRIORS_OUT]["student"]
    assert found["kappa"] is None and found["equal"]["estimate"] == 1.0


def test_few_rows_of_a_perspective_are_pooled_and_every_row_is_in_one_line_of_each_kind() -> None:
    names = ["screen"] * 6 + ["battery"] * 4 + ["plot"] * 2 + ["cast"]
    scores = [n / 20 for n in range(12)]
    rows = [row(n, score, perspective=name) for n, (name, score) in enumerate(zip(names, [*scores, None], strict=True))]
    judged = judgements([1.0] * 13, [0.0] * 13)
    found = report(rows, judged, decile_bins(np.array(scores)), 4, HOW)
    told = [(one["perspective"], one["rows"]) for one in found["perspectives"]]
    assert told == [("screen", 6), ("battery", 4), (OTHERS, 3)] and found["perspectives"][-1]["pooled"] == 2
    assert found["deciles"][-1]["decile"] == "no score" and found["deciles"][-1]["rows"] == 1
    assert sum(one["rows"] for one in found["deciles"]) == found["all"]["rows"] == 13
