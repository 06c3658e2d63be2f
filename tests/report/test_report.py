"""The report of a run: figures that add up, a first sentence that is right, and nothing lost without a word."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compeffdist.records import by_id
from compeffdist.report.attribute_map import MOST_MEMBERS, MOST_PERSPECTIVES, MOST_TASKS
from compeffdist.report.flow import NOT_KEPT, UNSURE, steps
from compeffdist.report.learning import MOST_STEPS, binned
from compeffdist.report.page import render
from compeffdist.report.results import MOST_LABELS, MOST_ROWS, OTHERS
from compeffdist.report.rows import payload, rows_table
from compeffdist.report.run import Run, headline, write_results
from compeffdist.report.selection import balance
from compeffdist.teacher.asking import SOURCES
from tests.factories import make_attribute, make_perspective
from tests.report.making import ASKING, free_instruction, make_run


@pytest.fixture
def run() -> Run:
    return make_run()


def opening(run: Run) -> str:
    return render(run).partition("<h1")[2].partition("</header>")[0]


def gained(run: Run, low: float, high: float) -> Run:
    gain = {"estimate": (low + high) / 2, "low": low, "high": high}
    return replace(run, evaluation=run.evaluation | {"mean": run.evaluation["mean"] | {"student_minus_base": gain}})


def test_the_figures_add_up(run: Run) -> None:
    figures = headline(run)
    assert (figures["teacher_answers"], figures["answers_bought"]) == (len(ASKING) * 4, len(ASKING) * 3)
    assert (figures["texts"], figures["perspectives"], figures["tasks"], figures["training_rows"]) == (3, 1, 1, 3)
    assert (figures["training_seconds"], figures["gates_passed"]) == (12, 0)
    assert (figures["gain_over_base"], figures["gain_low"], figures["gain_high"]) == (0.1235, 0.4, 0.6)


def test_what_dvc_shows_of_a_run_is_a_dozen_figures(run: Run) -> None:
    """A column each in `dvc exp show`."""
    assert 12 <= len({**headline(run), "macro_f1_base": 0.0, "macro_f1_teacher": 0.0}) <= 14


def test_results_have_a_row_of_each_task_and_their_mean(run: Run, tmp_path: Path) -> None:
    write_results(of_tasks(run, "tweets", "movies"), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["task"], row["rows"]) for row in rows] == [("mean", "4"), ("tweets", "2"), ("movies", "2")]
    assert [rows[0][name] for name in ("teacher", "base", "student", "gain")] == ["0.5000"] * 4
    assert (rows[0]["gain_low"], rows[0]["gain_high"]) == ("0.4000", "0.6000")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "is better than its base and"),
        (-0.1, 0.3, "is not shown to be better than its base but"),
        (-0.3, -0.1, "is worse than its base but"),
    ],
)
def test_the_first_sentence_says_what_the_interval_shows(run: Run, low: float, high: float, said: str) -> None:
    assert f"The student {said}" in opening(gained(replace(run, gates=gates(passed=True)), low, high))


def gates(passed: bool, action: str = "stop") -> dict[str, Any]:
    """The last gate alone."""
    report = {"action": action, "expectations": [{"name": "gain_low", "passed": passed}]}
    return {"student": {"passed": passed, **report}}


def test_the_first_sentence_says_whether_it_is_a_candidate_and_which_gate_says_no(run: Run) -> None:
    better = gained(run, 0.1, 0.3)
    said = opening(replace(better, gates=gates(passed=True)))
    assert 'than its base and <span class="good">is a candidate for promotion</span>' in said
    refused = replace(run, registration=run.registration | {"alias": ""}, gates={**run.gates, **gates(passed=False)})
    said = opening(gained(refused, -0.1, 0.3))
    assert 'than its base and <span class="bad">is no candidate for promotion</span>' in said
    assert said.index("gate student failed on gain_low") < said.index("gate sample warned of")


def test_a_candidate_that_a_gate_warned_of_is_one_with_a_warning(run: Run) -> None:
    worse = gained(replace(run, gates=gates(passed=False, action="warn")), -0.3, -0.1)
    assert 'is worse than its base but <span class="bad">is a candidate with a warning</span>' in opening(worse)
    assert 'is better than its base but <span class="bad">is a candidate with' in opening(gained(run, 0.1, 0.3))


@pytest.mark.parametrize(
    ("estimate", "low", "high", "said"),
    [
        (-0.076, -0.114, -0.036, "7.6 points behind its teacher [3.6 to 11.4]"),
        (0.02, -0.01, 0.05, "2.0 points ahead of its teacher [-1.0 to 5.0]"),
        (0.0, -0.01, 0.0, "0.0 points behind its teacher [0.0 to 1.0]"),
    ],
)
def test_the_distance_from_the_teacher_is_told_in_its_direction(
    run: Run, estimate: float, low: float, high: float, said: str
) -> None:
    behind = {"student_minus_teacher": {"estimate": estimate, "low": low, "high": high}}
    assert f"It is {said}." in opening(
        replace(run, evaluation=run.evaluation | {"mean": run.evaluation["mean"] | behind})
    )


def test_rows_are_trained_on_only_after_they_are_answered(run: Run) -> None:
    """In mode proxy some that are drawn are rejected: by the check of their answers, and by training."""
    predicted = [replace(run.draws[0], id="", pair_id=f"pair_p{n}", triplet_id="", kept=True) for n in range(40)]
    page = render(replace(run, draws=[*run.draws, *predicted]))
    assert "<li><b>3</b><span>training rows</span></li>" in page
    table = page.partition("Hardest and easiest")[2].partition("</table>")[0]
    assert '<td class="number">3</td><td class="number">2</td>' in table  # of three scored rows two are kept
    assert "1, 42 rows drawn" in page and "trained on." not in page


def of_tasks(run: Run, *names: str) -> Run:
    task = run.evaluation["tasks"]["tweets"]
    rows = [replace(one, id="", task=name) for one in run.predictions for name in names]
    return replace(run, evaluation=run.evaluation | {"tasks": dict.fromkeys(names, task)}, predictions=rows)


def test_tasks_whose_names_begin_alike_have_a_row_each(run: Run) -> None:
    names = ("reviews of restaurants in Rome", "reviews of restaurants in Paris", "mean of all")
    page = render(of_tasks(run, *names))
    for chart in ("Macro-F1 x 100", "The student&#x27;s gain over its base"):
        drawn = page.partition(f"<h3>{chart}")[2].partition("</figure>")[0]
        assert drawn.count(">reviews of rest…<") == 2 and drawn.count(">mean of all<") == 2


def test_tasks_that_are_not_shown_are_counted(run: Run) -> None:
    few, many = (render(of_tasks(run, *(f"task {n}" for n in range(count)))) for count in (MOST_ROWS, MOST_ROWS + 3))
    assert "more tasks are not shown" not in few and many.count("3 more tasks are not shown.") == 2


def test_the_map_says_what_the_table_below_it_has(run: Run) -> None:
    assert "the table below has them all." in render(run)
    several = [make_perspective(f"view {n}") for n in range(MOST_PERSPECTIVES + 1)]
    wide = make_perspective(*(f"view {n}" for n in range(MOST_MEMBERS + 1)))
    for found in (several, [wide]):
        places = {one: (0.1, 0.2) for perspective in found for one in perspective.member_ids}
        page = render(replace(run, perspectives=found, places=places))
        assert "the table below lists the largest." in page and "has them all" not in page


def test_difficulty_is_what_the_sampler_ranks_by(run: Run) -> None:
    """By another metric than the ranking score, whose order may be the opposite."""
    draws = [replace(draw, id="", difficulty=-10 * draw.difficulty) for draw in run.draws]
    other = replace(run, draws=draws)
    data = json.loads(payload(other)[0])
    assert [row[3] for row in data["rows"]] == [-1.0, -5.0, -9.0]
    assert rows_table(other)["difficulty"].to_pylist() == [-1.0, -5.0, -9.0]
    hardest = render(other).partition("Hardest and easiest")[2].partition("</table>")[0]
    assert '<td class="number">-5.00</td>' in hardest


def test_the_seed_is_told_and_what_it_means(run: Run) -> None:
    assert "One draw of sample and training, with seed 7." in render(replace(run, seed=7))


def test_a_row_says_what_it_was_made_from(run: Run) -> None:
    data = json.loads(payload(run)[0])
    texts, instructions, heads = by_id(run.texts), by_id(run.instructions), by_id(run.perspectives)
    assert {one[0]: (one[3], one[4]) for one in data["texts"]} == {
        key: (texts[key].source, texts[key].source_row) for key in (one[0] for one in data["texts"])
    }
    for key, *_, head in data["instructions"]:
        perspective = heads.get(instructions[key].perspective_id)
        assert head == (perspective.head if perspective else "")


def test_the_first_sentence_names_tasks_that_became_worse(run: Run) -> None:
    worse = run.evaluation["tasks"]["tweets"] | {"student_minus_base": {"estimate": -0.2, "low": -0.3, "high": -0.1}}
    assert "worse beyond chance on tweets" in opening(
        replace(run, evaluation=run.evaluation | {"tasks": {"tweets": worse}})
    )
    # of many tasks at once, the interval that holds for all of them decides
    family = worse | {"student_minus_base_family": {"estimate": -0.2, "low": -0.4, "high": 0.0}}
    assert "on none of 1 tasks worse" in opening(
        replace(run, evaluation=run.evaluation | {"tasks": {"tweets": family}})
    )


def test_confusions_count_what_was_said_of_what(run: Run) -> None:
    wrong = [replace(one, id="", predicted="positive") if one.system == "base" else one for one in run.predictions]
    page = render(replace(run, predictions=wrong))
    assert "student: 2 of 2 right" in page and "base: 1 of 2 right" in page
    table = page.partition("<caption>base")[2].partition("</table>")[0]
    assert '<th scope="row">negative</th><td class="s0 right">0</td><td class="s10">1</td>' in table


def test_a_task_of_many_labels_tells_the_most_frequent_apart(run: Run) -> None:
    gold = {f"label {number}": 30 - number for number in range(20)}
    task = run.evaluation["tasks"]["tweets"] | {
        "gold": gold,
        "answers": dict.fromkeys(("teacher", "base", "student"), gold),
    }
    predictions = [replace(one, id="", gold="label 0", predicted="label 19") for one in run.predictions]
    page = render(replace(run, evaluation=run.evaluation | {"tasks": {"tweets": task}}, predictions=predictions))
    table = page.partition("<caption>student")[2].partition("</table>")[0]
    assert table.count('scope="row"') == MOST_LABELS
    assert OTHERS in table and "label 12<" not in table


def test_every_stage_that_leaves_something_out_says_how_much_and_why(run: Run) -> None:
    found = {step.stage: step for step in steps(run)}
    assert found["ingest_texts"].reasons == {"too_short": 2}
    names = found["enumerate_attributes"]
    assert (names.into, names.out, names.reasons) == (4, 1, {"rare": 3})
    drawn = found["sample_triplets"]
    assert (drawn.into, drawn.out, drawn.reasons) == (3, 2, {NOT_KEPT: 1})
    assert "too_short 2" in render(run)
    unsure = [replace(one, id="", rank=0) if not one.kept else one for one in run.draws]
    below = {step.stage: step for step in steps(replace(run, draws=unsure))}["sample_triplets"]
    assert below.reasons == {UNSURE: 1}


def test_a_stage_that_had_nothing_to_do_is_not_shown(run: Run) -> None:
    assert "collect_sampled" in render(run) and "predict_difficulty" not in render(run)


def test_balance_is_counted_before_and_after_selection(run: Run) -> None:
    counts = balance(run.draws, {row.id: row for row in run.triplets}, by_id(run.texts))
    assert counts["type of task"] == {"open": 3}
    assert counts["type of task kept"] == {"open": 2}


def test_answers_that_two_stages_use_are_said_to_count_twice(run: Run) -> None:
    assert "counts in both" in render(run)
    none = {
        "answers": dict.fromkeys(("used", "prompt_tokens", "cached_tokens", "completion_tokens"), 0),
        "this_run": dict.fromkeys(SOURCES, 0),
    }
    direct = {**run.metrics, "collect_sampled": {**run.metrics["collect_sampled"], "teacher": none}}
    assert "counts in both" not in render(replace(run, metrics=direct))


def test_the_page_says_where_the_answers_came_from_and_what_training_took(run: Run) -> None:
    page = render(run)
    counts = {"store": "6", "recorded": "7,200", "bought": "18"}
    total = '<th scope="row">all</th>' + "".join(f'<td class="number">{counts[source]}</td>' for source in SOURCES)
    assert total in page
    assert '<th scope="row">train_student</th><td class="number">40</td><td class="number">9,000</td>' in page


def test_a_long_curve_becomes_means_of_stretches() -> None:
    steps, losses = binned([float(number) for number in range(1, 10 * MOST_STEPS + 1)])
    assert len(steps) == MOST_STEPS
    assert losses[0] == steps[0] == 5.5


def test_a_page_over_thousands_of_tasks_and_perspectives_is_bounded(run: Run) -> None:
    frequent = make_attribute("the most frequent", 99)
    many = [make_perspective(frequent), *(make_perspective(f"rare {n}") for n in range(MOST_PERSPECTIVES + 59))]
    tasks = [free_instruction(f"task{number}", many[0].id) for number in range(2000)]
    small, large = render(run), render(replace(run, perspectives=many, instructions=[*run.instructions, *tasks]))
    assert "60 more perspectives are not shown" in large
    assert f"{2000 - MOST_TASKS:,} more" in large
    assert len(large) - len(small) < 60_000


def test_where_attributes_have_no_place_there_is_no_map(run: Run) -> None:
    assert "<g data-mark=" in render(run)
    assert "<g data-mark=" not in render(replace(run, places={}))


def test_an_empty_part_of_a_run_is_no_error(run: Run) -> None:
    nothing: Mapping[str, Any] = {"draws": [], "scored": 0, "triplets": [], "predictions": [], "places": {}}
    empty = replace(run, **nothing, curves={"warm_up_student": [], "train_student": [float("nan")]})
    assert "All 0 scored rows" in render(empty)
