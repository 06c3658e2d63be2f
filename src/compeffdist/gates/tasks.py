"""What must hold of tasks, demonstrations and instructions before they are paired: an answer can be asked and checked.

An instruction whose task, demonstrations or perspective are not there cannot be traced; a closed task whose labels
cannot be told apart teaches nothing; a schema that does not parse refuses every answer.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from compeffdist.artefact_kinds import Records
from compeffdist.artefacts import CLUSTERS, DEMONSTRATIONS, INSTRUCTIONS, TASKS, metrics_of, rejects_of
from compeffdist.gates.expected import (
    NOUGHT,
    SOME,
    Bound,
    Columns,
    Expectation,
    count,
    no_row,
    one_of,
    row_count,
    share,
    stated,
)
from compeffdist.gates.figures import Figures
from compeffdist.gates.gate import Inputs, Rows
from compeffdist.gates.outcome import Distribution
from compeffdist.given import Given
from compeffdist.instructions.label_sets import MOST_LABELS, label_set
from compeffdist.instructions.own_tasks import MOST_OWN_LABELS, is_own
from compeffdist.records import TASK_TYPES, Task

GUARDS = (TASKS, DEMONSTRATIONS, INSTRUCTIONS)
MADE: Mapping[str, Records[Any]] = {"generate_tasks": TASKS, "write_demonstrations": DEMONSTRATIONS}

UNFIT = "drop the task from the teacher's answers, or ask a stronger teacher (models.teacher, tasks.types)"
LOST = "a row was dropped or altered on the way: run dvc repro -f generate_tasks write_demonstrations"
IDLE = "see the reasons in data/rejects/generate_tasks.parquet; tasks.max_tokens or the teacher may be short"
BARE = "see the reasons in data/rejects/write_demonstrations.parquet; demonstrations.calls may be few"


class Incoming(Figures):
    """How many records a stage was to make."""

    read: int = Field(alias="in")


class Counted(Figures):
    """A stage's metrics."""

    records: Incoming


def rows(given: Given) -> Rows:
    return {
        TASKS: (one_of("type", TASK_TYPES),),
        DEMONSTRATIONS: [],
        INSTRUCTIONS: (one_of("type", TASK_TYPES),),
        **{rejects_of(stage): [] for stage in MADE},
    }


def expectations(seen: Inputs) -> list[Expectation]:
    perspectives = Columns(sorted({perspective.id for perspective in seen.read(CLUSTERS)}))
    return [
        row_count("tasks", seen[TASKS].by("id"), SOME, "no task is left: see data/rejects/generate_tasks.parquet"),
        *_definitions(seen),
        *_parents(seen, perspectives),
        *_generated(seen, perspectives),
        _idle(seen, perspectives),
        _undemonstrated(seen),
        *(_accounted(seen, stage) for stage in MADE),
    ]


def distributions(seen: Inputs) -> list[Distribution]:
    return [Distribution.of_counts("Tasks by type", Counter(task.type for task in seen[TASKS].records))]


def _definitions(seen: Inputs) -> list[Expectation]:
    """No task whose answers could not be told right from wrong."""
    rows, tasks = seen[TASKS].by("id"), seen[TASKS].records
    unfit = [task.type == "closed_classification" and not _are_labels(task) for task in tasks]
    no_scale = [task.type == "scoring" and not _is_scale(task.score_range) for task in tasks]
    no_schema = [task.type in ("extraction", "structured") and not _is_schema(task.json_schema) for task in tasks]
    return [
        no_row("closed_tasks_with_unfit_labels", rows, unfit, UNFIT),
        no_row("scoring_tasks_without_scale", rows, no_scale, UNFIT),
        no_row("schemas_that_do_not_parse", rows, no_schema, UNFIT),
    ]


def _parents(seen: Inputs, perspectives: Columns) -> list[Expectation]:
    """Links by id between tasks, perspectives, demonstrations and instructions."""
    tasks, told, shown = seen[TASKS].by("id"), seen[INSTRUCTIONS].records, seen[DEMONSTRATIONS].records
    instructions, demonstrations = seen[INSTRUCTIONS].by("id"), seen[DEMONSTRATIONS].by("id")
    homes, known, there = set(perspectives.keys), set(tasks.keys), set(demonstrations.keys)
    # the user's own tasks and the seed task belong to no perspective
    homeless = [not is_own(task) and task.perspective_id not in homes for task in seen[TASKS].records]
    instructed = Counter(row.task_id for row in told)
    undemonstrated = [not there.issuperset(row.demonstration_ids) for row in told]
    return [
        no_row("tasks_without_perspective", tasks, homeless, LOST),
        no_row("tasks_without_one_instruction", tasks, [instructed[key] != 1 for key in tasks.keys], LOST),
        no_row("instructions_without_task", instructions, [row.task_id not in known for row in told], LOST),
        no_row("instructions_without_demonstration", instructions, undemonstrated, LOST),
        no_row("demonstrations_without_task", demonstrations, [row.task_id not in known for row in shown], LOST),
    ]


def _generated(seen: Inputs, perspectives: Columns) -> list[Expectation]:
    """Tasks the teacher wrote of perspectives, which are the method; the others would be there without it."""
    tasks, rejects = seen[TASKS], seen[rejects_of("generate_tasks")].records
    generated = [bool(task.perspective_id) and task.type != "analysis" for task in tasks.records]
    fewest = math.ceil(seen.given.params.gates.tasks.generated_per_perspective * len(perspectives.keys))
    reasons = Counter(reject.reason for reject in rejects).most_common(3)
    advice = (
        f"of {len(perspectives.keys)} perspectives so few generated tasks are left, rejected "
        f"{', '.join(f'{reason} {number}' for reason, number in reasons) or 'none'}: see "
        "data/rejects/generate_tasks.parquet; ask for more or other types (tasks), or a stronger teacher"
    )
    bound = Bound(low=max(fewest, 1), param=seen.param("generated_per_perspective"))
    return [
        share("generated_share", tasks.by("id"), generated),
        count("generated", tasks.by("id"), generated, bound, advice, lambda: [reject.record_id for reject in rejects]),
    ]


def _idle(seen: Inputs, perspectives: Columns) -> Expectation:
    """Perspectives without a task."""
    busy = {task.perspective_id for task in seen[TASKS].records}
    idle = [key not in busy for key in perspectives.keys]
    return share("idle_perspectives_share", perspectives, idle, seen.most("idle_perspectives"), IDLE)


def _undemonstrated(seen: Inputs) -> Expectation:
    """Tasks without a demonstration; analysis, the user's own tasks and the seed task have none by design."""
    shown = {demonstration.task_id for demonstration in seen[DEMONSTRATIONS].records}
    asked = Columns(sorted({t.id for t in seen[TASKS].records if not is_own(t) and t.type != "analysis"}))
    name, bound, bare = (
        "tasks_without_demonstration_share",
        seen.most("undemonstrated"),
        [k not in shown for k in asked.keys],
    )
    if not asked.keys:
        return stated(name, 0.0, bound)  # of no tasks none is without
    return share(name, asked, bare, bound, BARE)


def _accounted(seen: Inputs, stage: str) -> Expectation:
    """A stage's in = out + rejected."""
    counts = seen.figures(metrics_of(stage), Counted)["records"]
    missing = counts["in"] - seen[MADE[stage]].count - seen[rejects_of(stage)].count
    advice = f"in = out + rejected does not hold of metrics/{stage}.json: run dvc repro -f {stage}"
    return stated(f"{stage}.unaccounted", missing, NOUGHT, advice)


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
