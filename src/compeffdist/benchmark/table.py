"""A benchmark's report for people: a line a task, a column a model."""

from collections.abc import Mapping
from typing import Any

from compeffdist.benchmark.cost import cost_lines
from compeffdist.evaluation.cells import interval_cell
from compeffdist.evaluation.table import difference_cell, markdown
from compeffdist.models.references import short


def benchmark_lines(report: Mapping[str, Any], prior: str) -> list[str]:
    """The figures as a Markdown table, differences, and what is to be said of the answers."""
    first = next(iter(report["tasks"].values()))
    models = list(first["models"])
    percent = f"{100 * report['confidence']:g}%"
    parts = [(name, part["metric"], str(part["rows"]), part) for name, part in report["tasks"].items()]
    parts += [(f"**{name}**", "mean", "", part) for name, part in report["means"].items()]
    heads = ["task", "metric x 100", "rows", *(f"{short(model)} [{percent}]" for model in models)]
    heads += [f"less {short(other)} [{percent}]" for other in models[1:]]
    rows = [
        [
            name,
            metric,
            count,
            *(interval_cell(part["models"][model][prior]) for model in models),
            *(difference_cell(part["differences"][other][prior]) for other in models[1:]),
        ]
        for name, metric, count, part in parts
    ]
    asked = report["benchmark"]
    shown = (
        f"{asked['shots']} demonstrations, seeds {', '.join(map(str, asked['seeds']))}" if asked["shots"] else "none"
    )
    taken = {"batch": "each divided by its mean over the task's texts", "none": "as they are"}[prior]
    lines = [*markdown(heads, rows), "", f"split {asked['split']}; demonstrations: {shown}; label likelihoods: {taken}"]
    if asked["parity"]:
        lines.append("counted as the benchmark's own scripts count (docs/benchmark.md); intervals are ours")
    if "all" not in report["means"]:
        lines.append("no mean over all: not every task was asked")
    return [*lines, *(line for model in models for line in _said(report, model)), *cost_lines(report)]


def _said(report: Mapping[str, Any], model: str) -> list[str]:
    told = {name: part["answers"][model] for name, part in report["tasks"].items()}
    seconds, answers = sum(one["seconds"] for one in told.values()), sum(one["answers"] for one in told.values())
    lines = [f"{short(model)}: {1000 * seconds / answers:.0f} s per 1,000 answers"]
    for name, one in told.items():
        if "invalid_tuples" in one:
            lines.append(
                f"{short(model)}, {name}: {one['invalid_tuples']:.0f} of {one['predicted_tuples']:.0f} tuples are not "
                f"what is asked for; answers unreadable {one['unreadable_answers']:.0f}, cut {one['cut_answers']:.0f}"
            )
    return lines
