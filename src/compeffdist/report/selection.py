"""What was selected: class balance before and after, difficulty of what was kept, by instruction and over all."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from compeffdist.house_style import cells, table
from compeffdist.records import Draw, Text, by_id
from compeffdist.report.run import Answered, Run
from compeffdist.svg import BASE, INK, LINE, STUDENT, WARM, Chart, plain_axis, short, type_name

BINS = 20
MOST_CLASSES = 12
"""Of one kind, in the chart of balance."""
MOST_POINTS = 400
"""Instructions told apart along an axis; of more, every so many."""
ENDS = 8
"""Hardest and easiest instructions that are named."""


def selection(run: Run) -> Iterator[str]:
    """Charts and table, as HTML."""
    yield "<h2 id='selection'>What was selected</h2>"
    difficulty = f"<div>{_difficulty_chart(run)}{_instructions_chart(run)}</div>"
    yield f'<div class="charts">{_balance_chart(run)}{difficulty}</div>'
    yield _hardest(run)
    yield '<p>More of difficulty, with rows of every decile: <a href="difficulty.html">difficulty</a>.</p>'


def balance(
    draws: Sequence[Draw], triplets: Mapping[str, Answered], texts: Mapping[str, Text]
) -> dict[str, Counter[str]]:
    """Counts of what was scored, by kind of class: `KIND` before selection, `KIND kept` after it. A text counts as
    often as it was asked of."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for draw in draws:
        if triplet := triplets.get(draw.triplet_id):
            text = texts.get(triplet.text_id)
            classes = {
                "monitored label": triplet.monitored,
                "type of task": type_name(triplet.task_type),
                "domain of the text": text.domain if text else None,
            }
            for kind, name in classes.items():
                if name is not None:
                    found[kind][name] += 1
                    found[f"{kind} kept"][name] += draw.kept
    return dict(found)


def _balance_chart(run: Run) -> str:
    counts = balance(run.draws, {row.id: row for row in run.triplets}, by_id(run.texts))
    kinds = [kind for kind in counts if not kind.endswith(" kept")]
    shown = {kind: [name for name, _ in counts[kind].most_common(MOST_CLASSES)] for kind in kinds}
    rows = sum(map(len, shown.values()))
    with Chart(60 + 23 * rows + 26 * len(kinds)) as chart:
        axes, ticks, place = chart.axes(left=116, top=28), [], 0.0
        for kind in kinds:
            place += 0.9
            title = axes.text(0, -place + 0.15, kind, transform=axes.get_yaxis_transform(), fontweight="bold")
            title.set_x(-116 / 236 + 0.005)
            place += 0.75
            for name in shown[kind]:
                before, after = (
                    100 * counts[key][name] / max(sum(counts[key].values()), 1) for key in (kind, f"{kind} kept")
                )
                axes.hlines(-place, before, after, color=STUDENT, linewidth=3, alpha=0.5)
                axes.plot([before], [-place], "o", color=BASE, markersize=6, markerfacecolor="#ffffff")
                axes.plot([after], [-place], "o", color=STUDENT, markersize=6)
                ticks.append((-place, short(name, 18)))
                place += 1
        axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
        axes.set_ylim(-place + 0.3, 0)
        axes.set_xlim(left=0)
        plain_axis(axes)
        axes.plot([], [], "o", color=BASE, markerfacecolor="#ffffff", label="before")
        axes.plot([], [], "o", color=STUDENT, label="after")
        axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.3, 1.0), handletextpad=0.1)
        return chart.figure(
            "balance",
            "Class balance before and after selection",
            "In % of the scored rows, and of those that were kept.",
        )


def _difficulty_chart(run: Run) -> str:
    """Histogram of difficulty, kept and not."""
    scored = _scored(run)
    values = np.array([draw.difficulty for draw in scored])
    kept = np.array([draw.kept for draw in scored], dtype=bool)
    low, high = (float(min(values.min(), 0)), float(max(values.max(), 1))) if len(values) else (0.0, 1.0)
    edges = np.linspace(low, high, BINS + 1)
    on, off = (np.histogram(values[which], edges)[0] for which in (kept, ~kept))
    with Chart(220) as chart:
        axes = chart.axes(left=44, top=28, bottom=42)
        wide = np.diff(edges) * 0.9
        axes.bar(edges[:-1], on, wide, align="edge", color=STUDENT, label="kept")
        axes.bar(edges[:-1], off, wide, align="edge", bottom=on, color=LINE, label="not kept")
        plain_axis(axes, horizontal=False)
        axes.set_xlabel("difficulty")
        axes.legend(ncols=2, loc="lower right", bbox_to_anchor=(1.0, 0.98))
        return chart.figure(
            "difficulty", "Rows by difficulty", "Scored rows by the difficulty that the sampler ranks by."
        )


def _scored(run: Run) -> list[Draw]:
    """Of rows that were scored; of others the difficulty is a prediction."""
    return [draw for draw in run.draws if draw.triplet_id]


def _by_instruction(run: Run) -> dict[str, list[float]]:
    """Difficulties of scored rows by instruction, easiest on average first."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for draw in _scored(run):
        found[draw.instruction_id].append(draw.difficulty)
    return dict(sorted(found.items(), key=lambda item: (sum(item[1]) / len(item[1]), item[0])))


def _instructions_chart(run: Run) -> str:
    values = list(_by_instruction(run).values())
    places = np.unique(np.linspace(0, max(len(values) - 1, 0), min(len(values), MOST_POINTS)).astype(int))
    ranges = np.array([np.quantile(values[place], [0.1, 0.25, 0.5, 0.75, 0.9]) for place in places]).T
    with Chart(220) as chart:
        axes = chart.axes(left=44, bottom=42)
        if len(values):
            means = [float(np.mean(values[place])) for place in places]
            axes.vlines(places + 1, ranges[0], ranges[4], color=LINE, linewidth=max(0.6, min(1.4, 280 / len(places))))
            axes.vlines(places + 1, ranges[1], ranges[3], color=WARM, linewidth=max(0.7, min(3.0, 220 / len(places))))
            axes.plot(places + 1, means, color=INK, linewidth=1.5)
        plain_axis(axes, horizontal=False)
        axes.set_xlabel("instructions, easiest first")
        axes.set_ylim(bottom=min([0.0, *ranges.flat]))
        return chart.figure(
            "instructions",
            "Difficulty by instruction",
            "Line: the mean. Thick: the middle half of an instruction's rows. Thin: its middle 80%.",
        )


def _hardest(run: Run) -> str:
    instructions, found = by_id(run.instructions), _by_instruction(run)
    kept = Counter(draw.instruction_id for draw in _scored(run) if draw.kept)
    ids = list(found)
    named = [*reversed(ids[-ENDS:]), *reversed(ids[: min(ENDS, max(len(ids) - ENDS, 0))])]
    lines = []
    for place, one in enumerate(named):
        values, instruction = found[one], instructions[one]
        figures = [f"{sum(values) / len(values):.2f}", f"{len(values):,}", f"{kept[one]:,}"]
        lines.append(cells([instruction.task_name, type_name(instruction.type), *figures], 2))
        if place + 1 == min(ENDS, len(ids)) and len(ids) > 2 * ENDS:
            lines.append(f'<tr><td colspan="5" class="quiet">… {len(ids) - 2 * ENDS:,} in between …</td></tr>')
    heads = ["task", "type", "difficulty", "rows", "kept"]
    return "<h3>Hardest and easiest tasks</h3>" + table(heads, lines, "hardest and easiest tasks", 2)
