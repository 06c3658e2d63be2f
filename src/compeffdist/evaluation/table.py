"""The evaluation as a Markdown table: the same text in the terminal and in the README."""

from collections.abc import Mapping, Sequence
from typing import Any

SYSTEMS = ("teacher", "base", "student")
"""In the order people compare them."""


def evaluation_table(evaluation: Mapping[str, Any]) -> str:
    """Macro-F1 per task and system with intervals, the mean, and the student's gain over the base student."""
    header = [
        "macro-F1 x 100",
        "rows",
        "teacher",
        "base student",
        "distilled student",
        f"gain [{100 * evaluation['confidence']:g}% interval]",
    ]
    rows = [[name, str(task["rows"]), *_cells(task)] for name, task in evaluation["tasks"].items()]
    total = sum(task["rows"] for task in evaluation["tasks"].values())
    rows.append(["**mean**", str(total), *_cells(evaluation["mean"])])
    return "\n".join(markdown(header, rows))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table, columns aligned."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [header, *rows]
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _cells(scores: Mapping[str, Any]) -> list[str]:
    return [
        *(f"{100 * scores['macro_f1'][system]['estimate']:.1f}" for system in SYSTEMS),
        difference_cell(scores["student_minus_base"]),
    ]


def difference_cell(interval: Mapping[str, float]) -> str:
    """A difference in points and its interval, e.g. `+7.9 [-2.1, +18.5]`."""
    return f"{100 * interval['estimate']:+.1f} [{100 * interval['low']:+.1f}, {100 * interval['high']:+.1f}]"


def priors_line(evaluation: Mapping[str, Any]) -> str:
    """The means without label priors taken out, under a table of those with; empty where none are."""
    strength = evaluation.get("label_prior_strength", 0.0)
    if not strength:
        return ""
    mean = evaluation["without_priors"]["mean"]
    scores = ", ".join(f"{system} {100 * mean['macro_f1'][system]['estimate']:.1f}" for system in SYSTEMS)
    gain = difference_cell(mean["student_minus_base"])
    return f"label priors taken out at strength {strength:g}; means without: {scores}, gain {gain}"


def verdict_line(evaluation: Mapping[str, Any]) -> str:
    """What the mean's interval says of the student; empty where it is better than its base."""
    gain = evaluation["mean"]["student_minus_base"]
    if gain["low"] > 0:
        return ""
    said = "is worse than" if gain["high"] < 0 else "is not shown to be better than"
    return f"the student {said} its base: the interval of the mean gain is {difference_cell(gain)}"


def registration_line(registration: Mapping[str, Any]) -> str:
    """One line naming the registered version, and what became of its alias."""
    version = f"registered: {registration['model_name']} version {registration['version']}"
    if registration["alias"]:
        return f"{version}, alias {registration['alias']}"
    return (
        f"{version}, without alias candidate: it did not pass gate student (report/gates/student.html says what to try)"
    )
