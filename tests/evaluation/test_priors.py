"""Label priors of evaluation tasks: from the answers to a task's own texts, without a gold label."""

import dataclasses
import math
from collections.abc import Sequence

import pytest

from compeffdist.evaluation.predictions import predict_rows
from compeffdist.evaluation.priors import estimate_priors, take_out
from compeffdist.evaluation.summary import SYSTEMS, summarise
from compeffdist.evaluation.table import priors_line
from compeffdist.label_priors import estimate_prior
from compeffdist.params import EvaluationParams, EvaluationTask, LabelPriorsParams
from compeffdist.texts.draw import draw_texts
from tests.factories import make_prediction, make_row, make_text

LABELS = ["good", "bad"]
MOOD = EvaluationTask(name="mood", location="x.jsonl", question="How is it?", labels=LABELS, rows=40)
ROWS = [make_row("mood", f"mood {n}", LABELS[n % 2]) for n in range(40)]
PARAMS = EvaluationParams(tasks=[MOOD], bootstrap=100)


def leaning(prompts: Sequence[str], labels: tuple[str, ...]) -> list[dict[str, float]]:
    """Says the first label far too often, but less where it is wrong (odd numbers)."""
    rows = []
    for prompt in prompts:
        number = int(prompt.split("Input: ")[1].split("\n")[0].split()[-1])
        first = 0.95 if number % 2 == 0 else 0.7
        rows.append({labels[0]: math.log(first), labels[1]: math.log(1 - first)})
    return rows


def always(prompts: Sequence[str], labels: tuple[str, ...]) -> list[dict[str, float]]:
    """Says the first label to everything, as likely each time: nothing is left once that is taken out."""
    return [{labels[0]: math.log(0.9), labels[1]: math.log(0.1)}] * len(prompts)


def test_texts_are_drawn_evenly_over_domains_whatever_their_order() -> None:
    texts = [make_text(f"own {n}", domain=f"d{n % 4}") for n in range(40)]
    drawn = draw_texts(texts, LabelPriorsParams(texts=8), seed=1)
    assert drawn == draw_texts(texts[::-1], LabelPriorsParams(texts=8), seed=1)
    domains = [text.domain for text in texts if text.text in drawn]
    assert sorted(domains) == ["d0", "d0", "d1", "d1", "d2", "d2", "d3", "d3"]
    assert draw_texts(texts, LabelPriorsParams(texts=8, strength=0.0), seed=1) == []


def test_a_tasks_prior_is_the_mean_over_its_own_rows_of_one_system() -> None:
    other = EvaluationTask(name="other", location="x.jsonl", question="Well?", labels=LABELS, rows=40)
    given = predict_rows(ROWS, PARAMS, "base", "b", leaning)
    elsewhere = [dataclasses.replace(answer, id="", task="other", probabilities=[0.5, 0.5]) for answer in given]
    priors = estimate_priors([*given, *elsewhere], [MOOD, other])
    # 20 rows of 0.95 and 20 of 0.7
    good, bad = (mean ** (40 / 41) for mean in (0.825, 0.175))
    assert priors["mood"] == pytest.approx({"good": good / (good + bad), "bad": bad / (good + bad)}, abs=1e-6)
    assert priors["other"] == {"good": 0.5, "bad": 0.5}


def test_a_prior_is_of_the_answers_that_have_likelihoods() -> None:
    chosen = {"good": 0.0, "bad": -math.inf}
    weighed = {"good": math.log(0.25), "bad": math.log(0.75)}
    assert estimate_prior([chosen, weighed, chosen]) == estimate_prior([weighed])
    # of one text, the square root
    good, bad = math.sqrt(0.25), math.sqrt(0.75)
    assert estimate_prior([weighed]) == pytest.approx(
        {"good": good / (good + bad), "bad": bad / (good + bad)}, abs=1e-6
    )
    assert estimate_prior([chosen]) == estimate_prior([]) == {}


def test_taking_a_prior_out_changes_labels_and_leaves_likelihoods() -> None:
    given = predict_rows(ROWS, PARAMS, "base", "b", leaning)
    taken = take_out(given, [MOOD], 1.0)
    assert {p.predicted for p in given} == {"good"}
    assert [p.predicted for p in taken] == [p.gold for p in given]
    assert [(p.id, p.probabilities) for p in taken] == [(p.id, p.probabilities) for p in given]
    assert take_out(taken, [MOOD], 0.0) == given


def test_a_chosen_label_stands_whatever_the_prior() -> None:
    chosen = make_prediction(ROWS[0], "teacher")
    weighed = [dataclasses.replace(chosen, id="", row_id=f"r{n}", probabilities=[0.9, 0.1]) for n in range(20)]
    assert estimate_priors([chosen], [MOOD]) == {}
    assert take_out([chosen, *weighed], [MOOD], 1.0)[0] == chosen


def test_figures_are_given_with_and_without_priors_and_at_several_strengths() -> None:
    given = {system: predict_rows(ROWS, PARAMS, system, system, leaning) for system in SYSTEMS}
    given["base"] = predict_rows(ROWS, PARAMS, "base", "base", always)
    given["teacher"] = predict_rows(ROWS, PARAMS, "teacher", "teacher", always)
    summary = summarise(given, PARAMS, 1, 0.9)
    assert summary["label_priors"]["student"] == estimate_priors(given["student"], [MOOD])
    assert list(summary["by_strength"]) == ["0", "0.5", "0.9", "1"]
    assert summary["mean"]["macro_f1"]["student"]["estimate"] == 1.0
    assert summary["without_priors"]["mean"]["macro_f1"]["student"]["estimate"] == pytest.approx(1 / 3)
    assert summary["headline"]["gain_over_base"] == pytest.approx(2 / 3)
    assert summary["by_strength"]["0.9"]["mean"] == summary["mean"]
    assert summary["by_strength"]["0"]["macro_f1_of_tasks"]["mood"]["student"] == pytest.approx(1 / 3)
    # they do not hang on what the predictions said
    decided = {system: take_out(own, [MOOD], 0.9) for system, own in given.items()}
    assert summarise(decided, PARAMS, 1, 0.9) == summary
    assert priors_line(summary).startswith(
        "label priors taken out at strength 0.9; means without: teacher 33.3, base 33.3, student 33.3, gain +0.0 ["
    )


def test_without_priors_there_is_one_strength_and_no_line() -> None:
    given = {system: predict_rows(ROWS, PARAMS, system, system, leaning) for system in SYSTEMS}
    summary = summarise(given, PARAMS, 1)
    assert list(summary["by_strength"]) == ["0"] and priors_line(summary) == ""
    assert summary["label_priors"] == {system: {} for system in SYSTEMS}
    assert priors_line({}) == ""
