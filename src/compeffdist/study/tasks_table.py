"""The quality of tasks for people: how many each sign speaks against, the poorest and why, which few stand for all."""

from collections.abc import Mapping
from typing import Any

from compeffdist.evaluation.table import markdown
from compeffdist.study.signs import SIGNS

POOREST = 20
LARGEST = 10
"""Representatives shown of a size, those that stand for most."""


def task_lines(found: Mapping[str, Any]) -> list[str]:
    """What `task_quality` found."""
    records = found["records"]
    lines = [
        f"{records['tasks']} generated tasks, {records['answers']} answers",
        "",
        *_signs(found),
        "",
        *_poorest(found),
    ]
    for size, chosen in found["representatives"].items():
        lines += ["", *_representatives(size, chosen)]
    return [*lines, "", *_notes(found)]


def _signs(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, line in found["bounds"].items():
        flagged = found["flagged"][name]
        bound = f"{line['worse']} {line['bound']:.3g}"
        rows.append([name, SIGNS[name].title, bound, str(len(flagged["instruction_ids"])), str(flagged["of"])])
    return markdown(["sign", "what it is", "against a task", "tasks", "of"], rows)


def _poorest(found: Mapping[str, Any]) -> list[str]:
    rows = []
    for task in found["tasks"][:POOREST]:
        reasons = [_reason(name, task) for name in task["against"]]
        rows.append(
            [task["name"], task["type"], str(task["answers"]), "; ".join(reasons) or "-", task["instruction_id"]]
        )
    return markdown(["poorest tasks", "type", "answers", "what speaks against it", "id"], rows)


def _reason(name: str, task: Mapping[str, Any]) -> str:
    about = f" ({task['about'][name]})" if name in task["about"] else ""
    return f"{name} {task['signs'][name]:.2f}{about}"


def _representatives(size: str, chosen: Mapping[str, Any]) -> list[str]:
    largest = sorted(chosen["tasks"], key=lambda one: (-len(one["stands_for"]), one["instruction_id"]))[:LARGEST]
    at_random = chosen["coverage_at_random"]
    told = "; ".join(f"{one['name']} ({len(one['stands_for'])})" for one in largest)
    return [
        f"{size} tasks stand for all at a mean cosine similarity of {chosen['coverage']:.3f} (as many at random "
        f"{at_random['mean']:.3f}, the best of them {at_random['largest']:.3f}); those that stand for most: {told}"
    ]


def _notes(found: Mapping[str, Any]) -> list[str]:
    own, told = found["specificity"], []
    if own["pairs"]:
        allowed = own["of_answers_the_other_allows"]
        told.append(
            f"specificity: {own['pairs']} pairs, mean {own['mean']:+.2f} nats a token, above 0 in "
            f"{own['share_above_0']:.0%}; the other instruction allows the response in {allowed}"
        )
    pairs = found["pairs_of_tasks_with_shared_texts"]
    return [*told, f"pairs of generated tasks with enough texts in common to compare their answers: {pairs}"]
