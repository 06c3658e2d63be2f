"""How the student learnt, and what all of it cost."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from compeffdist.arrays import Floats
from compeffdist.house_style import cells, table
from compeffdist.report.run import Run
from compeffdist.svg import INK, LINE, STUDENT, TEACHER, Chart, plain_axis
from compeffdist.teacher.asking import SOURCES

MOST_STEPS = 300
"""Points of a curve; of a longer one, means of as many stretches."""
TITLES = {"warm_up_student": "Warm-up, which makes the scorer", "train_student": "Training on what was selected"}
SMOOTH, FEWEST = 12, 5
"""The line is a moving mean over a twelfth of the points, at least FEWEST of them."""
COUNTS = ("used", "prompt_tokens", "cached_tokens", "completion_tokens")


def learning(run: Run) -> Iterator[str]:
    """The curves, as HTML."""
    yield "<h2 id='learning'>Learning curves</h2>"
    charts = "".join(curve_chart(stage, curve) for stage, curve in run.curves.items())
    yield f'<div class="charts">{charts}</div>'


def binned(losses: Sequence[float]) -> tuple[Floats, Floats]:
    """(n,) steps from 1 and (n,) losses, n at most MOST_STEPS: of more, means over stretches of equal length."""
    every: tuple[Floats, Floats] = (np.arange(1, len(losses) + 1, dtype=np.float64), np.array(losses, dtype=np.float64))
    if len(losses) <= MOST_STEPS:
        return every
    steps, means = (np.array([part.mean() for part in np.array_split(values, MOST_STEPS)]) for values in every)
    return steps, means


def curve_chart(stage: str, losses: Sequence[float]) -> str:
    """The losses of a stage that trained, as an HTML figure."""
    x, y = binned(losses)
    with Chart(210) as chart:
        axes = chart.axes(left=38, bottom=42)
        axes.plot(x, y, color=LINE, linewidth=1.2)
        wide = max(len(y) // SMOOTH, FEWEST)
        if len(y) > 2 * wide:
            smooth = np.convolve(y, np.ones(wide) / wide, mode="valid")
            first = (wide - 1) // 2
            axes.plot(x[first : first + len(smooth)], smooth, color=STUDENT, linewidth=2.2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        plain_axis(axes, horizontal=False)
        said = f"Loss over {len(losses):,} steps; the line is a moving mean."
        return chart.figure(stage, TITLES[stage], said)


def cost(run: Run) -> Iterator[str]:
    """What each stage asked and took, as HTML."""
    yield "<h2 id='cost'>What it cost</h2>"
    yield f'<div class="charts">{_tokens_chart(run)}<div>{_answers(run)}</div></div>'
    if run.asking["collect_sampled"]["answers"]["used"]:
        yield (
            '<p class="quiet">An answer that two stages use counts in both: collect_sampled asks texts '
            "the one question that collect_responses may have asked them already.</p>"
        )
    lines = (
        cells(
            [
                stage,
                *(f"{run.metrics[stage][key]:,}" for key in ("steps", "tokens")),
                f"{run.metrics[stage]['seconds']:,.0f}",
            ]
        )
        for stage in run.curves
    )
    yield "<h3>Training here</h3>"
    yield table(["stage", "steps", "tokens", "seconds"], lines, "cost of training", 1)


def _tokens_chart(run: Run) -> str:
    answers = {stage: usage["answers"] for stage, usage in run.asking.items() if usage["answers"]["used"]}
    fresh = [one["prompt_tokens"] - one["cached_tokens"] for one in answers.values()]
    with Chart(64 + 26 * len(answers)) as chart:
        axes, left = chart.axes(left=142, top=28), np.zeros(len(answers))
        places = -np.arange(len(answers))
        for name, colour, counts in (
            ("prompt", STUDENT, fresh),
            ("from cache", LINE, [one["cached_tokens"] for one in answers.values()]),
            ("written", TEACHER, [one["completion_tokens"] for one in answers.values()]),
        ):
            axes.barh(places, counts, 0.6, left=left, color=colour, label=name)
            left = left + np.array(counts)
        for place, one in zip(places, answers.values(), strict=True):
            total = one["prompt_tokens"] + one["completion_tokens"]
            axes.annotate(
                f"{one['used']:,}", (total, place), (4, 0), textcoords="offset points", va="center", color=INK
            )
        axes.set_yticks(places, list(answers))
        axes.set_xlim(0, 1.22 * max(left, default=1))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k" if value else "0")
        axes.locator_params(axis="x", nbins=4)
        plain_axis(axes)
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.25, 1.0), handlelength=1.0, columnspacing=1.0)
        return chart.figure(
            "tokens",
            "Tokens of the teacher by stage",
            "Of answers as they were bought; at the end of a bar, how many answers.",
        )


def _answers(run: Run) -> str:
    answers = {stage: usage["answers"] for stage, usage in run.asking.items()}
    here = {stage: usage["this_run"] for stage, usage in run.asking.items()}
    bought = table(
        ["stage", "answers", "prompt tokens", "cached", "written"], _counts(answers, COUNTS), "cost of answers", 1
    )
    sources = table(["stage", *SOURCES, "seconds"], _counts(here, (*SOURCES, "seconds")), "where answers came from", 1)
    return (
        f"<h3>When they were bought</h3>{bought}<h3>Where this run had them from</h3>{sources}"
        '<p class="quiet">The response store, records that others bought, or the teacher; seconds that it took.</p>'
    )


def _counts(by_stage: Mapping[str, Mapping[str, float]], keys: Sequence[str]) -> Iterator[str]:
    """A row for each stage, and their sum."""
    total = {key: sum(counts.get(key, 0) for counts in by_stage.values()) for key in keys}
    for stage, counts in {**by_stage, "all": total}.items():
        yield cells([stage, *(f"{counts.get(key, 0):,.0f}" for key in keys)])
