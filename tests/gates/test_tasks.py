"""Tasks that cannot be checked, or that something has been lost around, are named."""

from pathlib import Path
from typing import Any

from compeffdist.artefacts import INSTRUCTIONS
from compeffdist.files import write_json
from tests.factories import make_task
from tests.gates import world as plant
from tests.gates.conftest import Check, stopped


def test_tasks_that_cannot_be_checked_are_named(check: Check) -> None:
    tasks = plant.default_tasks()
    perspective = tasks[1].perspective_id
    faults: dict[str, dict[str, Any]] = {
        "closed_tasks_with_unfit_labels": {"labels": ["Up", "up "]},
        "scoring_tasks_without_scale": {"type": "scoring", "score_range": [5, 5]},
        "schemas_that_do_not_parse": {"type": "extraction", "json_schema": '{"type": "nothing"}'},
        "tasks_without_perspective": {"type": "analysis", "perspective_id": "perspective_x"},
        "tasks.unknown_type": {"type": "juggling"},
    }
    bad = {
        fault: make_task(**({"perspective_id": perspective, "name": fault} | fields))
        for fault, fields in faults.items()
    }
    plant.make_tasks([*tasks, *bad.values()])
    done = check("tasks")
    for name, task in bad.items():
        assert stopped(done, name)["offenders"] == [task.id]


def test_a_dropped_task_breaks_the_account_and_orphans_its_instruction(check: Check) -> None:
    orphan = INSTRUCTIONS.read()[0]
    plant.edit("data/tasks.jsonl", lambda rows: [row for row in rows if row["id"] != orphan.task_id])
    done = check("tasks")
    stopped(done, "generate_tasks.unaccounted", "is 1, must be 0", "dvc repro -f generate_tasks")
    assert stopped(done, "instructions_without_task")["offenders"] == [orphan.id]


def test_a_dropped_instruction_or_demonstration_is_noticed(check: Check) -> None:
    instructions = INSTRUCTIONS.read()
    shown = next(i for i in instructions if i.demonstration_ids)
    plant.edit("data/instructions.jsonl", lambda rows: rows[1:])
    plant.edit(
        "data/demonstrations.jsonl", lambda rows: [row for row in rows if row["id"] not in shown.demonstration_ids]
    )
    done = check("tasks")
    assert stopped(done, "tasks_without_one_instruction")["offenders"] == [instructions[0].task_id]
    assert stopped(done, "instructions_without_demonstration")["offenders"] == [shown.id]
    stopped(done, "write_demonstrations.unaccounted", "is 1")


def test_a_run_whose_generated_tasks_were_all_rejected_is_stopped(check: Check) -> None:
    plant.make_tasks([task for task in plant.default_tasks() if not task.perspective_id])
    plant.rejects_of("generate_tasks", ["idea_1", "idea_2"])
    write_json(Path("metrics/generate_tasks.json"), {"records": {"in": 3, "out": 1, "rejected": 2}})
    bounds = {"idle_perspectives": 1.0, "undemonstrated": 1.0, "generated_per_perspective": 0.0}
    done = check("tasks", **bounds)
    finding = stopped(done, "generated", "is 0, must be at least 1", "rejected planted 2")
    assert done.failed() == {"generated"}
    assert finding["offenders"] == ["idea_1", "idea_2"]


def test_fewer_generated_tasks_than_asked_for_each_perspective_are_a_finding(check: Check) -> None:
    done = check("tasks", generated_per_perspective=1.5)  # 4 of 4 perspectives
    assert stopped(done, "generated", "is 4, must be at least 6")["low"] == 6
    assert done.report["figures"]["generated_share"] == 4 / 5


def test_tasks_without_a_demonstration_are_named(check: Check) -> None:
    plant.edit("data/demonstrations.jsonl", lambda rows: [])
    finding = stopped(check("tasks"), "tasks_without_demonstration_share", "is 1, must be at most 0.5")
    assert len(finding["offenders"]) == 4


def test_perspectives_without_a_task_are_named(check: Check) -> None:
    seed, task, *_ = plant.default_tasks()
    plant.make_tasks([seed, task])
    finding = stopped(check("tasks"), "idle_perspectives_share", "is 0.75, must be at most 0.5")
    assert len(finding["offenders"]) == 3
