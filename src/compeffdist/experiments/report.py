"""What an experiment found, for people and machines: `experiments/results/NAME.md` with a figure, and `NAME.csv`."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from compeffdist.evaluation.table import difference_cell, markdown
from compeffdist.experiments.comparing import Comparison
from compeffdist.experiments.plan import FOLDER, Experiment
from compeffdist.experiments.results import Found
from compeffdist.files import atomic_file
from compeffdist.progress import clock

RESULTS = FOLDER / "results"
COLUMNS = (
    "arm",
    "seed",
    "task",
    "rows",
    "macro_f1",
    "macro_f1_as_it_is",
    "training_rows",
    "tokens",
    "seconds",
    "answers",
    "commit",
)
ByArm = Mapping[str, Sequence[Found]]


def write_report(
    experiment: Experiment,
    found: ByArm,
    compared: Sequence[Comparison],
    missing: int,
    took: float | None = None,
    folder: Path = RESULTS,
) -> list[Path]:
    """Write page, figure and table; their paths.

    Args:
        missing: runs that are not on the page, which says so.
        took: seconds of all runs that are, if known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{experiment.name}.{suffix}" for suffix in ("md", "svg", "csv")]
    contents = (
        page(experiment, found, compared, missing, took),
        figure(experiment, compared),
        table(experiment, found),
    )
    for target, content in zip(paths, contents, strict=True):
        with atomic_file(target) as path:
            path.write_text(content, encoding="utf-8")
    return paths


def page(
    experiment: Experiment,
    found: ByArm,
    compared: Sequence[Comparison],
    missing: int,
    took: float | None = None,
) -> str:
    """The page in Markdown: question, answer in a sentence, figure, table, and how to make it again."""
    seeds = [one.run.seed for one in found[experiment.reference]]
    lines = [f"# {experiment.name}", "", experiment.question, "", f"**{answer(experiment, compared, len(seeds))}**", ""]
    if experiment.note:
        lines += [experiment.note, ""]
    if missing:
        why = "not made, or without the same seed of every arm"
        lines += [f"{missing} runs of the experiment are not on this page: {why}.", ""]
    lines += [
        f"![Macro-F1 of each arm, with intervals]({experiment.name}.svg)",
        "",
        *markdown(
            ["arm", "rows", "macro-F1 x 100", f"to {experiment.reference} [interval]", "as it is", "seconds", ""],
            [_row(one, found[one.arm], experiment.judged_on) for one in compared],
        ),
        "",
        f"Macro-F1 is the mean of {', '.join(experiment.judged_on) or 'the evaluation tasks'}, label priors taken out "
        "(with nothing taken out: *as it is*); "
        f"mean and standard deviation of seeds {', '.join(map(str, seeds))}. Differences are paired by row and seed, "
        "their intervals of Student's t over the variances of both. *rows* were trained on, in so many *seconds* of "
        "training.",
        "",
        *_settings(experiment),
        "",
        f"Made by `compeffdist experiments {experiment.name}`; every run is in [the table]({experiment.name}.csv). "
        f"{_cost(found, took)}",
    ]
    return "\n".join(lines) + "\n"


def answer(experiment: Experiment, compared: Sequence[Comparison], seeds: int) -> str:
    """What the intervals show, in a sentence."""
    others = [one for one in compared if one.difference is not None]
    told = {
        verdict: ", ".join(f"{one.arm} ({_points(one)})" for one in others if one.verdict == verdict)
        for verdict in ("better", "worse", "not decided", "one seed")
    }
    said = {
        "better": f"better than {experiment.reference}",
        "worse": f"worse than {experiment.reference}",
        "not decided": f"not shown to differ from {experiment.reference}",
        "one seed": f"against {experiment.reference}, which tells nothing of other seeds",
    }
    parts = [f"{said[verdict]}: {arms}" for verdict, arms in told.items() if arms]
    return f"At {seeds} {'seed' if seeds == 1 else 'seeds'}, {'; '.join(parts)}."


def table(experiment: Experiment, found: ByArm) -> str:
    """A row for each arm, seed and task, and for the mean of the tasks that the experiment is judged on, as CSV."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for arm, runs in found.items():
        for one in runs:
            ways = one.evaluation, one.evaluation.get("without_priors", one.evaluation)
            rows = {task: figures["rows"] for task, figures in one.evaluation["tasks"].items()}
            figures = {task: [_student(way["tasks"][task]) for way in ways] for task in rows}
            figures["mean"] = [_mean(way, experiment.judged_on) for way in ways]
            rows["mean"] = sum(rows[task] for task in experiment.judged_on or list(rows))
            for task, values in figures.items():
                writer.writerow(
                    [
                        *(arm, one.run.seed, task, rows[task]),
                        *(f"{value:.4f}" for value in values),
                        *(one.training["records"]["out"], one.training["tokens"], one.training["seconds"]),
                        _answers(one, "answers", "used"),
                        one.commit[:10],
                    ]
                )
    return stream.getvalue()


def figure(experiment: Experiment, compared: Sequence[Comparison]) -> str:
    """Each arm's mean with its interval on one axis, as SVG; the same bytes from the same figures."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"svg.hashsalt": experiment.name, "font.size": 9}):
        drawn, axes = pyplot.subplots(figsize=(7.0, 0.9 + 0.32 * len(compared)), layout="constrained")
        for place, one in enumerate(reversed(compared)):
            low, middle, high = (100 * value for value in (one.mean.low, one.mean.estimate, one.mean.high))
            colour = "#777777" if one.difference is None else "#2f6db3"
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
            axes.plot([middle], [place], "o", color=colour)
        reference = next(one for one in compared if one.difference is None)
        axes.axvline(100 * reference.mean.estimate, color="#bbbbbb", linewidth=1, zorder=0)
        axes.set_yticks(range(len(compared)), [one.arm for one in reversed(compared)])
        axes.set_xlabel("macro-F1 x 100, mean of the tasks")
        stream = StringIO()
        drawn.savefig(stream, format="svg", metadata={"Date": None})
        pyplot.close(drawn)
    return stream.getvalue()


def _row(one: Comparison, runs: Sequence[Found], judged_on: Sequence[str]) -> list[str]:
    difference = "" if one.difference is None else difference_cell(vars(one.difference))
    bare = [_mean(run.evaluation.get("without_priors", run.evaluation), judged_on) for run in runs]
    return [
        one.arm,
        _range([run.training["records"]["out"] for run in runs]),
        _spread([_mean(run.evaluation, judged_on) for run in runs]),
        difference,
        _spread(bare),
        _range([round(run.training["seconds"]) for run in runs]),
        one.verdict,
    ]


def _cost(found: ByArm, took: float | None) -> str:
    """Answers and time of the runs. Those of an arm share its answers, whichever of them bought them."""
    runs = [one for of_arm in found.values() for one in of_arm]
    used = _range([_answers(one, "answers", "used") for one in runs])
    bought = sum(max(_answers(one, "this_run", "bought") for one in of_arm) for of_arm in found.values())
    told = f"A run has {used} answers of its teacher about pairs; {bought or 'none'} of them had to be bought."
    return f"{told} The {len(runs)} runs took {clock(took)}." if took else told


def _answers(found: Found, *keys: str) -> int:
    return sum(stage["teacher"][keys[0]][keys[1]] for stage in found.asked)


def _settings(experiment: Experiment) -> list[str]:
    told = [(f"*{name}*", params) for name, params in experiment.arms.items()]
    if experiment.params:
        told = [("Every arm", experiment.params), *told]
    return [
        f"- {name}: " + (", ".join(f"`{key}: {value}`" for key, value in params.items()) or "nothing else")
        for name, params in told
    ]


def _student(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> float:
    return figures["macro_f1"]["student"]["estimate"]


def _mean(evaluation: Mapping[str, Any], judged_on: Sequence[str]) -> float:
    return mean(_student(evaluation["tasks"][task]) for task in judged_on or evaluation["tasks"])


def _points(one: Comparison) -> str:
    assert one.difference is not None
    return difference_cell(vars(one.difference))


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f}{deviation}"


def _range(values: Sequence[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)} to {max(values)}"
