"""What must hold of tasks, demonstrations and instructions before they are paired: an answer can be asked and checked.

An instruction whose task, demonstrations or perspective are not there cannot be traced; a closed task whose labels
cannot be told apart teaches nothing; a schema that does not parse refuses every answer.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.artefacts import CLUSTERS, DEMONSTRATIONS, INSTRUCTIONS, TASKS, metrics_of, rejects_of
from compeffdist.gates.expected import Figure, none_of, one_of, share
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import Table, read_table
from compeffdist.given import Given
from compeffdist.instructions.label_sets import MOST_LABELS, label_set
from compeffdist.instructions.own_tasks import MOST_OWN_LABELS, is_own
from compeffdist.params import TasksGateParams
from compeffdist.records import TASK_TYPES, Demonstration, Instruction, Reject, Task

GUARDS = (TASKS, DEMONSTRATIONS, INSTRUCTIONS)
STAGES = ("generate_tasks", "write_demonstrations")


@dataclass(frozen=True)
class _Artefacts:
    tasks: Table[Task]
    demonstrations: Table[Demonstration]
    instructions: Table[Instruction]
    rejects: Mapping[str, Table[Reject]]
    """By stage."""
    counts: Mapping[str, Mapping[str, Any]]
    """`records` of each stage's metrics."""
    perspective_ids: frozenset[str]


def gather(given: Given) -> Evidence:
    """Tasks, demonstrations, instructions, and what was rejected and counted on the way.

    Raises:
        UserError: if one of them cannot be read.
    """
    found = _Artefacts(
        tasks=read_table(given, TASKS, [one_of("tasks", "type", TASK_TYPES)]),
        demonstrations=read_table(given, DEMONSTRATIONS),
        instructions=read_table(given, INSTRUCTIONS, [one_of("instructions", "type", TASK_TYPES)]),
        rejects={stage: read_table(given, rejects_of(stage)) for stage in STAGES},
        counts={stage: given[metrics_of(stage)].get("records", {}) for stage in STAGES},
        perspective_ids=frozenset(perspective.id for perspective in given[CLUSTERS]),
    )
    tables: list[Table[Any]] = [found.tasks, found.demonstrations, found.instructions, *found.rejects.values()]
    return Evidence(tables, lambda: _measure(found, given.params.gates.tasks))


def _measure(found: _Artefacts, bounds: TasksGateParams) -> Measured:
    out = {"generate_tasks": len(found.tasks.rows), "write_demonstrations": len(found.demonstrations.rows)}
    figures = [
        *_definitions(found.tasks.records),
        *_parents(found),
        *_generated(found, bounds),
        _idle(found, bounds),
        _undemonstrated(found, bounds),
        *(
            Figure(
                f"{stage}.unaccounted",
                found.counts[stage].get("in", 0) - out[stage] - len(found.rejects[stage].rows),
                low=0,
                high=0,
                advice=f"in = out + rejected does not hold of metrics/{stage}.json: run dvc repro -f {stage}",
            )
            for stage in STAGES
        ),
    ]
    types = Counter(task.type for task in found.tasks.records)
    return Measured(figures, [Distribution.of_counts("Tasks by type", types)])


def _definitions(tasks: Sequence[Task]) -> list[Figure]:
    """Tasks whose answers could not be told right from wrong."""
    unfit = [t.id for t in tasks if t.type == "closed_classification" and not _are_labels(t)]
    no_scale = [t.id for t in tasks if t.type == "scoring" and not _is_scale(t.score_range)]
    no_schema = [t.id for t in tasks if t.type in ("extraction", "structured") and not _is_schema(t.json_schema)]
    advice = "drop the task from the teacher's answers, or ask a stronger teacher (models.teacher, tasks.types)"
    return [
        Figure("tasks", len(tasks), low=1, advice="no task is left: see data/rejects/generate_tasks.parquet"),
        none_of("closed_tasks_with_unfit_labels", unfit, advice),
        none_of("scoring_tasks_without_scale", no_scale, advice),
        none_of("schemas_that_do_not_parse", no_schema, advice),
    ]


def _parents(found: _Artefacts) -> list[Figure]:
    """Links by id between tasks, perspectives, demonstrations and instructions."""
    tasks = {task.id for task in found.tasks.records}
    demonstrations = {demonstration.id for demonstration in found.demonstrations.records}
    instructions = found.instructions.records
    instructed = Counter(instruction.task_id for instruction in instructions)
    # the user's own tasks and the seed task belong to no perspective
    homeless = [t.id for t in found.tasks.records if not is_own(t) and t.perspective_id not in found.perspective_ids]
    faults = {
        "tasks_without_perspective": homeless,
        "tasks_without_one_instruction": sorted(task for task in tasks if instructed[task] != 1),
        "instructions_without_task": [i.id for i in instructions if i.task_id not in tasks],
        "instructions_without_demonstration": [i.id for i in instructions if set(i.demonstration_ids) - demonstrations],
        "demonstrations_without_task": [d.id for d in found.demonstrations.records if d.task_id not in tasks],
    }
    advice = "a row was dropped or altered on the way: run dvc repro -f generate_tasks write_demonstrations"
    return [none_of(name, ids, advice) for name, ids in faults.items()]


def _generated(found: _Artefacts, bounds: TasksGateParams) -> list[Figure]:
    """Tasks the teacher wrote of perspectives, which are the method; the others would be there without it."""
    generated = [t.id for t in found.tasks.records if t.perspective_id and t.type != "analysis"]
    rejects = found.rejects["generate_tasks"].records
    reasons = Counter(reject.reason for reject in rejects).most_common(3)
    shown = ", ".join(f"{reason} {count}" for reason, count in reasons) or "none"
    return [
        Figure("generated_share", share(len(generated), len(found.tasks.records))),
        Figure(
            "generated",
            len(generated),
            low=max(math.ceil(bounds.generated_per_perspective * len(found.perspective_ids)), 1),
            param="gates.tasks.generated_per_perspective",
            advice=(
                f"of {len(found.perspective_ids)} perspectives so few generated tasks are left, rejected {shown}: see "
                "data/rejects/generate_tasks.parquet; ask for more or other types (tasks), or a stronger teacher"
            ),
            offenders=[reject.record_id for reject in rejects],
        ),
    ]


def _idle(found: _Artefacts, bounds: TasksGateParams) -> Figure:
    idle = sorted(found.perspective_ids - {task.perspective_id for task in found.tasks.records})
    return Figure(
        "idle_perspectives_share",
        share(len(idle), len(found.perspective_ids)),
        high=bounds.idle_perspectives,
        param="gates.tasks.idle_perspectives",
        advice="see the reasons in data/rejects/generate_tasks.parquet; tasks.max_tokens or the teacher may be short",
        offenders=idle,
    )


def _undemonstrated(found: _Artefacts, bounds: TasksGateParams) -> Figure:
    shown = {demonstration.task_id for demonstration in found.demonstrations.records}
    # analysis, the user's own tasks and the seed task have none by design
    asked = [t.id for t in found.tasks.records if not is_own(t) and t.type != "analysis"]
    bare = sorted(set(asked) - shown)
    return Figure(
        "tasks_without_demonstration_share",
        share(len(bare), len(asked)) if asked else 0.0,  # of no tasks none is without
        high=bounds.undemonstrated,
        param="gates.tasks.undemonstrated",
        advice="see the reasons in data/rejects/write_demonstrations.parquet; demonstrations.calls may be few",
        offenders=bare,
    )


def _are_labels(task: Task) -> bool:
    try:
        return label_set(task.labels, MOST_OWN_LABELS if is_own(task) else MOST_LABELS) == task.labels
    except ValueError:
        return False


def _is_scale(score_range: Sequence[int]) -> bool:
    return len(score_range) == 2 and score_range[0] < score_range[1]


def _is_schema(text: str) -> bool:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(json.loads(text))
    except (ValueError, SchemaError):
        return False
    return True
