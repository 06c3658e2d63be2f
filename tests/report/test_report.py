"""The report of a run: figures that add up, and a page in which nothing of a user's text is markup."""

import re
from dataclasses import replace
from typing import Any

import pytest

from compeffdist.exchange.questions import REPLAYS
from compeffdist.records import Instruction
from compeffdist.report.page import EXCERPT, MOST_INSTRUCTIONS, render
from compeffdist.report.run import Run, headline
from compeffdist.teacher.asking import SOURCES
from tests.factories import (
    make_draw,
    make_instruction,
    make_perspective,
    make_score,
    make_task,
    make_text,
    make_triplet,
)
from tests.models.making import make_identity

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> & co'

ASKING = tuple(REPLAYS)


def scores(value: float) -> dict[str, Any]:
    interval = {"estimate": value, "low": value - 0.1, "high": value + 0.1}
    return {
        "macro_f1": dict.fromkeys(("teacher", "base", "student"), interval),
        "student_minus_base": interval,
        "student_minus_teacher": interval,
    }


def free_instruction(name: str, perspective_id: str) -> Instruction:
    task = make_task("open_classification", name=name, perspective_id=perspective_id)
    return make_instruction(task, prompt=f"{name} {HOSTILE} {'long ' * EXCERPT}")


@pytest.fixture
def run() -> Run:
    text = make_text(HOSTILE)
    perspective = make_perspective(HOSTILE)
    instruction = free_instruction("tone", perspective.id)
    triplets = [make_triplet(instruction, text, response=f"{HOSTILE} {number}") for number in range(3)]
    scored = [make_score(triplet, ranking) for triplet, ranking in zip(triplets, [0.1, 0.9, 0.5], strict=True)]
    draws = [make_draw(score, score.ranking > 0.4, pair_id=f"pair_{n}") for n, score in enumerate(scored)]
    account = {"in": 5, "out": 3, "rejected": 2, "reasons": {"too_short": 2}}
    usage = {
        "answers": {"used": 4, "prompt_tokens": 100, "cached_tokens": 60, "completion_tokens": 7},
        "this_run": {"store": 1, "recorded": 1200, "bought": 3},
    }
    metrics: dict[str, dict[str, Any]] = {stage: {"records": account, "teacher": usage} for stage in ASKING}
    metrics["sample_triplets"] = {"rows": 3, "kept": 2}
    metrics["ingest_texts"] = {"texts": account}
    metrics["predict_difficulty"] = {"records": {"in": 0, "out": 0, "rejected": 0, "reasons": {}}}
    metrics["collect_sampled"]["asked"] = {"calls_saved": 0.25}
    metrics["enumerate_attributes"]["vocabulary"] = {"out": 1}
    expectations = [{"name": HOSTILE, "passed": False}, {"name": "fine", "passed": True}]
    return Run(
        models={
            role: make_identity(role, role, parameters=None if role == "teacher" else 2_000_000, licence="MIT")
            for role in ("teacher", "student", "embedder")
        },
        metrics=metrics,
        gates={"sample": {"passed": False, "action": "warn", "expectations": expectations}},
        evaluation={
            "confidence": 0.95,
            "tasks": {"tweets": {"rows": 40, **scores(0.5)}},
            "mean": scores(0.5),
            "headline": {"macro_f1_student": 0.5, "gain_over_base": 0.12345},
        },
        registration={"model_name": "m", "version": 1, "alias": "candidate", "tags": {"profile": "laptop"}},
        perspectives=[perspective],
        instructions=[instruction],
        texts=[text],
        triplets=triplets,
        scored=scored,
        draws=draws,
    )


def test_the_figures_add_up(run: Run) -> None:
    figures = headline(run)
    assert figures["teacher_tokens"] == len(ASKING) * 107
    assert (figures["triplets"], figures["kept"], figures["texts"]) == (3, 2, 3)
    assert figures["difficulty"] == 0.5
    assert figures["calls_saved"] == 0.25
    assert figures["gates_passed"] == 0
    assert figures["gain_over_base"] == 0.1235


def test_nothing_a_user_or_teacher_wrote_is_markup(run: Run) -> None:
    page = render(run)
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"gates/sample.html", "difficulty.html"}


def test_the_hardest_the_middle_and_the_easiest_row_are_shown_in_this_order(run: Run) -> None:
    page = render(run)
    places = [page.index(f"<td>{value}</td>") for value in ("0.900", "0.500", "0.100")]
    assert places == sorted(places)
    assert page.count("<td>kept</td>") == 2
    assert page.count("<td>not kept</td>") == 1


def test_what_was_predicted_counts_as_rows_but_is_not_shown(run: Run) -> None:
    predicted = [replace(run.draws[0], id="", pair_id=f"pair_p{n}", triplet_id="", kept=n == 0) for n in range(4)]
    assert "tone (open_classification): 3 rows, 2 kept" in render(run)
    page = render(replace(run, draws=[*run.draws, *predicted]))
    assert "tone (open_classification): 7 rows, 4 of them predicted, 3 kept" in page
    assert page.count("<td>not kept</td>") == 1


def test_a_row_is_shown_with_the_ids_that_trace_and_purge_take(run: Run) -> None:
    assert f"{run.triplets[0].id} of {run.texts[0].id}" in render(run)


def test_answers_that_two_stages_use_are_said_to_count_twice(run: Run) -> None:
    assert "counts in both" in render(run)
    none = {
        "answers": dict.fromkeys(("used", "prompt_tokens", "cached_tokens", "completion_tokens"), 0),
        "this_run": dict.fromkeys(SOURCES, 0),
    }
    direct = {**run.metrics, "collect_sampled": {**run.metrics["collect_sampled"], "teacher": none}}
    assert "counts in both" not in render(replace(run, metrics=direct))


def test_the_page_says_where_the_answers_came_from(run: Run) -> None:
    heads = "".join(f"<th>{source}</th>" for source in ("stage", *SOURCES))
    counts = {"store": "6", "recorded": "7,200", "bought": "18"}
    total = "<td>all</td>" + "".join(f'<td class="number">{counts[source]}</td>' for source in SOURCES)
    assert heads in render(run) and total in render(run)


def test_a_stage_that_had_nothing_to_do_is_not_shown(run: Run) -> None:
    assert "collect_sampled" in render(run) and "predict_difficulty" not in render(run)


def test_a_stage_that_lost_records_says_why(run: Run) -> None:
    assert "too_short 2" in render(run)


def test_a_page_over_thousands_of_instructions_is_bounded(run: Run) -> None:
    many = [free_instruction(f"task{number}", run.perspectives[0].id) for number in range(MOST_INSTRUCTIONS + 60)]
    page = render(replace(run, instructions=[*run.instructions, *many]))
    assert "61 more instructions are not shown" in page
    assert page.count("<h3>") == MOST_INSTRUCTIONS
