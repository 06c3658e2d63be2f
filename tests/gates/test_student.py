"""Gate student: one better than its base gets the alias; another is registered without it, and the run says so."""

import json
from pathlib import Path

import pytest

from compeffdist.files import read_json, write_json
from compeffdist.gates.outcome import gate_tags, report_of
from tests.gates import world as plant
from tests.gates.conftest import Check, stopped
from tests.stages import GATES


def test_a_student_that_is_not_shown_to_be_better_ends_the_run(check: Check) -> None:
    plant.make_evaluation(student=22)
    done = check("student")
    finding = stopped(done, "gain_low", "must be above 0", "not shown to be better than its base")
    assert done.failed() == {"gain_low"}
    assert finding["value"] == read_json(Path("metrics/evaluation.json"))["mean"]["student_minus_base"]["low"]
    last = done.err.splitlines()[-1]
    assert "m version 4 is registered without alias candidate" in last
    assert last.endswith("see report/gates/student.html")
    assert "| macro-F1 x 100" in done.out  # the table, as `dvc repro` shows no other


def test_the_advice_names_rows_trained_on_the_label_and_the_knobs(check: Check) -> None:
    plant.make_evaluation(student=2, says="negative")
    rows = len(plant.read_rows("data/training.parquet"))
    line = check("student").err.splitlines()[-1]
    for words in (
        f"more rows and instructions than the {rows} of",
        "pairing.pairs 3300",
        "sampling.rate 0.5",
        "'negative'",
    ):
        assert words in line


def test_a_student_equal_to_its_base_has_not_earned_it(check: Check) -> None:
    plant.make_evaluation(student=20)
    done = check("student")
    assert stopped(done, "gain_low", "is 0, must be above 0")["value"] == 0.0


def test_a_label_for_everything_is_named_where_the_gold_is_balanced(check: Check) -> None:
    plant.make_evaluation(student=36, says="negative")  # 36 right in place of 20, the rest "negative": within the bound
    assert "largest_label_share" not in check("student").failed()
    plant.make_evaluation(student=2, says="negative")
    done = check("student", gain_low=None)
    finding = stopped(
        done, "largest_label_share", "must be at most 0.8", "'negative' to 39 of 40 rows of films, where 20"
    )
    assert finding["value"] == pytest.approx(39 / 40)
    assert finding["offenders"] == ["task:films"]


def test_a_label_for_everything_may_be_right_where_it_is_most_of_the_gold(check: Check) -> None:
    plant.make_evaluation(student=40, gold=lambda place: "negative" if place < 34 else "positive")
    done = check("student")
    assert done.code == 0
    assert done.report["figures"]["largest_label_share"] is None


def test_a_task_on_which_it_is_worse_is_named_however_good_the_mean(check: Check) -> None:
    plant.make_evaluation(student={"films": 40, "probe": 3})
    done = check("student", gain_low=None)
    finding = stopped(done, "tasks_worse", "is 1, must be 0", "beyond chance on probe -")
    assert finding["offenders"] == ["task:probe"]
    assert check("student", gain_low=None, worse_tasks=1).code == 0


def test_figures_of_other_rows_are_refused(check: Check) -> None:
    plant.edit("data/evaluation.jsonl", lambda rows: rows[1:])
    assert stopped(check("student"), "tasks_of_other_rows")["offenders"] == ["task:films"]


def test_figures_of_an_older_evaluation_are_one_line(check: Check) -> None:
    evaluation = read_json(Path("metrics/evaluation.json"))
    del evaluation["tasks"]["films"]["student_minus_base_family"]
    write_json(Path("metrics/evaluation.json"), evaluation)
    done = check("student")
    assert done.code == 1
    assert done.err.splitlines() == [
        "error: metrics/evaluation.json: lacks figures that gate student judges: "
        "tasks.films.student_minus_base_family: Field required; run the stage that writes it again"
    ]


def test_a_gate_set_to_warn_lets_the_run_end_well(check: Check) -> None:
    plant.make_evaluation(student=20)
    done = check("student", action="warn")
    assert done.code == 0
    assert done.gate_pass.exists()
    assert "gate student: failed, and the run was let on with a warning; m version 4 has alias candidate" in done.out


def test_labels_are_shown_beside_the_gold(check: Check) -> None:
    shown = {one["title"]: one for one in check("student").report["distributions"]}
    assert shown["Labels of films"]["series"] == ["gold", "teacher", "base", "student"]
    assert [label for label, _ in shown["Labels of films"]["rows"]] == plant.CLASSES


def test_tags_say_that_the_student_failed_and_do_not_stop_registration(check: Check) -> None:
    for gate in GATES:
        write_json(Path(f"metrics/gates/{gate}.json"), {"passed": gate != "sample", "action": "warn"})
    plant.make_evaluation(student=20)
    check("student")
    tags = gate_tags({gate: report_of(gate).read() for gate in GATES})
    assert (tags["gates"], tags["gate.student"]) == ("failed: student; warned: sample", "failed")
    assert json.loads(Path("metrics/gates/student.json").read_text())["action"] == "stop"


def test_a_state_of_another_day_is_asked_for_the_gates_it_had() -> None:
    assert gate_tags({"texts": {"passed": True, "action": "stop"}}) == {"gates": "passed", "gate.texts": "passed"}
